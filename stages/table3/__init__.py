"""Makes table 3 on film: four trainings from one profile, four evaluations, the paper's rows beside."""

from typing import ClassVar

from pipeline.engine.program import Program
from stages.table3.settings import Table3Settings


class Table3(Table3Settings, Program):
    """Trains each variant as `train` does, with the run's own recipe but for what is left out, and evaluates it.

    Trainings go on from their last checkpoint and evaluations from their last pair, so that the same command goes on after a kill.
    """

    name: ClassVar[str] = "table3"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "train, evaluate and compare the variants of the paper's table 3"
    extra: ClassVar[str] = "train,evaluate"
    modules: ClassVar[tuple[str, ...]] = ("skimage", "torch", "accelerate", "diffusers", "safetensors", "tensorboard")
