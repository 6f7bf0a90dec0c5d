"""Tables that survive anything: append-only Parquet parts, where only the winning attempt of a unit counts.

Layout (DESIGN 4): `tables/<kind>/{rows,outcomes}/part-<commit>.parquet`. A part is written beside its target, fsynced and
renamed; rows first, outcomes last. A row counts if and only if its commit is its unit's winning one, and the winner is the
highest (attempt, commit). A kill between the two files leaves rows that count for nobody.
"""

import json
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.base import files
from pipeline.base.reasons import Reason
from pipeline.storage import Storage, storage_of
from pipeline.tables.hashing import flat, payload_hash, raw, valid
from pipeline.tables.kinds import KINDS, Kind
from pipeline.tables.opt_out import OptOut

OK, REJECTED, FAILED, RETRY = "ok", "rejected", "failed", "retry"

OUTCOME = pa.schema(
    [
        ("unit", pa.string()),
        ("stage", pa.string()),
        ("fingerprint", pa.uint64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("attempt", pa.int32()),
        ("commit", pa.string()),
        ("rows", pa.int32()),
        ("failures", pa.int32()),  # in a row on this fingerprint; null in parts older than the column
        ("wall_seconds", pa.float32()),
        ("cpu_seconds", pa.float32()),
        ("gpu_seconds", pa.float32()),
        ("host", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("versions", pa.string()),
    ]
)
RUN_COLUMNS = (
    "at",
    "host",
    "wall_seconds",
    "cpu_seconds",
    "gpu_seconds",
    "attempt",
    "commit",
)  # differ from run to run
STATE_COLUMNS = (
    "unit",
    "stage",
    "fingerprint",
    "status",
    "reason",
    "attempt",
    "failures",
    "commit",
)  # what planning reads
ROW_GROUP_BYTES = 1 << 20
READ_THREADS = 4
ROWS_FORMAT: dict[str, Any] = {"compression": "zstd", "use_dictionary": ["unit", "commit"]}
# Outcomes are read whole and by the thousand parts: what costs is what stands around the data.
OUTCOMES_FORMAT: dict[str, Any] = {
    "compression": "snappy",
    "use_dictionary": False,
    "write_statistics": False,
    "store_schema": False,
}
HASH = "__hash"
CHANNEL_COLUMNS = ("channel", "channel_id", "channel_handle")
SPEAK_OF_CHANNELS = ("videos", "sources")  # kinds whose rows say who published a video


@dataclass(frozen=True)
class Outcome:
    """What became of a unit; see `OUTCOME` for the columns that the driver adds."""

    unit: str
    stage: str
    fingerprint: int
    status: str
    reason: str = ""
    detail: str = ""
    attempt: int = 1
    rows: int = 0
    failures: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    host: str = ""
    at: Any = None
    versions: str = ""


def stored_schema(kind: Kind) -> pa.Schema:
    """The kind's columns, plus a hash beside each heavy one, plus `unit` and `commit`."""
    hashes = [pa.field(name + HASH, pa.uint64()) for name in kind.heavy]
    return pa.schema([*kind.columns, *hashes, pa.field("unit", pa.string()), pa.field("commit", pa.string())])


def packed_schema(kind: Kind) -> pa.Schema:
    """`stored_schema` without `commit`, which is known only when a part is written."""
    schema = stored_schema(kind)
    return schema.remove(len(schema) - 1)


def pack_rows(kind: Kind, unit: str, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows of one unit as an Arrow table of `stored_schema` without `commit`.

    Lists over frames may be numpy arrays of shape (frames, width). Raises ValueError on unknown columns or repeated keys.
    """
    names = set(kind.schema.names)
    for row in rows:
        if unknown := set(row) - names:
            raise ValueError(f"{kind.name} has no column {', '.join(sorted(unknown))}")
        if not row.get(kind.key):
            raise ValueError(f"{unit} yields a row without a {kind.key}")
    keys = [row[kind.key] for row in rows]
    if len(set(keys)) != len(keys):
        raise ValueError(f"{unit} yields a {kind.key} twice")
    arrays = [to_arrow([row.get(field.name) for row in rows], field.type) for field in kind.columns]
    hashes = [
        pa.array([payload_hash(row.get(name), KINDS[kind.name].schema.field(name).type) for row in rows], pa.uint64())
        for name in kind.heavy
    ]
    unit_column = pa.array([unit] * len(rows), pa.string())
    return pa.Table.from_arrays([*arrays, *hashes, unit_column], schema=packed_schema(kind))


def to_arrow(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Python or numpy values as an Arrow array; (frames, width) arrays become lists over frames without a copy a number."""
    if pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type):
        width, leaf = kind.value_type.list_size, kind.value_type.value_type
        parts, offsets, mask = [], [0], []
        for value in values:
            array = np.zeros((0, width), leaf.to_pandas_dtype()) if value is None else np.asarray(value)
            if array.ndim != 2 or array.shape[1] != width:
                raise ValueError(f"expected an array of shape (frames, {width}), got {array.shape}")
            parts.append(array.astype(leaf.to_pandas_dtype(), copy=False).reshape(-1))
            offsets.append(offsets[-1] + len(array))
            mask.append(value is None)
        flat = pa.array(np.concatenate(parts) if parts else np.zeros(0, leaf.to_pandas_dtype()), leaf)
        inner = pa.FixedSizeListArray.from_arrays(flat, width)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), inner, mask=pa.array(mask, pa.bool_())).cast(
            kind
        )
    return pa.array([v.tolist() if isinstance(v, np.ndarray) else v for v in values], kind)


def to_python(array: pa.Array, kind: pa.DataType) -> list[Any]:
    """The reverse of `to_arrow`: lists over frames come back as (frames, width) arrays, lists of numbers as 1-D arrays."""
    if pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type):
        width = kind.value_type.list_size
        return [
            None if not v.is_valid else v.values.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
            for v in array
        ]
    if pa.types.is_list(kind) and pa.types.is_floating(kind.value_type):
        return [None if not v.is_valid else v.values.to_numpy(zero_copy_only=False) for v in array]
    return array.to_pylist()


def numbers(values: npt.NDArray[Any]) -> pa.Array:
    """A numpy array as an Arrow array. Unlike `pa.array`, this does not import pandas, which takes half a second."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def strings(values: Sequence[str | None]) -> pa.Array:
    """Strings as an Arrow array, None as null, without pandas likewise."""
    encoded = [(value or "").encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(word) for word in encoded], out=offsets[1:])
    known = np.packbits(np.array([value is not None for value in values], bool), bitorder="little")
    buffers = [pa.py_buffer(known), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(encoded), buffers).cast(pa.string())


class Table:
    """One kind's parts on disk.

    Args:
        kind: what its rows are.
        folder: `tables/<kind>` of a run; need not exist yet.
    """

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self._cache: dict[str, Any] = {}

    def parts(self, side: str) -> list[Path]:
        """The files that count on this side ("rows" or "outcomes"): merged ones of today's generation, then parts not merged."""
        generation = self.generation()
        replaced = set(generation.get("replaced", []))
        merged = [self.folder / side / name for name in generation.get(side, [])]
        folder = self.folder / side
        fresh = sorted(p for p in folder.glob("part-*.parquet") if p.name not in replaced) if folder.is_dir() else []
        return merged + fresh

    def generation(self) -> dict[str, Any]:
        """What the last `compact` left: {"generation", "rows", "outcomes", "replaced"}; empty before the first."""
        try:
            return dict(json.loads((self.folder / "generation.json").read_text()))
        except FileNotFoundError:
            return {}

    def append(self, rows: Sequence[pa.Table], outcomes: Sequence[Outcome]) -> str:
        """Write one part: rows first, outcomes last, each fsynced and renamed.

        Args:
            rows: tables of `pack_rows`, one a unit.
            outcomes: one a unit, those of units without rows included.

        Returns: the commit id. Raises OSError when the disk is full or not writable; nothing of the part counts then.
        """
        commit = uuid.uuid4().hex
        if any(len(table) for table in rows):
            table = pa.concat_tables(rows)
            table = table.append_column("commit", pa.array([commit] * len(table), pa.string()))
            write_parquet(table, self.folder / "rows" / f"part-{commit}.parquet", self.kind)
        records = [{**outcome.__dict__, "commit": commit} for outcome in outcomes]
        table = pa.Table.from_pylist(records, OUTCOME)
        write_parquet(table, self.folder / "outcomes" / f"part-{commit}.parquet")
        return commit

    def winners(self, columns: Sequence[str] = STATE_COLUMNS) -> pa.Table:
        """The winning outcome of every unit, sorted by unit; marks of `retry` included. The state columns are always there."""
        parts = self.parts("outcomes")
        if self._cache.get("parts") != parts or not set(columns) <= set(self._cache["winners"].column_names):
            names = list(dict.fromkeys([*STATE_COLUMNS, *columns]))
            wanted = pa.schema([OUTCOME.field(name) for name in names])
            self._cache = {"parts": parts, "winners": _winners(read_parts(parts, names, wanted))}
        return self._cache["winners"]

    def rows(self, columns: Sequence[str], *, places: bool = False) -> pa.Table:
        """Winning rows: the columns asked for, `unit` and `commit`; with `places`, also `file` (index into parts) and `place`."""
        schema = stored_schema(self.kind)
        wanted = pa.schema([schema.field(name) for name in dict.fromkeys([*columns, "unit", "commit"])])
        parts = self.parts("rows")
        table = read_parts(parts, wanted.names, wanted, places=places)
        winners = self.winners()
        at = pc.index_in(table["unit"], value_set=flat(winners["unit"]))
        won = pc.equal(pc.take(winners["commit"], at), table["commit"])
        return table.filter(won)


def read_parts(parts: list[Path], names: list[str], schema: pa.Schema, *, places: bool = False) -> pa.Table:
    """Parts as one table of `schema`: columns that older parts lack are null. `places` adds `file` and `place` columns."""

    def read(number: int) -> pa.Table:
        table = pq.ParquetFile(parts[number]).read(columns=names, use_threads=False)
        if places:
            table = table.append_column("file", numbers(np.full(len(table), number, np.int32)))
            table = table.append_column("place", numbers(np.arange(len(table), dtype=np.int32)))
        return table

    if len(parts) <= READ_THREADS:
        tables = [read(number) for number in range(len(parts))]
    else:  # small files by the thousand: what costs is to open each
        with ThreadPoolExecutor(READ_THREADS) as pool:
            tables = list(pool.map(read, range(len(parts))))
    full = schema
    if places:
        full = full.append(pa.field("file", pa.int32())).append(pa.field("place", pa.int32()))
    empty = pa.Table.from_batches([], full)
    table = pa.concat_tables([empty, *tables], promote_options="default") if tables else empty
    return table.select(full.names).combine_chunks()


def _winners(outcomes: pa.Table) -> pa.Table:
    """Of each unit, the outcome with the highest (attempt, commit)."""
    if not len(outcomes):
        return outcomes
    outcomes = outcomes.take(pc.sort_indices(outcomes["unit"]))
    units = flat(outcomes["unit"])
    new = np.append(True, ~_bits(pc.equal(units[1:], units[:-1])))
    if new.all():
        return outcomes
    commits = flat(outcomes["commit"]).dictionary_encode()
    order_of_commit = np.argsort(raw(pc.sort_indices(commits.dictionary)))
    commit_rank = order_of_commit[raw(commits.indices)]
    codes = np.cumsum(new)
    order = np.lexsort((commit_rank, raw(flat(outcomes["attempt"])), codes))
    last = np.append(codes[order][1:] != codes[order][:-1], True)
    return outcomes.take(numbers(order[last]))


def _bits(column: pa.Array) -> npt.NDArray[np.bool_]:
    return raw(column.cast(pa.uint8())).astype(bool)


def _once(rows: pa.Table, key: str) -> pa.Table:
    """Each key once: where two units yield the same one (a video that two links lead to), that of the first unit counts."""
    if pc.count_distinct(rows[key]).as_py() == len(rows):
        return rows
    order = pc.sort_indices(rows, sort_keys=[(key, "ascending"), ("unit", "ascending")])
    keys = raw(flat(rows[key]).dictionary_encode().indices.take(order))
    first = np.append(True, keys[1:] != keys[:-1])
    return rows.take(numbers(np.sort(raw(order)[first])))


def row_group_size(table: pa.Table, kind: Kind | None) -> int:
    """Rows a group: few where rows are heavy, so that one person's keypoints are read without those of a hundred others."""
    rows = max(1, len(table))
    return max(1, int(ROW_GROUP_BYTES / max(1, table.nbytes / rows))) if kind is not None and kind.heavy else rows


def write_parquet(table: pa.Table, path: Path, kind: Kind | None = None) -> None:
    """Write beside the target, fsync, rename."""
    with files.replacing(path) as temporary:
        options = OUTCOMES_FORMAT if kind is None else ROWS_FORMAT
        pq.write_table(table, temporary, row_group_size=row_group_size(table, kind), **options)


@lru_cache(maxsize=32)
def _open_part(path: str) -> pq.ParquetFile:
    return pq.ParquetFile(path, memory_map=True)


def read_places(places: Iterable[tuple[str, int]], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Columns of single rows, by (Parquet file, row number): what a worker fetches for its unit."""
    wanted: dict[tuple[str, int], list[tuple[int, int]]] = {}  # by row group, so that each is read once
    ends: dict[str, list[int]] = {}
    for number, (path, place) in enumerate(places):
        if path not in ends:
            about = _open_part(path).metadata
            ends[path] = list(accumulate(about.row_group(group).num_rows for group in range(about.num_row_groups)))
        group = bisect_right(ends[path], place)
        first = ends[path][group - 1] if group else 0
        wanted.setdefault((path, group), []).append((number, place - first))
    found: dict[int, dict[str, Any]] = {}
    for (path, group), rows in wanted.items():
        table = _open_part(path).read_row_group(group, columns=list(columns), use_threads=False)
        table = table.take(numbers(np.array([at for _, at in rows], np.int64)))
        names = table.column_names
        values = [to_python(flat(table[name]), table.schema.field(name).type) for name in names]
        for (number, _), row in zip(rows, zip(*values, strict=True), strict=True):
            known = dict(zip(names, row, strict=True))
            found[number] = {name: known.get(name) for name in columns}
    return [found[number] for number in sorted(found)]


class Store:
    """All tables of one run.

    Args:
        run: the run's folder; need not exist yet.
        opt_out: videos and channels whose rows do not count, whatever was done with them before.
    """

    def __init__(self, run: Path, opt_out: OptOut | None = None) -> None:
        self.run = Path(run)
        self.opt_out = opt_out or OptOut()
        self._tables: dict[str, Table] = {}
        self._keys: dict[tuple[str, str], tuple[Any, pa.Array]] = {}
        self._opted_out: tuple[Any, pa.Array] | None = None

    @property
    def storage(self) -> Storage:
        """Where the files lie that rows name."""
        return storage_of(self.run)

    def table(self, kind: str) -> Table:
        if kind not in self._tables:
            self._tables[kind] = Table(KINDS[kind], self.run / "tables" / kind)
        return self._tables[kind]

    @property
    def opted_out(self) -> pa.Array:
        """Ids of the videos that are left out: those on the list, and all that are known of the channels on it."""
        if not self.opt_out:
            return pa.array([], pa.string())
        state = self.opt_out, [self._parts_of(kind) for kind in SPEAK_OF_CHANNELS]
        if self._opted_out is None or self._opted_out[0] != state:
            found = set(self.opt_out.videos)
            for kind in SPEAK_OF_CHANNELS if self.opt_out.channels else ():
                rows = self.table(kind).rows(["video_id", *CHANNEL_COLUMNS])
                named = np.zeros(len(rows), dtype=bool)
                for column in CHANNEL_COLUMNS:
                    named |= _by_value(rows[column], self.opt_out.names_channel)
                found.update(rows["video_id"].filter(pa.array(named)).drop_null().to_pylist())
            self._opted_out = state, pa.array(sorted(found), pa.string())
        return self._opted_out[1]

    def rows(self, kind: str, columns: Sequence[str], *, places: bool = False) -> pa.Table:
        """Winning rows, whatever became of their parents, without those of videos that opted out; see `Table.rows`."""
        if not self.opt_out or "video_id" not in KINDS[kind].schema.names:
            return self.table(kind).rows(columns, places=places)
        rows = self.table(kind).rows(list(dict.fromkeys([*columns, "video_id"])), places=places)
        return rows.filter(pc.invert(pc.is_in(rows["video_id"], value_set=self.opted_out)))

    def live(self, kind: str, columns: Sequence[str], *, where: str = "", places: bool = False) -> pa.Table:
        """Winning rows whose parent row still counts, with the kind's key; `where` keeps rows with that boolean true."""
        spec = KINDS[kind]
        parent = KINDS[spec.parent].key if spec.parent else ""
        needed = [name for name in dict.fromkeys([spec.key, parent, where, *columns]) if name]
        rows = self.rows(kind, needed, places=places)
        if where:
            rows = rows.filter(rows[where])
        if parent:
            alive = self.keys(spec.parent, where=spec.parent_where)
            rows = rows.filter(pc.is_in(rows[parent], value_set=alive))
        return _once(rows, spec.key)

    def every(self, kind: str, columns: Sequence[str]) -> pa.Table:
        """All rows that are still stored, also those that later attempts replaced, but for videos that opted out.

        For looking back: what was measured then. `compact` and `gc` remove such rows.
        """
        wanted = pa.schema([KINDS[kind].schema.field(name) for name in dict.fromkeys([*columns, "video_id"])])
        rows = read_parts(self.table(kind).parts("rows"), wanted.names, wanted)
        return rows.filter(pc.invert(pc.is_in(rows["video_id"], value_set=self.opted_out))).select(list(columns))

    def keys(self, kind: str, *, where: str = "") -> pa.Array:
        """Keys of the live rows of a kind; remembered until a part of it, or of what it hangs on, comes or goes."""
        state = self.opt_out, self._parts_above(kind)
        if (kind, where) not in self._keys or self._keys[kind, where][0] != state:
            self._keys[kind, where] = state, flat(self.live(kind, [], where=where)[KINDS[kind].key])
        return self._keys[kind, where][1]

    def _parts_of(self, kind: str) -> list[Path]:
        return [part for side in ("rows", "outcomes") for part in self.table(kind).parts(side)]

    def _parts_above(self, kind: str) -> list[Path]:
        """Every file that decides which rows of a kind are live."""
        own = self._parts_of(kind) + (self._parts_above(KINDS[kind].parent) if KINDS[kind].parent else [])
        if self.opt_out.channels and not KINDS[kind].parent:
            own += [part for other in SPEAK_OF_CHANNELS if other != kind for part in self._parts_of(other)]
        return own

    def read(self, kind: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Live rows of a kind, clean: the columns asked for (all by default), no bookkeeping, sorted by key."""
        spec = KINDS[kind]
        names = list(columns) if columns is not None else spec.schema.names
        rows = self.live(kind, names)
        return rows.take(pc.sort_indices(rows[spec.key])).select(names)

    def outcomes(self, kind: str) -> pa.Table:
        """Winning outcomes of the units that still exist, without marks of `retry`.

        What a stage found of a video that opted out since does not show: such a source is rejected as `opted_out`.
        """
        spec = KINDS[kind]
        won = self.table(kind).winners(OUTCOME.names)
        won = won.filter(pc.not_equal(won["status"], RETRY))
        if spec.unit_of:
            where = spec.parent_where if spec.unit_of == spec.parent else ""
            won = won.filter(pc.is_in(won["unit"], value_set=self.keys(spec.unit_of, where=where)))
        elif len(self.opted_out) and kind == "videos":
            won = self._refused(won)
        elif len(self.opted_out):
            won = won.filter(pc.invert(pc.is_in(won["unit"], value_set=self.opted_out)))
        return won

    def _refused(self, won: pa.Table) -> pa.Table:
        """Outcomes of `videos` in which the sources of opted-out videos are rejected."""
        rows = self.table("videos").rows(["video_id"])
        units = rows["unit"].filter(pc.is_in(rows["video_id"], value_set=self.opted_out))
        out = pc.is_in(won["unit"], value_set=flat(units))
        said = {"status": REJECTED, "reason": Reason.OPTED_OUT.code, "detail": "named by the opt-out list"}
        for name, text in said.items():
            at = won.schema.get_field_index(name)
            won = won.set_column(at, won.schema.field(at), pc.if_else(out, text, won[name]))
        return won

    @property
    def kinds(self) -> list[str]:
        """Kinds that have at least one part."""
        folder = self.run / "tables"
        return [name for name in KINDS if (folder / name / "outcomes").is_dir()]


def _by_value(column: pa.ChunkedArray, what: Callable[[str], bool]) -> npt.NDArray[np.bool_]:
    """(rows,) `what` of each value of a column with few distinct ones; false where it is null."""
    encoded = flat(column).dictionary_encode()
    values = np.array([what(value) for value in encoded.dictionary.to_pylist()], dtype=bool)
    here = valid(encoded.indices)
    found = np.zeros(len(encoded), dtype=bool)
    if len(values):
        found[here] = values[raw(encoded.indices)[here]]
    return found
