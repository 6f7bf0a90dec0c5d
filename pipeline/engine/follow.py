"""Following: a stage keeps running while the stages before it work, so that a GPU need not wait for a week's crawl."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.engine.profile import Profile
from pipeline.engine.stage import Stage, whole_run
from pipeline.tables.kinds import KINDS
from pipeline.tables.lock import at_work

POLL_SECONDS = 3.0
QUIET_SECONDS = 15.0  # for which nobody before may be at work: between two stages of one command nobody is


@dataclass
class Leader:
    """The upstream of the stages that follow.

    Attributes:
        run: the run's folder.
        kinds: tables that the followers read and do not write themselves.
        seen: the parts of these tables when a pass began.
    """

    run: Path
    kinds: tuple[str, ...]
    seen: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Remember what is there now: a pass begins."""
        self.seen = self._parts()

    @property
    def changed(self) -> bool:
        """Whether a part came or went since the last look."""
        return self._parts() != self.seen

    def _parts(self) -> list[str]:
        folders = [self.run / "tables" / kind for kind in self.kinds]
        parts = [path for folder in folders for path in folder.glob("*/*.parquet")]
        parts += [path for folder in folders for path in folder.glob("generation.json")]
        return sorted(path.as_posix() for path in parts if not path.name.startswith("."))

    def wait(self, say: Callable[[str], None]) -> bool:
        """Wait until there is news, or nothing more to wait for. Returns whether there is news.

        `say` is called with who is waited for, whenever that changes.
        """
        quiet, told = time.monotonic(), ""
        while not self.changed:
            busy = at_work(self.run, self.kinds)
            words = ", ".join(f"{who} writes {name}" for name, who in sorted(busy.items()))
            words = (
                f"waits: {words}"
                if words
                else f"nobody before is at work; ends unless that changes in {QUIET_SECONDS:g} s"
            )
            if words != told:
                say(words)
                told = words
            if busy:
                quiet = time.monotonic()
            elif time.monotonic() - quiet >= QUIET_SECONDS:
                return self.changed
            time.sleep(POLL_SECONDS)
        return True


def leader(run: Path, profile: Profile, names: Sequence[str]) -> Leader:
    """What comes before these stages: every kind that they read, directly or through other stages, but their own."""
    writers: dict[str, list[Stage]] = {}
    for stage in map(profile.stage, dict.fromkeys([*profile.all_stages, *names])):
        writers.setdefault(stage.writes, []).append(stage)
    own = {profile.stage(name).writes for name in names}
    written: dict[str, None] = {}
    waiting = [kind for name in names for kind in _above(profile.stage(name))]
    while waiting:
        kind = waiting.pop()
        if kind not in written:
            written[kind] = None
            waiting += [above for stage in writers.get(kind, ()) for above in _above(stage)]
    return Leader(run, tuple(kind for kind in KINDS if kind in written and kind not in own))


def _above(stage: Stage) -> list[str]:
    return [reads.kind for reads in stage.reads] + ([KINDS[stage.writes].parent] if KINDS[stage.writes].parent else [])


@dataclass(frozen=True)
class Pass:
    """One round over the stages that follow.

    Attributes:
        stages: what to run.
        whole: it is the first or the last, which also tries what failed before.
    """

    stages: list[str]
    whole: bool


def passes(profile: Profile, names: Sequence[str], before: Leader, say: Callable[[str], None]) -> Iterator[Pass]:
    """One pass after the other, for as long as there is news.

    Stages that look at the whole run at once wait for the last pass, unless they are alone. Between two passes this waits for
    news from the leader. The last pass begins when nobody before is at work any more; if there is news after it all the
    same, following goes on.
    """
    first = True
    early = [name for name in names if not whole_run(profile.stage(name))] or list(names)
    last = False
    while True:
        before.look()
        yield Pass(list(names) if last else early, first or last)
        first = False
        if last and not before.changed and not at_work(before.run, before.kinds):
            return
        last = not before.wait(say)
