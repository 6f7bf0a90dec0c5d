"""Upgrades: finished work that a newer version of the product makes pending; told, and done anew only when it is asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import BadUse, StageError
from pipeline.engine.changes import Change
from pipeline.engine.chosen import Chosen, chosen_of
from pipeline.engine.fingerprint import superseded, version_in
from pipeline.engine.newer import NewReader, Upgrade
from pipeline.engine.old_rows import kept_key, told_key
from pipeline.engine.plan import plan
from pipeline.engine.profile import as_toml
from pipeline.engine.session import Session
from pipeline.engine.stage import Stage
from pipeline.engine.stage_nets import net_hashes
from pipeline.media import readers
from pipeline.registry.models import MissingModel, Registry
from pipeline.tables.arrow import strings
from pipeline.tables.hashing import flat
from pipeline.tables.store import Store
from pipeline.tables.table import remaking


def upgrades(
    session: Session, names: Sequence[str], changed: Sequence[Change], models: Registry
) -> Iterator[Upgrade | NewReader]:
    """What would be done again, of these stages, for no other reason than a newer version, reader or default.

    Args:
        session: whose run it is.
        names: the stages.
        changed: how the session differs from how the run was left.
        models: the registry; one that may fetch and build, where the stages are to run after it.
    """
    for name in names:
        stage = session.profile.stage(name)
        defaults = _defaults(session, name, changed)
        found = None
        if defaults or _made_by_others(stage, session.store, session.chosen.kept):
            found = _of(stage, session.store, models, defaults)
        if found:
            yield found
        if reader := _new_reader(stage, session.store, models, session.chosen.kept):
            yield reader


def settle_stores(stages: Sequence[tuple[Stage, Store]], models: Registry, *, redo: bool, keep: bool) -> list[Upgrade]:
    """Do the same as `upgrades` and `settle` for stages with stores of their own, such as an evaluation's.

    Each store remembers what was said of its stages. Returns what newer versions make new.

    Raises:
        BadUse: both were said. StageError: nothing was said, and there is something to say.
    """
    found = [(stage, store, upgrade) for stage, store in stages if (upgrade := _in_store(stage, store, models))]
    newer = [replace(upgrade, stage=f"{stage.name} of {store.run.name}") for stage, store, upgrade in found]
    _check_answer(newer, redo=redo, keep=keep)
    for stage, store in stages if redo else ():
        _remember(store, stage.name, None)
    for stage, store, _ in found if keep else ():
        _remember(store, stage.name, stage.version)
    return newer


def _in_store(stage: Stage, store: Store, models: Registry) -> Upgrade | None:
    found = chosen_of(store.run)
    by_others = _made_by_others(stage, store, found.kept if found else {})
    return _of(stage, store, models, {}) if by_others else None


def _remember(store: Store, stage: str, version: int | None) -> None:
    """Note in the store's folder that results of a stage stay beside this version, or, for None, that nothing was said."""
    chosen = chosen_of(store.run)
    if chosen is None and version is None:
        return
    kept = {name: known for name, known in (chosen.kept if chosen else {}).items() if name != stage}
    replace(chosen or Chosen(), kept=kept if version is None else {**kept, stage: version}).write(store.run)


def settle(
    session: Session, found: Sequence[Upgrade | NewReader], names: Sequence[str], *, redo: bool, keep: bool
) -> None:
    """Let the session do again what a newer version asks for, or keep it, as the user said.

    Raises:
        BadUse: both were said. StageError: nothing was said, and there is something to say.
    """
    _check_answer(found, redo=redo, keep=keep)
    undone = names if redo else ()
    kept = {name: version for name, version in session.chosen.kept.items() if name.partition(".")[0] not in undone}
    sets = dict(session.chosen.sets)
    for one in found:
        kept |= one.marks(keep=keep)
        if keep or not one.asks:
            sets |= {key: as_toml("off" if value is None else value) for key, value in one.defaults.items()}
    session.choose(replace(session.chosen, kept=kept, sets=sets))


def _check_answer(found: Sequence[Upgrade | NewReader], *, redo: bool, keep: bool) -> None:
    """Raise BadUse where both were said, StageError where neither was and there is something to say."""
    if redo and keep:
        raise BadUse("give --redo or --keep, not both")
    asking = [one for one in found if one.asks]
    if asking and not (redo or keep):
        told = "; ".join(f"{one.stage} {one}" for one in asking)
        raise StageError(
            f"this version of csg405 makes finished work new: {told}. Nothing was done and nothing is lost: "
            "--redo does it again, --keep leaves it as it is (make: REDO=1 or KEEP=1)"
        )


def _defaults(session: Session, name: str, changed: Sequence[Change]) -> dict[str, Any]:
    """What a shipped profile said before of this stage; in a file of their own, users change what they mean to."""
    if session.chosen.profile.endswith(".toml"):
        return {}
    return {change.key: change.old for change in changed if change.stage == name and not change.chosen}


def _made_by_others(stage: Stage, store: Store, kept: Mapping[str, int]) -> bool:
    """Whether another version of the stage made a result, and nobody has said yet that it stays; without planning."""
    if kept.get(stage.name) == stage.version:
        return False
    versions = store.table(stage.writes).winners(("versions",))["versions"]
    texts = flat(versions).dictionary_encode().dictionary.to_pylist()
    return bool({version_in(text, stage.name) for text in texts} - {0, stage.version})


def _of(stage: Stage, store: Store, models: Registry, defaults: Mapping[str, Any]) -> Upgrade | None:
    try:
        nets = net_hashes(stage, models)
    except MissingModel:
        return None  # its line says so when it is its turn
    work = plan(stage, store, nets)
    before = {key.partition(".")[2]: value for key, value in defaults.items()}
    forms = [type(stage)(**{**stage.model_dump(), **before})] if before else []
    old, _ = superseded(stage, store, strings(work.units), work.content, nets, forms)
    again = old > 0
    if not stage.resources.network:
        waits = np.zeros(len(again), bool)
        waits[work.pending] = True
        again &= waits
    if not again.any():
        return None
    seconds = _seconds(store, stage, strings(work.units).filter(pa.array(again)))
    versions = tuple(sorted(set(old[again].tolist())))
    return Upgrade(stage.name, versions, stage.version, int(again.sum()), seconds, defaults, stage.resources.network)


def _new_reader(stage: Stage, store: Store, models: Registry, kept: Mapping[str, int]) -> NewReader | None:
    """What today's reader may read otherwise, unless that was said before, and what to do about it."""
    if not stage.looks_at_files or kept.get(kept_key(stage.name)) == readers.READER_VERSION:
        return None
    with remaking(store.table(stage.writes).folder):  # lost rows that wait to be made anew are no reason to stop here
        work = plan(stage, store, net_hashes(stage, models))
    if not work.again and (not work.old.away or kept.get(told_key(stage.name)) == readers.READER_VERSION):
        return None
    return NewReader(stage.name, work.old, _seconds(store, stage, strings(list(work.old.at))))


def _seconds(store: Store, stage: Stage, units: pa.Array) -> float:
    won = store.table(stage.writes).winners(("wall_seconds",))
    return float(pc.sum(won["wall_seconds"].filter(pc.is_in(won["unit"], value_set=units))).as_py() or 0.0)
