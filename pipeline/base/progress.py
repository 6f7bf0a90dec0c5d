"""Progress of a stage: a bar on a terminal, a line now and then elsewhere."""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Self, TextIO

from pipeline.base.estimate import Estimate
from pipeline.base.pulse import Beats, Pulse
from pipeline.base.units import FPS

LINE_SECONDS = 30.0
QUIET_SECONDS = 0.5  # without a line or a bar; what ends before needs none
LOOK_SECONDS = 0.2  # between two looks at what processes have counted

_open: list["Progress"] = []  # those that are shown, the innermost last: a terminal has room for one
_seen = time.monotonic()  # when the user last saw something; the command began when this module was read


class Progress:
    """Shows that something goes on, how far it is, and how long it still takes; a context manager.

    A terminal gets a bar that moves, everything else a line now and then.

    Args:
        name: the stage.
        total: units to do; None where that is not known yet.
        stream: where to show it; standard error by default.
        doing: what it is at.
    """

    def __init__(self, name: str, total: int | None = None, stream: TextIO | None = None, doing: str = "") -> None:
        self.name = name
        self.total = total
        self.stream = stream or sys.stderr
        self.doing = doing  # instead of, and before, units
        self.note = ""  # shown behind the counts
        self.counts: Counter[str] = Counter()
        self.began = self._working = time.monotonic()
        self._estimate = Estimate(float(total or 0))
        self._seconds: Mapping[int, float] = {}
        self._pulse: Pulse | None = None
        self._beats, self._looked = Beats(), 0.0
        self._ended, self._thread = threading.Event(), threading.Thread()

    def __enter__(self) -> Self:
        if _open:
            _open[-1]._hide()
        _open.append(self)
        self._show()
        return self

    def __exit__(self, *_: object) -> None:
        self._hide()
        _open.remove(self)
        if _open:
            _open[-1]._show()

    def expect(self, total: int, seconds: Mapping[int, float], pulse: Pulse) -> None:
        """Begin with units.

        Args:
            total: how many there are.
            seconds: of video, of each by its number; empty where units have none, and count alike.
            pulse: in which their processes count.
        """
        self.total, self._seconds, self._working = total, seconds, time.monotonic()
        self.listen(pulse)
        self._estimate = Estimate(sum(seconds.values()), passes=1.0) if seconds else Estimate(float(total))

    def listen(self, pulse: Pulse) -> None:
        """Show what processes count."""
        self._pulse = pulse

    def advance(self, status: str, unit: int = -1) -> None:
        """One unit ended with this status; it has a number where `expect` told their lengths."""
        self.counts[status] += 1
        self._estimate.done += self._seconds.get(unit, 1.0)
        beats = self.beats()
        self._estimate.learn((beats.frames - beats.of_units) / FPS)

    def resize(self, total: int) -> None:
        """Say how many units there are, once that is known."""
        self.total = total
        self._estimate.total = float(total)

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    @property
    def share(self) -> float | None:
        """0 to 1: how much is done; None before units are known."""
        return self._estimate.share(self.beats().of_units / FPS) if self.total else None

    def beats(self) -> Beats:
        """What the processes have counted, as of a moment ago."""
        if self._pulse and time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked = time.monotonic()
            with suppress(FileNotFoundError):  # the job is over
                self._beats = self._pulse.read()
        return self._beats

    def tally(self) -> str:
        """The units by status."""
        counts = [f"{count:,} {status}" for status, count in sorted(self.counts.items())]
        return ", ".join([*counts, self.note] if self.note else counts)

    def times(self) -> str:
        """How long it has taken, and how long it still takes."""
        now, beats = time.monotonic(), self.beats()
        if not self.total:
            return duration(now - self.began)
        if beats.processes and beats.loading == beats.processes and not self.done:
            self._working = now  # nets that load say nothing of the pace
        left = self._estimate.left(now - self._working, beats.of_units / FPS)
        return f"{duration(now - self.began)}, {'?' if left is None else duration(max(1.0, left))} left"

    def details(self) -> str:
        """What it is at, the units by status, and the pace."""
        beats, seconds = self.beats(), max(1e-9, time.monotonic() - self._working)
        said = [self.doing or self._starting(beats), self.tally()]
        said += [f"{size(n)} {what}" for n, what in ((beats.fetched, "fetched"), (beats.read, "read")) if n]
        if beats.frames:
            said.append(f"{beats.frames:,} frames, {beats.frames / seconds:.3g}/s")
        elif self.done:
            said.append(f"{self.done / seconds:.3g}/s")
        return ", ".join(filter(None, said))

    def line(self) -> str:
        """All of it in words."""
        count = f"{self.done:,}/{self.total:,}" if self.total else ""
        return ", ".join(filter(None, (count, self.details(), self.times())))

    def _starting(self, beats: Beats) -> str:
        if self._pulse is None or self.done or beats.frames or beats.fetched or beats.read:
            return ""
        return "starting" if not beats.processes else "loading nets" if beats.loading else "at the first units"

    def _show(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._showing, args=(self._ended,), daemon=True)
        self._thread.start()

    def _hide(self) -> None:
        self._ended.set()
        self._thread.join()

    def _showing(self, ended: threading.Event) -> None:
        """Show it until it ended; in a thread of its own, for the work may say nothing for minutes."""
        moving = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        if moving and not ended.wait(max(0.0, _seen + QUIET_SECONDS - time.monotonic())):
            from pipeline.base.bar import showing  # rich takes a while, and most commands need none

            with showing(self):
                ended.wait()
            saw()
        while not ended.wait(LINE_SECONDS):
            with suppress(ValueError, OSError):  # the stream was closed
                print(f"{self.name}: {self.line()}", file=self.stream, flush=True)


def saw() -> None:
    """Note that the user has just seen something."""
    global _seen
    _seen = time.monotonic()


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Have the progress that is shown, if any, say what it is at while the block lasts."""
    shown = _open[-1] if _open else None
    before = shown.doing if shown else ""
    tell(what)
    try:
        yield
    finally:
        if shown:
            shown.doing = before


def tell(what: str) -> None:
    """Have the progress that is shown, if any, say what it is at."""
    if _open:
        _open[-1].doing = what


def size(count: float) -> str:
    """Format bytes for people: 999 B, 12.3 kB, 4.56 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    """Format seconds for people: 41 s, 3 min 20 s, 5 h 12 min, 3 d 4 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
