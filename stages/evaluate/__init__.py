"""Evaluates as the paper's table 2 does: paired and unpaired, ours, transfer of the true motion, or any other system's videos."""

from typing import ClassVar

from pipeline.engine.program import StagedProgram
from stages.evaluate.settings import EvaluateSettings


class Evaluate(EvaluateSettings, StagedProgram):
    """Test set -> `evaluation/<protocol>/`: videos of every pair, their scores, and the table, as Markdown and CSV.

    It can be stopped and goes on. Each method, back-end and label has a folder of its own, and the true videos have one that
    all share; the table shows all that are there.
    """

    name: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "score generated videos as the paper's table 2 does"
    extra: ClassVar[str] = "evaluate"
    modules: ClassVar[tuple[str, ...]] = ("skimage",)

    def needed_modules(self) -> tuple[str, ...]:
        return (*self.modules, *(("torch", "diffusers", "safetensors") if self.method == "ours" else ()))
