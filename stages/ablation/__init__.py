"""What reference, concatenation and local coordinates are worth: table 3 of the paper on planted truth instead of film."""

from typing import ClassVar

from pipeline.engine.program import Program
from stages.ablation.settings import AblationSettings


class Ablation(AblationSettings, Program):
    """Trains each variant on the same planted pairs, with several seeds, and scores it on speakers that none has seen.

    Synchrony is the correlation of the generated mouth's opening with the planted envelope of the sound; identity is how far the
    generated limbs' lengths are from those of the reference.
    """

    name: ClassVar[str] = "ablation"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "table 3 on planted skeletons and sound"
    extra: ClassVar[str] = "train"
    modules: ClassVar[tuple[str, ...]] = ("torch", "accelerate", "diffusers", "safetensors", "tensorboard")
