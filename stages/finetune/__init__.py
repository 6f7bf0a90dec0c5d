"""Writes shards as StableAnimator's fine-tuning data, for the rows with a dagger in the paper's table 2."""

from typing import ClassVar

from pipeline.engine.program import Program
from stages.finetune.settings import FinetuneSettings


class Finetune(FinetuneSettings, Program):
    """Clips of the shards -> pictures, drawn poses, face masks and a list, as StableAnimator's training reads them.

    Whole clips or none: the same command goes on. What it prints at last is the command that fine-tunes, to be run in
    StableAnimator's checkout; the weights that it makes go to `generate` and `evaluate` as
    `--backend-weights "{unet_model_name_or_path = 'PATH', posenet_model_name_or_path = 'PATH',
    face_encoder_model_name_or_path = 'PATH'}"`. Those of the paper are public: Hugging Face `Moon-jack/Democratize-CSG`.
    """

    name: ClassVar[str] = "finetune"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "write the shards as StableAnimator's fine-tuning data"
