"""Who is left out of a run while a command works on it: a crawl takes days, and lists and ledgers grow meanwhile."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.base.damage import run_option
from pipeline.base.text import printable
from pipeline.tables.opt_out import OptOut, files_of, of_run
from pipeline.tables.store import Store


class LeftOut:
    """Everybody who is left out, by lists and ledgers as they were when last looked at.

    Args:
        run: the run's folder.
        listed: the list that the profile names, a path; "" for none.
        given: says what is crawled, files and folders, beside which ledgers of takedowns may lie.

    Attributes:
        who: is left out.

    Raises:
        OptOutError, TakedownError: a list or a ledger cannot be used.
    """

    def __init__(self, run: Path, listed: str, given: Callable[[], Sequence[Path]]) -> None:
        self._run, self._listed, self._given = run, listed, given
        self._stamps = self._now()
        self.who = of_run(run, listed, given())

    def look(self) -> list[str]:
        """Read all again where a file of them came, went or changed. Returns: which did; raises as the constructor does."""
        now = self._now()  # before they are read: what changes while they are is seen at the next look
        changed = [path for path in dict.fromkeys([*self._stamps, *now]) if self._stamps.get(path) != now.get(path)]
        if changed:
            self.who = of_run(self._run, self._listed, self._given())
            self._stamps = now
        return [path.name if path.parent == self._run else str(path) for path in changed]

    def _now(self) -> dict[Path, tuple[int, ...]]:
        return {path: _stamp(path) for path in files_of(self._run, self._listed, self._given())}


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes with a file; () where it is not there."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def put(store: Store, who: OptOut, changed: Sequence[str]) -> str:
    """Let the tables leave out who is left out now, and say how many works that adds, and what takes away what was made of them."""
    before, was = set(store.opted_out.to_pylist()), store.opt_out
    store.opt_out = who
    now = set(store.opted_out.to_pylist())
    told = (
        f"{printable(', '.join(changed))} changed: {_works(len(now - before))} more {_be(len(now - before))} left out"
    )
    if back := len(before - now):
        told += f", {_works(back)} {_be(back)} not any more"
    named = [("opt-out", who.videos - was.videos or who.channels - was.channels), ("takedown", who.taken - was.taken)]
    if commands := [f"`csg405 {command} {run_option(store.run)}`" for command, new in named if new]:
        told += f"; what was made of them before goes by {' and '.join(commands)} when this has ended"
    return told


def _works(count: int) -> str:
    return "1 work" if count == 1 else f"{count:,} works"


def _be(count: int) -> str:
    return "is" if count == 1 else "are"
