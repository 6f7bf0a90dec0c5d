"""What `judge` would say of a run with other settings; nothing is written."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.base.units import FPS, Row
from pipeline.engine.plan import plan
from pipeline.engine.stage import Context, Stage
from pipeline.tables.store import Store


@dataclass(frozen=True)
class Kept:
    """Who is kept: people, the clips that they are in, and how long these are for each of them, in seconds."""

    people: int
    clips: int
    seconds: float


@dataclass(frozen=True)
class Dropped:
    """How many people a reason speaks against, and against how many of them nothing else does."""

    people: int
    alone: int


@dataclass(frozen=True)
class WhatIf:
    """A verdict over everybody, beside the run's own.

    Attributes:
        people: how many were judged.
        kept, was: now, and by the verdicts of the run.
        dropped: {reason's code: how many}, the most frequent first.
        come, go: ids of people who are kept now and were not, and the other way round; sorted.
        unmeasured: {measure: people kept without it, though there is a limit on it}.
    """

    people: int
    kept: Kept
    was: Kept
    dropped: dict[str, Dropped] = field(default_factory=dict)
    come: list[str] = field(default_factory=list)
    go: list[str] = field(default_factory=list)
    unmeasured: dict[str, int] = field(default_factory=dict)


def what_if(store: Store, judge: Stage) -> WhatIf:
    """Judge everybody with these settings, and compare with the run's verdicts.

    Args:
        store: the run's tables.
        judge: the stage that judges, with the settings in question.
    """
    verdicts = _verdicts(store, judge)
    frames = dict(zip(*store.read("clips", ["clip_id", "frames"]).to_pydict().values(), strict=True))
    before = store.read("verdicts", ["person_id", "clip_id", "keep"]).to_pylist()
    kept = {row["person_id"]: row for row in verdicts if row["keep"]}
    was = {row["person_id"]: row for row in before if row["keep"]}
    return WhatIf(
        people=len(verdicts),
        kept=_kept(kept.values(), frames),
        was=_kept(was.values(), frames),
        dropped=_dropped(row["reasons"] for row in verdicts if not row["keep"]),
        come=sorted(kept.keys() - was.keys()),
        go=sorted(was.keys() - kept.keys()),
        unmeasured=dict(Counter(name for row in kept.values() for name in row["unmeasured"]).most_common()),
    )


def _verdicts(store: Store, judge: Stage) -> list[Row]:
    planned = plan(judge, store)
    worker = judge.worker(Context(store.run, opt_out=store.opt_out))
    return [row for index in range(len(planned.units)) for row in worker.process(planned.unit(index))]


def _kept(rows: Iterable[Row], frames: dict[str, int]) -> Kept:
    clips = [row["clip_id"] for row in rows]
    return Kept(len(clips), len(set(clips)), sum(frames.get(clip, 0) for clip in clips) / FPS)


def _dropped(verdicts: Iterable[Sequence[str]]) -> dict[str, Dropped]:
    people, alone = Counter[str](), Counter[str]()
    for reasons in verdicts:
        people.update(reasons)
        alone.update(reasons if len(reasons) == 1 else ())
    return {code: Dropped(count, alone[code]) for code, count in people.most_common()}
