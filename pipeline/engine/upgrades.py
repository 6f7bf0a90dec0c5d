"""Upgrades: finished work that a newer version of the product makes pending; told, and done anew only when it is asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import BadUse, StageError
from pipeline.base.progress import duration
from pipeline.engine.changes import Change
from pipeline.engine.fingerprint import superseded, version_in
from pipeline.engine.plan import plan
from pipeline.engine.profile import as_toml
from pipeline.engine.session import Session
from pipeline.engine.stage import Stage
from pipeline.engine.stage_nets import net_hashes
from pipeline.registry.models import MissingModel, Registry
from pipeline.tables.arrow import strings
from pipeline.tables.hashing import flat


@dataclass(frozen=True)
class Upgrade:
    """What a newer version of one stage would do again.

    Attributes:
        stage: its name.
        old: versions by which the results were made.
        new: today's.
        units: results that would stand but for it.
        seconds: of work that they took.
        defaults: {"judge.min_speech_share": 0.5}: what the profile said before, where it says something else now.
        fetched: the stage asks the network, and its results stay whatever is said.
    """

    stage: str
    old: tuple[int, ...]
    new: int
    units: int
    seconds: float
    defaults: Mapping[str, Any]
    fetched: bool

    def __str__(self) -> str:
        made = ", ".join(map(str, self.old))
        why = (
            f"version {made} -> {self.new}"
            if self.old != (self.new,)
            else f"new defaults of {', '.join(self.defaults)}"
        )
        took = f"{self.seconds / 3600:.2g} hours ({duration(self.seconds)})"
        if self.fetched:
            return f"{why}: {self.units:,} units were fetched before and stay as they are: no upgrade fetches again"
        return f"{why}: {self.units:,} finished units would be done again; they took {took}"


def upgrades(session: Session, names: Sequence[str], changed: Sequence[Change], models: Registry) -> Iterator[Upgrade]:
    """What would be done again, of these stages, for no other reason than a newer version or default.

    Args:
        session: whose run it is.
        names: the stages.
        changed: how the session differs from how the run was left.
        models: the registry; one that may fetch and build, where the stages are to run after it.
    """
    for name in names:
        stage = session.profile.stage(name)
        defaults = _defaults(session, name, changed)
        if defaults or _made_by_others(stage, session):
            try:
                nets = net_hashes(stage, models)
            except MissingModel:
                continue  # its line says so when it is its turn
            if found := _of(stage, session, nets, defaults):
                yield found


def settle(session: Session, found: Sequence[Upgrade], names: Sequence[str], *, redo: bool, keep: bool) -> None:
    """Let the session do again what a newer version asks for, or keep it, as the user said.

    Raises:
        BadUse: both were said. StageError: nothing was said, and there is something to say.
    """
    if redo and keep:
        raise BadUse("give --redo or --keep, not both")
    asking = [one for one in found if not one.fetched]
    if asking and not (redo or keep):
        told = "; ".join(f"{one.stage} {one}" for one in asking)
        raise StageError(
            f"this version of csg405 makes finished work new: {told}. Nothing was done and nothing is lost: "
            "--redo does it again, --keep leaves it as it is (make: REDO=1 or KEEP=1)"
        )
    kept = {name: version for name, version in session.chosen.kept.items() if not (redo and name in names)}
    sets = dict(session.chosen.sets)
    for one in found:
        if keep or one.fetched:
            kept[one.stage] = one.new
            sets |= {key: as_toml("off" if value is None else value) for key, value in one.defaults.items()}
    session.choose(replace(session.chosen, kept=kept, sets=sets))


def _defaults(session: Session, name: str, changed: Sequence[Change]) -> dict[str, Any]:
    """What a shipped profile said before of this stage; in a file of their own, users change what they mean to."""
    if session.chosen.profile.endswith(".toml"):
        return {}
    return {change.key: change.old for change in changed if change.stage == name and not change.chosen}


def _made_by_others(stage: Stage, session: Session) -> bool:
    """Whether another version of the stage made a result, and nobody has said yet that it stays; without planning."""
    if session.chosen.kept.get(stage.name) == stage.version:
        return False
    versions = session.store.table(stage.writes).winners(("versions",))["versions"]
    texts = flat(versions).dictionary_encode().dictionary.to_pylist()
    return bool({version_in(text, stage.name) for text in texts} - {0, stage.version})


def _of(stage: Stage, session: Session, nets: Sequence[str], defaults: Mapping[str, Any]) -> Upgrade | None:
    work = plan(stage, session.store, nets)
    before = {key.partition(".")[2]: value for key, value in defaults.items()}
    forms = [type(stage)(**{**stage.model_dump(), **before})] if before else []
    old, _ = superseded(stage, session.store, strings(work.units), work.content, nets, forms)
    again = old > 0
    if not stage.resources.network:
        waits = np.zeros(len(again), bool)
        waits[work.pending] = True
        again &= waits
    if not again.any():
        return None
    seconds = _seconds(session, stage, strings(work.units).filter(pa.array(again)))
    versions = tuple(sorted(set(old[again].tolist())))
    return Upgrade(stage.name, versions, stage.version, int(again.sum()), seconds, defaults, stage.resources.network)


def _seconds(session: Session, stage: Stage, units: pa.Array) -> float:
    won = session.store.table(stage.writes).winners(("wall_seconds",))
    return float(pc.sum(won["wall_seconds"].filter(pc.is_in(won["unit"], value_set=units))).as_py() or 0.0)
