"""Steps whose gradient is not finite: skipped, counted, and after several in a row the end of the run, with advice that works."""

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.model.training import TrainingError
from pipeline.model.training.recipe import Recipe


class NotFinite(TrainingError):
    """Raised when gradients or weights are not finite and training cannot go on."""


class Skips:
    """Counts skipped steps.

    On a GPU a step's flag is read only after the next step was queued, so that the device never waits for the host.

    Attributes:
        total: skipped so far, of the whole run.
        in_a_row: the last so many steps were skipped.

    Args:
        most: in a row, after which the run ends.
        lag: steps whose flag may stay unread.
        error: makes what is raised then from a sentence.
    """

    def __init__(self, most: int, lag: int, error: Callable[[str], Exception]) -> None:
        self.most, self.lag, self.error = most, lag, error
        self.total = self.in_a_row = 0
        self._unread: deque[tuple[int, Tensor]] = deque()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.total, self.in_a_row = int(state["total"]), int(state["in_a_row"])

    def state(self) -> dict[str, int]:
        """What a checkpoint keeps; reads every flag."""
        self.settle()
        return {"total": self.total, "in_a_row": self.in_a_row}

    def note(self, step: int, bad: Tensor) -> None:
        """Add a step's flag: true where its gradient was not finite. May raise `error`, of this step or of one before."""
        self._unread.append((step, bad))
        self.settle(self.lag)

    def settle(self, unread: int = 0) -> None:
        """Read flags until so many are left."""
        while len(self._unread) > unread:
            step, bad = self._unread.popleft()
            self.in_a_row = self.in_a_row + 1 if bool(bad) else 0
            self.total += bool(self.in_a_row)
            if self.in_a_row >= self.most:
                raise self.error(
                    f"gradients were not finite in {self.in_a_row} steps in a row, the last of them {step:,}"
                )


def not_finite(what: str, recipe: Recipe, last: Path | None, *, halves: bool) -> NotFinite:
    """The error for gradients or weights that are not finite; whatever it advises is accepted by a run that goes on.

    Args:
        what: what is not finite, and where.
        recipe: of the run.
        last: the last checkpoint, from which the run would go on; None: there is none.
        halves: whether numbers are of half precision now.
    """
    ways = [f"train.learning_rate={recipe.learning_rate / 10:g}"]
    ways.append(f"train.clip_norm={recipe.clip_norm / 10 if recipe.clip_norm else 1.0:g}")
    if halves:
        ways.append("train.precision=fp32")
    if recipe.warmup_steps and last is None:
        ways.append(f"train.warmup_steps={10 * recipe.warmup_steps}")
    start, again = "starts anew", ""
    if last is not None:
        start = f"goes on from {last.name}"
        again = f"; if it ends here again, delete {last} first: then it goes on from the checkpoint before"
    return NotFinite(
        f"{what}. The same command {start}, with one of {', '.join(ways)}; where single clips are broken, "
        f"train.skip_in_a_row={10 * recipe.skip_in_a_row} skips more of them{again}"
    )
