"""Damage: something stored that is missing, or not what was promised, and what can be done about it."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import UserError


def run_option(run: Path) -> str:
    """The option that names a run, as a shell takes it: a folder's name may hold spaces and quotes."""
    return f"--run {shlex.quote(str(run))}"


@dataclass(frozen=True)
class Damage:
    """One stored file that is missing, or does not hold what was promised.

    Attributes:
        path: of the file, relative to the run.
        problem: what is wrong with it, as a clause: "is missing", "holds 12 of 40 rows", "has 512 of 2048 bytes".
        holds: what it held, with numbers where they are known: "rows of 40 people".
        remedy: the command that makes it again, or brings it back, or words with commands in backticks; "" where nothing can.
        lost: what cannot come back even so; "" where everything can.
        units: ids of the units that have to be done again, as far as they are known.
        set_aside: whether `csg405 check --set-aside` moves the file away and makes its units pending.
    """

    path: str
    problem: str
    holds: str = ""
    remedy: str = ""
    lost: str = ""
    units: tuple[str, ...] = ()
    set_aside: bool = False

    @property
    def advice(self) -> str:
        """The remedy as a clause; "" where there is none."""
        return self.remedy if "`" in self.remedy or not self.remedy else f"run `{self.remedy}`"

    def __str__(self) -> str:
        held = f" (it held {self.holds})" if self.holds else ""
        return f"{self.path} {self.problem}{held}"


class Damaged(UserError):
    """Raised by whatever would build on something stored that is missing or damaged; the message names file and remedy.

    Args:
        damage: what was met first.
        run: the run's folder, for the command in the message.
        more: how many others were met beside it.
    """

    def __init__(self, damage: Damage, run: Path, more: int = 0) -> None:
        super().__init__(damage, run, more)
        self.damage, self.run, self.more = damage, run, more

    def __str__(self) -> str:
        others = f", and {self.more} more" if self.more else ""
        advice = self.damage.advice or f"run `csg405 check {run_option(self.run)}`"
        return f"{self.run}: {self.damage}{others}; nothing was changed; {advice}"
