"""Training metrics: lines of `metrics.jsonl`, and the same values for the trackers."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from pipeline.base import files
from pipeline.base.progress import Progress
from pipeline.model.training.recipe import Recipe
from pipeline.model.training.trackers import add_wandb

METRICS = "metrics.jsonl"


class Metrics:
    """Collects losses and logs their mean every `log_every` steps, without synchronising with the device in between."""

    def __init__(
        self, folder: Path, recipe: Recipe, accelerator: Accelerator, first: int, say: Callable[[str], None]
    ) -> None:
        self.say = say
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
        self.accelerator.init_trackers("tensorboard", plain)  # the name of its folder
        if "wandb" in self.recipe.trackers:
            add_wandb(self.accelerator, self.path.parent, plain, self.say)

    def add(self, step: int, loss: Tensor, norm: Tensor, learning_rate: float, progress: Progress) -> None:
        """Add a step's loss; every process must call it, because the mean is over all of them.

        Args:
            step: its number.
            loss: this process's loss, NaN where the step was skipped.
            norm: of the gradient.
            learning_rate: of the next step.
            progress: advanced by one step.
        """
        self.losses.append(loss)
        self.norms.append(norm)
        if step % self.recipe.log_every == 0 or step == self.recipe.steps:
            self._log(step, learning_rate, progress)
        progress.advance("steps")

    def _log(self, step: int, learning_rate: float, progress: Progress) -> None:
        """Note the means since the last line, over the steps that were taken."""
        losses = self.accelerator.reduce(torch.stack(self.losses), "mean").cpu()
        taken = torch.isfinite(losses)
        now = time.monotonic()
        values = {
            "step": step,
            "learning_rate": learning_rate,
            "steps_per_second": (step - self.step) / max(1e-9, now - self.since),
        }
        if taken.any():
            values["loss"] = losses[taken].mean().item()
            values["gradient_norm"] = torch.stack([norm.float().cpu() for norm in self.norms])[taken].mean().item()
            progress.note = f"loss {values['loss']:.4f}"
        if not taken.all():
            values["skipped_steps"] = int((~taken).sum())
            self.say(
                f"{values['skipped_steps']} of the {len(losses)} steps to {step:,} skipped: their gradients were not finite"
            )
        self.note(values)
        self.losses, self.norms, self.since, self.step = [], [], now, step

    def note(self, values: dict[str, Any]) -> None:
        """Write a line, and the same values to the trackers; in the main process."""
        if not self.accelerator.is_main_process:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        numbers = {name: value for name, value in values.items() if name != "step"}
        self.accelerator.log(numbers, step=values["step"])


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62  # a line truncated by a kill sorts after every step, so it is dropped
