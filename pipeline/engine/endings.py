"""How a command about a run ends: whether all is done, and which units failed that should not have."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.damage import run_option
from pipeline.base.errors import UnitsFailed, UserError
from pipeline.base.reasons import Reason, ReasonClass
from pipeline.engine.plan import in_shard
from pipeline.engine.profile import Profile
from pipeline.engine.stage import Stage, table_part, undivided
from pipeline.engine.unmended import unmended
from pipeline.tables.arrow import strings
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import FAILED
from pipeline.tables.store import Store


@dataclass
class Ending:
    """Failed units of some stages, as their tables tell.

    Attributes:
        run: the run's folder.
        failed: {stage: units by reason} that should not have failed: crashed, timed out, out of memory, a bug.
        waiting: {stage: units by reason} that the network, a site or a disk kept from being done.
        stayed: {stage: units by reason} that could not be made again for reasons of ours; their rows are as they were.
        gone: the same, where their source is not what it was: removed, no video any more.
        before: the same as `failed` and `stayed` together, of stages that were not called.
        advice: what to do about failed units; "" for those of the run's own tables.
    """

    run: Path
    failed: dict[str, Counter[str]] = field(default_factory=dict)
    waiting: dict[str, Counter[str]] = field(default_factory=dict)
    stayed: dict[str, Counter[str]] = field(default_factory=dict)
    gone: dict[str, Counter[str]] = field(default_factory=dict)
    before: dict[str, Counter[str]] = field(default_factory=dict)
    advice: str = ""

    def raise_failed(self) -> None:
        """Raise UnitsFailed where units failed, or could not be made again, that should not have."""
        if self.failed or self.stayed:
            problems = " and ".join(part for part in (self._failed(), self._stayed()) if part)
            raise UnitsFailed(f"done, but {problems}{self._rest()}")

    def _failed(self) -> str:
        run = run_option(self.run)
        advice = self.advice or (
            f"`csg405 failed {run}` lists them, `csg405 retry --all-failed {run}` has the next run try them again"
        )
        count = _sum(self.failed)
        return count and f"{count} units failed that should not have: {_told(self.failed)}; {advice}"

    def _stayed(self) -> str:
        count = _sum(self.stayed)
        kept = "their rows stay, and the same command tries them again"
        return count and f"{count} units could not be made again: {_told(self.stayed)}; {kept}"

    def line(self) -> str:
        """The last line of a command after which everything is done that could be."""
        return f"all done{self._rest()}"

    def _rest(self) -> str:
        freed, waiting = _apart(self.waiting, Reason.SOURCE_DISCARDED.code)
        waits = f"; to be tried again by the next run: {_told(waiting)}" if waiting else ""
        back = f"; {_sum(freed)} wait for their source: csg405 retry --refetch {run_option(self.run)}" if freed else ""
        gone = f"; not made again, their rows stay: {_told(self.gone)}" if self.gone else ""
        earlier = f"; failed in stages that were not run now: {_told(self.before)}" if self.before else ""
        return waits + back + gone + earlier


def ending(profile: Profile, names: Sequence[str], store: Store, shard: tuple[int, int] | None = None) -> Ending:
    """What failed in these stages, and in the others of the profile.

    Args:
        profile: of the run.
        names: the stages that were called.
        store: the run's tables.
        shard: (i, n) counts only the units of that shard.
    """
    found = ending_of([(profile.stage(name), store) for name in names], store.run, shard)
    others = [(profile.stage(name), store) for name in profile.all_stages if name not in names]
    earlier = ending_of(others, store.run, shard)
    for stages in (earlier.failed, earlier.stayed):
        for name, reasons in stages.items():
            found.before[name] = found.before.get(name, Counter()) + reasons
    return found


def ending_of(stages: Sequence[tuple[Stage, Store]], run: Path, shard: tuple[int, int] | None = None) -> Ending:
    """What failed in these stages, each in the store in which it works."""
    found = Ending(run)
    for stage, store in stages:
        ours, later = _split(_failed(stage, store, shard))
        stayed, awaited = _split(_unmended(stage, store.run, shard))
        gone = Counter({reason: count for reason, count in stayed.items() if not _is_bug(reason)})
        for reasons, counts in (
            (ours, found.failed),
            (later + awaited, found.waiting),
            (stayed - gone, found.stayed),
            (gone, found.gone),
        ):
            if reasons:
                counts[stage.name] = counts.get(stage.name, Counter()) + reasons
    return found


def failures(stage: Stage, store: Store) -> pa.Table:
    """Winning outcomes (the state columns) of a stage's units that failed and still are units of it."""
    won = store.table(stage.writes).winners()
    for column, value in (("status", FAILED), ("stage", stage.name)):
        won = won.filter(pc.is_in(won[column], value_set=strings([value])))  # `pc.equal` with a text imports pandas
    if not len(won):
        return won
    spec = KINDS[stage.writes]
    if spec.unit_of:
        where = spec.parent_where if spec.unit_of == spec.parent else ""
        return won.filter(pc.is_in(won["unit"], value_set=store.keys(spec.unit_of, where=where)))
    try:
        outside = stage.sources(store)
    except UserError:  # the folder or list is not there now: nothing tells which units are of the past
        outside = None
    return won if outside is None else won.filter(pc.is_in(won["unit"], value_set=strings(list(outside))))


def should_not_have(reason: str) -> bool:
    """Whether a failure of this reason is ours, rather than that of the network, a site or a disk."""
    try:
        return Reason.of(reason).kind not in (ReasonClass.LATER, ReasonClass.BLOCKED)
    except KeyError:  # of another version
        return True


def _is_bug(reason: str) -> bool:
    try:
        return Reason.of(reason).kind is ReasonClass.BUG
    except KeyError:  # of another version
        return True


def _failed(stage: Stage, store: Store, shard: tuple[int, int] | None) -> Counter[str]:
    rows = failures(stage, store).select(["unit", "reason"]).to_pylist()
    return Counter(row["reason"] for row in rows if in_shard(stage, row["unit"], shard))


def _unmended(stage: Stage, run: Path, shard: tuple[int, int] | None) -> Counter[str]:
    if shard and shard[0] and undivided(stage):
        return Counter()
    return unmended(run, stage.name, table_part(stage, shard))


def _split(reasons: Counter[str]) -> tuple[Counter[str], Counter[str]]:
    ours = Counter({reason: count for reason, count in reasons.items() if should_not_have(reason)})
    return ours, reasons - ours


def _apart(stages: dict[str, Counter[str]], reason: str) -> tuple[dict[str, Counter[str]], dict[str, Counter[str]]]:
    """The counts of one reason, and those of all others."""
    one = {name: Counter({reason: counts[reason]}) for name, counts in stages.items() if counts[reason]}
    rest = {name: counts - one.get(name, Counter()) for name, counts in stages.items()}
    return one, {name: counts for name, counts in rest.items() if counts}


def _sum(stages: dict[str, Counter[str]]) -> str:
    """Units of all stages, with commas; "" of none."""
    return f"{sum(map(Counter.total, stages.values())):,}" if stages else ""


def _told(stages: dict[str, Counter[str]]) -> str:
    return ", ".join(f"{name} {_by_reason(reasons)}" for name, reasons in stages.items())


def _by_reason(reasons: Counter[str]) -> str:
    return " and ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
