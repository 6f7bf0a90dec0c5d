"""Checking a run's tables against what was promised, and setting damaged parts aside so that their units are done again."""

import socket
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base import files
from pipeline.base.damage import Damage
from pipeline.storage import FOLDERS, DiskStorage
from pipeline.tables import ledger, losses, pointer, promises
from pipeline.tables.kinds import KINDS
from pipeline.tables.lock import driving
from pipeline.tables.outcome import RETRY, STATE_COLUMNS, Outcome
from pipeline.tables.seal import DamagedFile, check_whole
from pipeline.tables.store import Store
from pipeline.tables.stores import NamedStore, stores_of
from pipeline.tables.table import SIDES, Table


@dataclass(frozen=True)
class Cost:
    """What making lost units of a table anew will take.

    Attributes:
        store: name of the store; "" is the run's own.
        kind: of the table.
        units: to be done again, as far as they are known.
        seconds: that they took, all workers together.
        stages: that make them.
    """

    store: str
    kind: str
    units: int
    seconds: float
    stages: tuple[str, ...]


def damages(store: Store, *, deep: bool = False) -> list[Damage]:
    """What is missing from the tables of a run, or is not what was written; [] when all is well. Nothing is changed.

    Args:
        store: the run's main one.
        deep: read every byte of every part that counts.

    Raises: DiskError where the disk does not give a file's bytes.
    """
    found: dict[str, Damage] = {}
    for one in stores_of(Store(store.run, store.opt_out, damages=found)):
        for kind in KINDS:
            table = one.store.table(kind)
            if len(table.winners()) or table.folder.is_dir():
                table.rows([])
                if deep:
                    _compare(table, found)
    return sorted(found.values(), key=lambda damage: damage.path)


def _compare(table: Table, found: dict[str, Damage]) -> None:
    """Compare each part with its seal; a part whose rows count for no unit may be what it likes."""
    bad: dict[Path, str] = {}
    for side in SIDES:
        for part in table.parts(side):
            try:
                check_whole(part)
            except DamagedFile as error:
                bad[part] = str(error)
    if bad:
        for damage in _in_full(table, bad):
            found.setdefault(damage.path, damage)


def _in_full(table: Table, bad: Mapping[Path, str]) -> list[Damage]:
    winners = table.winners()
    lost = np.zeros(len(winners), np.int64)
    rows = {path: said for path, said in bad.items() if path.parent.name == "rows"}
    commits = [path.stem.removeprefix("part-") for path in rows if path.name.startswith("part-")]
    mine = pc.and_(
        pc.is_in(winners["commit"], value_set=pa.array(commits, pa.string())), pc.greater(winners["rows"], 0)
    )
    damages = promises.by_part(table.folder, winners.filter(mine), lost[: pc.sum(mine).as_py() or 0], rows)
    for path in [path for path in rows if path.name.startswith("merged-")]:
        units = promises.units_in(path)
        damages.append(losses.of_part(path, rows[path], rows=len(units), units=tuple(sorted(set(units)))))
    return damages + promises.unread(table.folder, {path: said for path, said in bad.items() if path not in rows})


def costs(store: Store, found: Iterable[Damage], makers: Mapping[str, str]) -> list[Cost]:
    """What making anew takes, a line a table. `makers` names the stage of each kind, where no outcome does."""
    return [_cost(one, kind, mine, makers) for one, kind, mine in _by_table(store, found)]


def _cost(one: NamedStore, kind: str, mine: Sequence[Damage], makers: Mapping[str, str]) -> Cost:
    units = {unit for damage in mine for unit in damage.units}
    won = one.store.table(kind).winners([*STATE_COLUMNS, "wall_seconds"])
    known = won.filter(pc.is_in(won["unit"], value_set=pa.array(sorted(units), pa.string())))
    mean = (pc.mean(won["wall_seconds"]).as_py() or 0.0) if len(won) else 0.0
    seconds = (pc.sum(known["wall_seconds"]).as_py() or 0.0) + mean * (len(units) - len(known))
    stages = {name for name in known["stage"].to_pylist() if name} or ({makers[kind]} if kind in makers else set())
    return Cost(one.name, kind, len(units), seconds, tuple(sorted(stages)))


def _by_table(store: Store, found: Iterable[Damage]) -> list[tuple[NamedStore, str, list[Damage]]]:
    """Damages that can be set aside, by store and kind."""
    mine: dict[tuple[str, str], list[Damage]] = {}
    for damage in found:
        if damage.set_aside and (place := _table_of(damage)):
            mine.setdefault(place, []).append(damage)
    stores = {one.name: one for one in stores_of(Store(store.run, store.opt_out, damages={}))}
    return [(stores[name], kind, damages) for (name, kind), damages in sorted(mine.items()) if name in stores]


def _table_of(damage: Damage) -> tuple[str, str] | None:
    """(store, kind) of a damaged file of a table; None of other files."""
    head, _, tail = f"/{damage.path}".rpartition("/tables/")
    kind = tail.partition("/")[0]
    return (head.strip("/"), kind) if kind in KINDS else None


def set_aside(store: Store, found: Iterable[Damage], makers: Mapping[str, str]) -> list[Path]:
    """Move damaged parts to `set-aside/` of their table and make their units pending; nothing is deleted.

    Until the stage that makes the rows went over all its units, nothing is built on the table. A kill in between leaves less
    damage, and the same call goes on with that. Returns: where the files lie now.

    Raises: Occupied while a stage writes one of the tables.
    """
    listed = list(found)
    others = [one.path for one in listed if one.set_aside and not _table_of(one)]
    moved = [path for key in others if (path := _move_stored(store, key))]
    work = _by_table(store, listed)
    with ExitStack() as locks:
        for one, kind, _ in work:
            locks.enter_context(driving(one.store.run, kind))
        for one, kind, mine in work:
            moved += _set_aside(one.store.table(kind), mine, _cost(one, kind, mine, makers))
    return moved


def _move_stored(store: Store, key: str) -> Path | None:
    """Move a damaged result to the run's own folder; None where it is not there."""
    folder = store.run / losses.SET_ASIDE / PurePosixPath(key).parent
    storage = store.storage if PurePosixPath(key).parts[0] in FOLDERS else DiskStorage(store.run)
    if not storage.remote:
        path = storage.local(key)
        return _move(path, folder) if path.is_file() else None
    with tempfile.TemporaryDirectory(dir=store.run) as place:
        copy = Path(place) / PurePosixPath(key).name
        if not storage.copy(key, copy):
            return None
        moved = _move(copy, folder)
    storage.delete(key)
    return moved


def _set_aside(table: Table, mine: Sequence[Damage], cost: Cost) -> list[Path]:
    run = losses.home_of(table.folder.parents[1])
    paths = [DiskStorage(run).local(damage.path) for damage in mine]
    parts = [path for path in paths if path.name != pointer.NAME]
    units = sorted({unit for damage in mine for unit in damage.units})
    if parts or units:
        promises.await_rows(table.folder, cost.units, cost.stages)
    moved = _mend_pointer(table, [path for path in paths if path.name == pointer.NAME])
    if units:
        table.append([], _marks(table, units, cost.stages))
    aside = table.folder / losses.SET_ASIDE
    moved += [_move(path, aside / path.parent.name) for path in parts if path.is_file()]
    ledger.forget(table.folder, [path.stem.removeprefix("part-") for path in parts if path.parent.name == "outcomes"])
    _point_without(table, {path.name for path in parts})
    return moved


def _mend_pointer(table: Table, damaged: Sequence[Path]) -> list[Path]:
    """Put a pointer that the merged files tell in place of a lost one; where they tell none, the parts are what there is."""
    moved = []
    for path in damaged:
        again = table.generation()
        moved += [_move(path, table.folder / losses.SET_ASIDE)] if path.is_file() else []
        if again.generation:
            pointer.write(table.folder, again)
    return moved


def _marks(table: Table, units: Sequence[str], stages: Sequence[str]) -> list[Outcome]:
    """Outcomes by which units are pending, as those of `retry`."""
    won = table.winners()
    known = {row["unit"]: row for row in won.filter(pc.is_in(won["unit"], value_set=pa.array(units))).to_pylist()}
    host, now = socket.gethostname(), datetime.now(UTC)
    marks = []
    for unit in units:
        last = known.get(unit, {"stage": next(iter(stages), ""), "fingerprint": 0, "attempt": 0})
        attempt = last["attempt"] + 1
        marks.append(Outcome(unit, last["stage"], last["fingerprint"], RETRY, attempt=attempt, host=host, at=now))
    return marks


def _move(path: Path, place: Path) -> Path:
    """Move a file into a folder, beside what lies there under its name."""
    files.make_folder(place)
    target, number = place / path.name, 0
    while target.exists():
        number += 1
        target = place / f"{path.stem}.{number}{path.suffix}"
    path.replace(target)
    files.sync(place)
    files.sync(path.parent)
    return target


def _point_without(table: Table, gone: set[str]) -> None:
    """The pointer without merged files that were set aside; outcomes that are lost take no part's place any more."""
    today = table.generation()
    if not gone & {*today.rows, *today.outcomes}:
        return
    rows, outcomes = (tuple(name for name in today.of(side) if name not in gone) for side in SIDES)
    counts = {name: count for name, count in today.counts.items() if name not in gone}
    pointer.write(table.folder, replace(today, rows=rows, outcomes=outcomes, counts=counts))
