"""Losses as they come: a line of `metrics.jsonl`, and the same numbers to TensorBoard."""

import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from pipeline.base import files
from pipeline.base.progress import Progress
from pipeline.model.training import TrainingError
from pipeline.model.training.recipe import Recipe

METRICS = "metrics.jsonl"


class Metrics:
    """Gathers losses and notes their mean every so often, without waiting for the device in between."""

    def __init__(self, folder: Path, recipe: Recipe, accelerator: Accelerator, first: int) -> None:
        self.path, self.recipe, self.accelerator = folder / METRICS, recipe, accelerator
        self.losses: list[Tensor] = []
        self.norms: list[Tensor] = []
        self.since, self.step = time.monotonic(), first

    def begin(self) -> None:
        """Drop what was noted after the step that this run goes on from; by the main process."""
        if self.path.is_file():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            files.write_text(self.path, "".join(f"{line}\n" for line in lines if _step_of(line) <= self.step))
        # The settings as TensorBoard takes them.
        plain = {name: str(value) for name, value in self.recipe.result_settings().items()}
        self.accelerator.init_trackers("tensorboard", plain)

    def add(self, step: int, loss: Tensor, norm: Tensor | None, learning_rate: float, progress: Progress) -> None:
        """Take what a step gave; every process must, because the mean is over all of them.

        Args:
            step: its number.
            loss: this process's.
            norm: of the gradient; None where nobody has measured it, and then none is noted.
            learning_rate: of the next step.
            progress: gets on by a step.
        """
        self.losses.append(loss)
        if norm is not None:
            self.norms.append(norm)
        if step % self.recipe.log_every == 0 or step == self.recipe.steps:
            mean = self.accelerator.reduce(torch.stack(self.losses).mean(), "mean").item()
            now = time.monotonic()
            if not math.isfinite(mean):
                raise no_number(f"the loss is {mean}", step)
            values = {
                "step": step,
                "loss": mean,
                "learning_rate": learning_rate,
                "steps_per_second": (step - self.step) / max(1e-9, now - self.since),
            }
            if self.norms:
                values["gradient_norm"] = torch.stack([n.float().cpu() for n in self.norms]).mean().item()
            self.note(values)
            progress.note = f"loss {mean:.4f}"
            self.losses, self.norms, self.since, self.step = [], [], now, step
        progress.advance("steps")

    def note(self, values: dict[str, Any]) -> None:
        """A line, and the same numbers to TensorBoard; by the main process."""
        if not self.accelerator.is_main_process:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        numbers = {name: value for name, value in values.items() if name != "step"}
        self.accelerator.log(numbers, step=values["step"])


def no_number(what: str, step: int) -> TrainingError:
    """That a run came to numbers that are none."""
    return TrainingError(f"{what} at step {step}: lower learning_rate, or set clip_norm; the last checkpoint is safe")


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62  # a line that a kill cut short
