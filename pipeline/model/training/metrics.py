"""Training metrics: lines of `metrics.jsonl`, and the same values for TensorBoard."""

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
    """Collects losses and logs their mean every `log_every` steps, without synchronising with the device in between."""

    def __init__(self, folder: Path, recipe: Recipe, accelerator: Accelerator, first: int) -> None:
        self.path, self.recipe, self.accelerator = folder / METRICS, recipe, accelerator
        self.losses: list[Tensor] = []
        self.norms: list[Tensor] = []
        self.since, self.step = time.monotonic(), first

    def begin(self) -> None:
        """Drop lines noted after the step that this run resumes from; in the main process."""
        if self.path.is_file():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            files.write_text(self.path, "".join(f"{line}\n" for line in lines if _step_of(line) <= self.step))
        # TensorBoard's hyperparameters take plain values only.
        plain = {name: str(value) for name, value in self.recipe.result_settings().items()}
        self.accelerator.init_trackers("tensorboard", plain)

    def add(self, step: int, loss: Tensor, norm: Tensor | None, learning_rate: float, progress: Progress) -> None:
        """Add a step's loss; every process must call it, because the mean is over all of them.

        Args:
            step: its number.
            loss: this process's loss.
            norm: of the gradient; None where it is not measured.
            learning_rate: of the next step.
            progress: advanced by one step.

        Raises:
            TrainingError: the mean loss is not finite.
        """
        self.losses.append(loss)
        if norm is not None:
            self.norms.append(norm)
        if step % self.recipe.log_every == 0 or step == self.recipe.steps:
            mean = self.accelerator.reduce(torch.stack(self.losses).mean(), "mean").item()
            now = time.monotonic()
            if not math.isfinite(mean):
                raise non_finite(f"the loss is {mean}", step)
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
        """Write a line, and the same values to TensorBoard; in the main process."""
        if not self.accelerator.is_main_process:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        numbers = {name: value for name, value in values.items() if name != "step"}
        self.accelerator.log(numbers, step=values["step"])


def non_finite(what: str, step: int) -> TrainingError:
    """The error raised for a non-finite loss or weight."""
    return TrainingError(f"{what} at step {step}: lower learning_rate, or set clip_norm; the last checkpoint is safe")


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62  # a line truncated by a kill sorts after every step, so it is dropped
