"""Plans: a stage's units, their fingerprints, and which of them lack an outcome with the current fingerprint."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.cycles import gc_paused
from pipeline.base.reasons import Reason, ReasonClass
from pipeline.base.units import Row
from pipeline.engine.chosen import keeps_older
from pipeline.engine.fingerprint import fingerprints, signature, superseded
from pipeline.engine.old_rows import NONE, VIDEOS, OldRows, old_rows, stay
from pipeline.engine.stage import ALL, Grouping, Reads, Stage, chooses, undivided
from pipeline.engine.unit import HeavyRows, StoredRows, Unit
from pipeline.tables.arrow import HASH, Ids, numbers, strings
from pipeline.tables.hashing import (
    TERM,
    Hashes,
    digest,
    flat,
    mix,
    raw,
    row_hashes,
    string_hashes,
    unit_hashes,
    valid,
)
from pipeline.tables.kinds import KINDS, is_path
from pipeline.tables.outcome import FAILED, OK, REJECTED
from pipeline.tables.results import BrokenPromise, broken, promised
from pipeline.tables.store import Store

_STATES = {"pending": 0, OK: 1, REJECTED: 2, FAILED: 3}
_AT_ONCE = 1 << 18
MAX_ATTEMPTS = 3  # a unit that fails this often on the same input waits for `csg405 retry`

Indices = npt.NDArray[np.int64]


@dataclass
class _Input:
    """One kind read: its rows, and which of them belong to which unit (sorted by unit: a compressed sparse row index)."""

    reads: Reads
    table: pa.Table
    parts: list[str]
    rows: Indices  # row numbers, grouped by unit
    starts: Indices  # (units + 1,) where each unit's group begins in `rows`

    def of(self, unit: int) -> pa.Table:
        rows = self.rows[self.starts[unit] : self.starts[unit + 1]]
        table = self.table.take(numbers(rows))
        return table.take(pc.sort_indices(table[KINDS[self.reads.kind].key])) if len(table) > 1 else table

    def rows_of(self, units: Sequence[int]) -> Indices:
        """Numbers of the rows of these units, each once."""
        pieces = [self.rows[self.starts[unit] : self.starts[unit + 1]] for unit in units]
        return np.unique(np.concatenate(pieces)) if pieces else self.rows[:0]


@dataclass
class Plan:
    """The units of a stage and their state.

    Attributes:
        units: every unit id, sorted.
        fingerprints: (units,) 64-bit hashes of everything that the unit's result depends on.
        status: (units,) ok, rejected, failed or pending, as of today's fingerprint.
        attempts: (units,) attempts made so far, whatever the fingerprint.
        failures: (units,) of them, how many of the last ones failed on today's fingerprint.
        pending: (pending,) indices of the units that a run would do.
        content: (units,) hashes of what the units hold.
        nets: "name sha256, ..." of those that a run uses; the runner says it.
        lost: {index: files} of the units that are pending only because a file of theirs is missing or has another size.
        old: rows of an older reader that today's may make otherwise, unless they were said to stay.
        again: indices of the units that are pending only because of that: their file is read where it lies, never fetched.
        unchosen: how many units without a result the stage leaves out.
    """

    stage: Stage
    units: Sequence[str]
    fingerprints: Hashes
    status: npt.NDArray[np.str_]
    attempts: npt.NDArray[np.int32]
    failures: npt.NDArray[np.int32]
    pending: Indices
    inputs: list[_Input]
    content: Hashes
    nets: str = ""
    lost: dict[int, list[BrokenPromise]] = field(default_factory=dict)
    old: OldRows = NONE
    again: frozenset[int] = frozenset()
    unchosen: int = 0

    def unit(self, index: int) -> Unit:
        """The unit with its light rows, and the addresses of its heavy ones; one whose file is read again, with its own row."""
        light: dict[str, list[Row] | pa.Table] = {}
        heavy: dict[str, HeavyRows] = {}
        for item in self.inputs:
            spec = KINDS[item.reads.kind]
            table = item.of(index)
            names = [n for n in (*id_columns(item.reads.kind), *item.reads.columns) if n not in spec.heavy]
            if self.stage.in_columns:
                names += [n + HASH for n in item.reads.columns if n in spec.heavy]
            rows = table.select(list(dict.fromkeys(names)))
            light[item.reads.kind] = rows if self.stage.in_columns else rows.to_pylist()
            wanted = tuple(n for n in item.reads.columns if n in spec.heavy)
            if wanted:
                files, places = table["file"].to_pylist(), table["place"].to_pylist()
                heavy_rows = [(item.parts[f], p) for f, p in zip(files, places, strict=True)]
                heavy[item.reads.kind] = StoredRows(wanted, heavy_rows)
        if index in self.again:
            light[VIDEOS] = [self.old.row(self.units[index])]
        return Unit(self.units[index], light, heavy)

    def pending_units(self) -> Iterator[tuple[int, Unit]]:
        """Yield (index, unit) of pending units."""
        for index in self.pending:
            yield int(index), self.unit(int(index))

    def only(self, shard: tuple[int, int] | None) -> "Plan":
        """Restrict the pending units to those of shard (i, n)."""
        if shard is None:
            return self
        mine = [i for i in self.pending if in_shard(self.stage, self.units[i], shard)]
        return replace(self, pending=np.array(mine, dtype=np.int64))

    @property
    def lost_files(self) -> int:
        """How many files of the pending units are missing or have another size."""
        return sum(len(self.lost.get(int(i), ())) for i in self.pending)

    @property
    def read_again(self) -> int:
        """How many of the pending units are so only because an older reader looked at their file."""
        return len(self.again.intersection(self.pending.tolist()))

    def untried(self) -> "Plan":
        """Drop the pending units that already failed with the current fingerprint."""
        return replace(self, pending=self.pending[self.status[self.pending] != FAILED])

    def rest(self) -> dict[str, int]:
        """The units that are not pending, by what there is to tell of them; with those they make up all."""
        there = np.delete(self.status, self.pending)
        failed, open_ = (int(np.count_nonzero(there == name)) for name in (FAILED, "pending"))
        counts = {
            "done before": len(there) - failed - open_,
            "failed before": failed,
            self.stage.unchosen: self.unchosen,
            "of other shards": open_ - self.unchosen,
        }
        return {words: count for words, count in counts.items() if count > 0}

    def counts(self) -> dict[str, int]:
        """Units by status."""
        counts = {name: int(np.count_nonzero(self.status == name)) for name in (OK, REJECTED, FAILED, "pending")}
        return {name: count for name, count in counts.items() if count}


def in_shard(stage: Stage, unit: str, shard: tuple[int, int] | None) -> bool:
    """Whether shard (i, n) does a unit: its hash is i modulo n; of a stage that cannot be shared shard 0 does all."""
    if shard is None:
        return True
    return (0 if undivided(stage) else digest(unit) % shard[1]) == shard[0]


@gc_paused()
def plan(stage: Stage, store: Store, model_hashes: Sequence[str] = ()) -> Plan:
    """Find a stage's units and which are pending; reads hashes and small columns, never keypoints.

    Args:
        stage: with its settings.
        store: the run's tables.
        model_hashes: sha256 of the nets that the stage will use, in its own order.
    """
    from_outside = stage.sources(store)
    if from_outside is not None:
        units: Sequence[str] = sorted(set(from_outside))
        values = strings(units)
        hashes = string_hashes(values)
        if isinstance(from_outside, Mapping):
            states = [from_outside[unit] for unit in units]
            own = mix(hashes ^ string_hashes(strings(states)))
            hashes = np.where(np.array([state != "" for state in states], dtype=bool), own, hashes)
        inputs: list[_Input] = []
    else:
        values, hashes, inputs = _from_tables(stage, store)
        units = Ids(values)
    prints = fingerprints(hashes, signature(stage, store, model_hashes))
    status, attempts, failures, pending = _state(stage, store, values, prints)
    if np.any((status == "pending") & (attempts > 0)) and keeps_older(stage, store.run):
        old, was = superseded(stage, store, values, hashes, model_hashes)
        status = np.where(old > 0, was, status)
        pending = pending[old[pending] == 0]
    unchosen = 0
    if from_outside is None and stage.unit != ALL and chooses(stage):
        worth = set(stage.choose(store, [units[i] for i in pending]))
        unchosen = sum(units[i] not in worth and status[i] != FAILED for i in pending)
        pending = np.array([i for i in pending if units[i] in worth], dtype=np.int64)
    made = Plan(stage, units, prints, status, attempts, failures, pending, inputs, hashes, unchosen=unchosen)
    return _with_old(_with_lost(made, store), store)


def _with_lost(made: Plan, store: Store) -> Plan:
    """The plan with the units pending whose files are not as their rows promise."""
    lost = _lost(made.stage, store, made.units, made.status)
    return replace(_also_pending(made, lost), lost=lost)


def _with_old(made: Plan, store: Store) -> Plan:
    """The plan with the units pending whose file today's reader may read otherwise, unless these were said to stay."""
    if stay(made.stage, store.run):
        return made
    old = old_rows(made.stage, store, made.units, made.status == OK)
    again = frozenset(at for at, unit in enumerate(made.units) if unit in old.at) if old.at else frozenset()
    return replace(_also_pending(made, again), old=old, again=again)


def _also_pending(made: Plan, units: Collection[int]) -> Plan:
    made.status[list(units)] = "pending"
    return replace(made, pending=np.union1d(made.pending, np.array(list(units), dtype=np.int64)))


def _lost(
    stage: Stage, store: Store, units: Sequence[str], status: npt.NDArray[np.str_]
) -> dict[int, list[BrokenPromise]]:
    """{index: files} of the units that are done, but for files that are not as their rows promise."""
    promises = [one for one in promised(store, stage.writes) if one.ours]
    found = broken(store.storage, promises, store.listings) if promises else []
    places = {unit: at for at, unit in enumerate(units)} if found else {}
    lost: dict[int, list[BrokenPromise]] = {}
    for one in found:
        at = places.get(one.promise.unit, -1)
        if at >= 0 and status[at] == OK:
            lost.setdefault(at, []).append(one)
    return lost


def _from_tables(stage: Stage, store: Store) -> tuple[pa.Array, Hashes, list[_Input]]:
    """Units, their content hashes, and their rows, from the kinds that the stage reads."""
    tables = [_load(reads, store) for reads in stage.reads]
    base = tables[0] if tables else None
    by_kind = {reads.kind: table for reads, table in zip(stage.reads, tables, strict=True)}
    grouped = stage.group(by_kind) if isinstance(stage, Grouping) else None
    if stage.unit == ALL and grouped is None:
        values = strings([ALL])
        base_units = None
    else:
        assert base is not None, f"{stage.name} reads nothing and has no sources"
        base_units = strings(grouped) if grouped is not None else flat(base[stage.unit])
        values = pc.unique(base_units.drop_null())
        values = values.take(pc.sort_indices(values))
    total = np.zeros(len(values), dtype=np.uint64)
    inputs = []
    for number, (reads, table) in enumerate(zip(stage.reads, tables, strict=True)):
        codes, rows = _codes(reads, table, stage, base, base_units, values, number == 0, grouped is not None)
        hashed = row_hashes(table, _hashed(reads))[rows]
        with np.errstate(over="ignore"):
            total = mix(total ^ np.uint64(digest(reads.kind))) + unit_hashes(codes, hashed, len(values))
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(values) + 1))
        parts = [str(p) for p in store.table(reads.kind).parts("rows")]
        inputs.append(_Input(reads, table.select(_needed(table)), parts, rows[order], starts))
    return values, total, inputs


def _load(reads: Reads, store: Store) -> pa.Table:
    """Live rows of a kind: key columns, declared light columns, hashes of declared heavy ones, places, and terms of strings."""
    spec = KINDS[reads.kind]
    columns = [name + HASH if name in spec.heavy else name for name in reads.columns]
    words = [
        name
        for name in _hashed(reads)
        if name in spec.schema.names and pa.types.is_string(spec.schema.field(name).type)
    ]
    return store.live(reads.kind, [*id_columns(reads.kind), *columns], where=reads.where, places=True, terms=words)


def id_columns(kind: str) -> list[str]:
    """The columns of a kind by which rows are joined: its key, and the ids of what contains it. Units always carry them."""
    spec = KINDS[kind]
    return [n for n in dict.fromkeys((spec.key, "video_id", "clip_id", "person_id")) if n in spec.schema.names]


def _needed(table: pa.Table) -> list[str]:
    """The columns that units are made of: those that told which rows count, and the terms of hashes, have served."""
    return [name for name in table.column_names if name not in ("unit", "commit") and not name.endswith(TERM)]


def _hashed(reads: Reads) -> list[str]:
    """The columns that decide what a unit holds: the key and the declared ones, of heavy ones their hashes."""
    spec = KINDS[reads.kind]
    content = [name for name in reads.columns if not is_path(spec.schema.field(name))]  # a path says where, not what
    return list(dict.fromkeys([spec.key, *(name + HASH if name in spec.heavy else name for name in content)]))


def _codes(
    reads: Reads,
    table: pa.Table,
    stage: Stage,
    base: pa.Table | None,
    base_units: pa.Array | None,
    units: pa.Array,
    first: bool,
    grouped: bool,
) -> tuple[Indices, Indices]:
    """(unit code, row number) pairs: which rows of this kind belong to which unit."""
    everything = np.arange(len(table), dtype=np.int64)
    if base is None or base_units is None:
        return np.zeros(len(table), dtype=np.int64), everything
    if first or (not grouped and stage.unit in table.column_names):
        own = base_units if first else flat(table[stage.unit])
        positions = pc.index_in(own, value_set=units)
        return _valid(positions, everything)
    key = KINDS[reads.kind].key
    at = pc.index_in(flat(base[key]), value_set=flat(table[key]))
    unit_of_base = pc.index_in(base_units, value_set=units)
    both = valid(at) & valid(unit_of_base)
    codes = raw(unit_of_base)[both].astype(np.int64)
    rows = raw(at)[both].astype(np.int64)
    pairs = np.unique(codes * max(1, len(table)) + rows)  # as one number each: sorting pairs takes five times as long
    return pairs // max(1, len(table)), pairs % max(1, len(table))


def _valid(indices: pa.Array, rows: Indices) -> tuple[Indices, Indices]:
    there = valid(indices)
    return raw(indices)[there].astype(np.int64), rows[there]


def _state(
    stage: Stage, store: Store, units: pa.Array, fingerprints: Hashes
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.int32], npt.NDArray[np.int32], Indices]:
    """Status, attempts, failures and pending indices of the units, from the winning outcomes."""
    won = store.table(stage.writes).winners()
    known, at = _places(units, flat(won["unit"]))
    mine = np.zeros(len(units), dtype=np.int8)  # of what `_STATES` lists
    attempts, failures = np.zeros(len(units), dtype=np.int32), np.zeros(len(units), dtype=np.int32)
    waiting, discarded = np.zeros(len(units), dtype=bool), np.zeros(len(units), dtype=bool)

    def column(name: str) -> pa.Array:  # one after the other: of ten million outcomes each takes a share of a gigabyte
        return flat(won[name].take(at))

    attempts[known] = raw(column("attempt"))
    same = raw(column("fingerprint")) == fingerprints[known]
    mine[known] = np.where(same, _by_code(column("status"), lambda name: _STATES.get(name, 0), "i1"), 0)
    counted = column("failures")
    failures[known] = np.where(same & valid(counted), raw(counted), 0)
    reasons = column("reason")
    waiting[known] = _by_code(reasons, _gives_up, "?")
    discarded[known] = _by_code(reasons, Reason.SOURCE_DISCARDED.code.__eq__, "?")
    waiting = (waiting & (failures >= MAX_ATTEMPTS)) | discarded  # what was freed comes back when it is asked for
    status = np.array(list(_STATES), dtype="U8")[mine]
    pending = np.flatnonzero((status == "pending") | ((status == FAILED) & ~waiting))
    return status, attempts, failures, pending


def _places(units: pa.Array, others: pa.Array) -> tuple[npt.NDArray[np.bool_], pa.Array]:
    """Where units stand among others, both sorted, each once.

    A part of both at a time: a table of ten million strings to look them up takes more memory than they do.

    Returns: (units,) which are there, and (of these,) their places.
    """
    known, found = [np.zeros(0, dtype=bool)], [np.zeros(0, dtype=np.int64)]
    ids, first = Ids(others), 0
    for begin in range(0, len(units), _AT_ONCE):
        end = begin + _AT_ONCE
        last = bisect_left(ids, units[end].as_py(), first) if end < len(units) else len(others)
        at = pc.index_in(units.slice(begin, _AT_ONCE), value_set=others.slice(first, last - first))
        there = valid(at)
        known.append(there)
        found.append(raw(at)[there].astype(np.int64) + first)
        first = last
    return np.concatenate(known), numbers(np.concatenate(found))


def _by_code(column: pa.Array, what: Callable[[str], Any], dtype: str) -> npt.NDArray[Any]:
    """(rows,) `what` of each value of a column with few distinct ones."""
    encoded = column.dictionary_encode()
    values = np.array([what(value) for value in encoded.dictionary.to_pylist()], dtype=dtype)
    return np.asarray(values[raw(encoded.indices)])


def _gives_up(reason: str) -> bool:
    """Whether repeated failures of this class end automatic retries: our own do, the network's never."""
    try:
        return Reason.of(reason).kind not in (ReasonClass.LATER, ReasonClass.BLOCKED)
    except KeyError:
        return False
