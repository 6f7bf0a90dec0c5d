"""Trains the audio-to-skeleton model on the shards of a run."""

from typing import ClassVar

from pipeline.engine.program import Program
from stages.train.settings import TrainSettings


class Train(TrainSettings, Program):
    """Shards -> `training/<model_name>`: checkpoints, losses, drawn samples, and what it was trained on.

    The same command goes on from the last whole checkpoint. On several GPUs: `accelerate launch -m stages.train ...`.
    """

    name: ClassVar[str] = "train"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "train the audio-to-skeleton model on the shards, or go on training it"
    extra: ClassVar[str] = "train"
    modules: ClassVar[tuple[str, ...]] = ("torch", "accelerate", "diffusers", "safetensors", "tensorboard")
