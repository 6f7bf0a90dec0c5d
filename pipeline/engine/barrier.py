"""Barriers between the shards of a run: a stage begins when nothing that it looks at is still to come from another shard."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pipeline.base.damage import Damaged, run_option
from pipeline.base.errors import UserError
from pipeline.base.reasons import Failure
from pipeline.engine.gate import CHEAP_KINDS
from pipeline.engine.plan import Plan, plan
from pipeline.engine.profile import Profile
from pipeline.engine.runner import importable
from pipeline.engine.stage import ALL, Grouping, Stage, chooses, undivided
from pipeline.engine.stage_nets import net_hashes
from pipeline.engine.unmended import unmended
from pipeline.registry.models import MissingModel, Registry
from pipeline.tables.lock import at_work
from pipeline.tables.opt_out import OptOut
from pipeline.tables.seal import DiskError
from pipeline.tables.store import Store

POLL_SECONDS = 3.0


class OthersFirst(UserError):
    """Raised when a shard comes to a stage that needs units of others which nobody does now; what was done is committed."""

    exit_code: ClassVar[int] = 4


@dataclass(frozen=True)
class Phase:
    """Stages that a shard does one after the other without waiting for other shards.

    Attributes:
        stages: in order.
        divided: whether shards share the units; else one call does them.
    """

    stages: list[str]
    divided: bool


def phases(profile: Profile, names: Sequence[str]) -> Iterator[Phase]:
    """Cut stages, in their order, into phases; between two of them all shards meet."""
    current: list[str] = []
    for name in names:
        alone = undivided(profile.stage(name)) or any(undivided(profile.stage(one)) for one in current)
        if current and (alone or set(needed(profile, names, name)) & set(current)):
            yield _phase(profile, current)
            current = []
        current.append(name)
    if current:
        yield _phase(profile, current)


def _phase(profile: Profile, stages: list[str]) -> Phase:
    return Phase(stages, not any(undivided(profile.stage(name)) for name in stages))


def needed(profile: Profile, names: Sequence[str], name: str) -> list[str]:
    """The stages that all shards must have done before any of them begins this one, in order.

    One that cannot be shared looks at everything before it. One whose units gather rows of other shards, or that chooses among
    units by what others hold, needs what these rows come from. For all others, of which each unit is whole by itself,
    only the stages of the same call count, as on one machine; a stage of the same units is met by the shard itself.

    Args:
        profile: of the run.
        names: the stages of the call.
        name: one of them.
    """
    stage = profile.stage(name)
    before = _before(profile, names, name)
    if undivided(stage):
        return before
    above = _above(profile, stage, before)
    if not _gathers(profile, stage, above):
        above = [one for one in above if one in names]
    if chooses(stage):
        return above
    return [one for one in above if not _same_units(profile.stage(one), stage)]


def _before(profile: Profile, names: Sequence[str], name: str) -> list[str]:
    order = list(dict.fromkeys([*profile.all_stages, *names]))
    return order[: order.index(name)]


def _above(profile: Profile, stage: Stage, before: Sequence[str]) -> list[str]:
    """Of the stages before this one, those from which its rows come, directly or through others."""
    wanted, kinds = set(_kinds(stage)), set[str]()
    while wanted - kinds:
        kinds |= wanted
        writers = [profile.stage(one) for one in before if profile.stage(one).writes in kinds]
        wanted = {kind for one in writers for kind in _kinds(one)}
    return [one for one in before if profile.stage(one).writes in kinds]


def _kinds(stage: Stage) -> list[str]:
    return [reads.kind for reads in stage.reads] + (list(CHEAP_KINDS) if chooses(stage) else [])


_FINENESS = ("source", "video_id", "clip_id", "person_id")


def _gathers(profile: Profile, stage: Stage, above: Sequence[str]) -> bool:
    """Whether one unit holds rows of several units of a stage above, or of one that is done as a whole."""
    if isinstance(stage, Grouping) or chooses(stage):
        return True
    own = {reads.kind for reads in stage.reads}
    writers = [writer for writer in map(profile.stage, above) if writer.writes in own]
    return any(undivided(writer) or _fineness(writer) > _fineness(stage) for writer in writers)


def _fineness(stage: Stage) -> int:
    return _FINENESS.index(stage.unit) if stage.unit in _FINENESS else -1


def _same_units(first: Stage, second: Stage) -> bool:
    return first.unit == second.unit != ALL and not undivided(first)


@dataclass
class Barrier:
    """Where one shard waits for the others.

    Attributes:
        profile, store, models: of the run.
        names: the stages of the call.
        shard: (i, n).
        minutes: how long to wait while nobody is at work on what is missing; while somebody is, without end.
        say: called with what is waited for, whenever that changes.
        look: called before each look at what is missing, so that the store leaves out who opted out meanwhile: the others do not
            make these people's units.
    """

    profile: Profile
    store: Store
    models: Registry
    names: Sequence[str]
    shard: tuple[int, int]
    minutes: float
    say: Callable[[str, str], None]
    look: Callable[[], None] = lambda: None
    _settled: dict[str, tuple[OptOut, list[str]]] = field(default_factory=dict)

    def wait(self, name: str) -> None:
        """Return when all that a stage needs of other shards is done. Raises OthersFirst when nobody does it."""
        others = needed(self.profile, self.names, name)
        quiet, told = time.monotonic(), ""
        while others:
            self.look()
            busy = at_work(self.store.run, {self.profile.stage(one).writes for one in others})
            open_ = next(((one, count) for one in others if (count := self.lacking(one))), None)
            if not open_ and not busy:
                return
            words = [f"{open_[0]} has {open_[1]:,} units to do"] if open_ else []
            words += [f"{who} writes {kind}" for kind, who in sorted(busy.items())]
            if busy:
                quiet = time.monotonic()
            else:
                words.append("nobody is at work on them")
                if time.monotonic() - quiet >= self.minutes * 60:
                    raise OthersFirst(self._refusal(name, " and ".join(words)))
                words.append(f"ends unless that changes in {self.minutes:g} min")
            if (now := ", ".join(words)) != told:
                self.say(name, f"waits for other shards: {now}")
                told = now
            time.sleep(POLL_SECONDS)

    def _refusal(self, name: str, words: str) -> str:
        i, n = self.shard
        return (
            f"{name} waits for other shards: {words}. What shard {i}/{n} could do before it is done, and nothing is lost: run the "
            f"other shards with {run_option(self.store.run)}, then this again; without --shard one call does all that is left"
        )

    def open_ends(self, name: str) -> list[str]:
        """The stages whose last step, such as writing an index, shards left open, and this stage is to find done."""
        if not undivided(self.profile.stage(name)) or self.shard[0]:
            return []
        above = [(one, self.profile.stage(one)) for one in needed(self.profile, self.names, name)]
        return [one for one, stage in above if not undivided(stage) and type(stage).finish is not Stage.finish]

    def lacking(self, name: str) -> int:
        """How many units of a stage, of all shards, were never tried on what there is now."""
        state = self.store.opt_out, self._parts(name)
        if self._settled.get(name) == state:
            return 0
        count = lacking(self.profile.stage(name), self.store, self.models, required=name in self.profile.required)
        if not count:
            self._settled[name] = state
        return count

    def _parts(self, name: str) -> list[str]:
        """What a stage's state depends on: the files of the tables that it reads and writes."""
        stage = self.profile.stage(name)
        kinds = [stage.writes, *_kinds(stage)]
        return [str(path) for kind in kinds for path in self.store.table(kind).parts("outcomes")]


def lacking(stage: Stage, store: Store, models: Registry, *, required: bool = False) -> int:
    """How many units of a stage were never tried on what there is now; those that failed, or stayed as they were, do not count.

    Where a package or net is missing here, so that nothing tells what the stage would do, units without any outcome; none at
    all where the stage may be left out and no machine did any of it.

    Args:
        stage: with its settings.
        store: the run's tables.
        models: the nets that are here; nothing is fetched.
        required: whether the profile requires the stage.
    """
    hashes = _hashes(stage, models.looking())
    try:
        work = plan(stage, store, hashes or ()).untried()
    except (Damaged, DiskError, Failure):  # nothing is known of the stage, which is not that it is done
        raise
    except UserError:  # the folder or list that units come from is not here now: nothing comes of it
        return 0
    if hashes is None:
        return _without_outcome(work, required=required)
    return max(0, len(work.pending) - unmended(store.run, stage.name).total())


def _hashes(stage: Stage, models: Registry) -> list[str] | None:
    """Hashes of the stage's nets; None where it cannot run here."""
    if not all(map(importable, stage.needed_modules())):
        return None
    try:
        return net_hashes(stage, models)
    except MissingModel:
        return None


def _without_outcome(work: Plan, *, required: bool) -> int:
    anywhere = bool(np.any(work.attempts > 0))
    return int(np.count_nonzero(work.attempts[work.pending] == 0)) if required or anywhere else 0
