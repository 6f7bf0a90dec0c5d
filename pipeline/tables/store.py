"""The store of a run: all its tables, and which of their rows count once parents and opt-outs are known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.damage import Damage
from pipeline.base.reasons import Reason
from pipeline.storage import Storage, storage_of
from pipeline.tables.arrow import filtered, numbers, strings
from pipeline.tables.hashing import TERM, Hashes, flat, raw, term, valid
from pipeline.tables.kinds import KINDS
from pipeline.tables.listings import Listings
from pipeline.tables.opt_out import OptOut
from pipeline.tables.outcome import OUTCOME, REJECTED, RETRY
from pipeline.tables.table import Table

CHANNEL_COLUMNS = ("channel", "channel_id", "channel_handle")
SPEAK_OF_CHANNELS = ("videos", "sources")  # kinds whose rows say who published a video


HELD_BYTES = 512 << 20  # of columns that a store holds; those of larger tables are read whenever they are asked for


@dataclass
class _Held:
    """Columns of the live rows of a kind.

    Attributes:
        state: of all that decides which rows these are.
        once: whether each key is there once.
        alive: (winning rows,) whether the parent of each counts; None where none is asked for, or before anything was read.
    """

    state: Any
    columns: dict[str, pa.Array] = field(default_factory=dict)
    once: bool = False
    alive: pa.ChunkedArray | None = None

    @property
    def bytes(self) -> int:
        """Memory that the columns take."""
        return sum(column.nbytes for column in self.columns.values())

    def take(self, rows: pa.Table, key: str) -> None:
        """Hold the columns of these rows as well."""
        first = not self.columns
        self.columns |= {name: flat(rows[name]) for name in rows.column_names}
        if first:
            self.columns[key + TERM] = numbers(term(self.columns[key], key))
            self.once = _distinct(self.columns[key], raw(self.columns[key + TERM]))

    def table(self, names: Sequence[str]) -> pa.Table:
        """Columns that are held; terms of hashes are made of those when they are first asked for."""
        for name in names:
            if name not in self.columns:
                of = name.removesuffix(TERM)
                self.columns[name] = numbers(term(self.columns[of], of))
        return pa.table({name: self.columns[name] for name in names})


class Store:
    """All tables of one run.

    Args:
        run: the run's folder; need not exist yet.
        opt_out: videos and channels whose rows do not count, whatever was done with them before.
        damages: takes what is missing or damaged by its path, and reading goes on with the rest, as to look at a run; None, for
            for a stage that builds on what it reads, raises `Damaged` instead.

    Attributes:
        listings: of the folders in which the files of rows lie.
    """

    def __init__(self, run: Path, opt_out: OptOut | None = None, *, damages: dict[str, Damage] | None = None) -> None:
        self.run = Path(run)
        self.opt_out = opt_out or OptOut()
        self.damages = damages
        self.listings = Listings()
        self._tables: dict[str, Table] = {}
        self._keys: dict[tuple[str, str], tuple[Any, pa.Array]] = {}
        self._opted_out: tuple[Any, pa.Array] | None = None
        self._live: dict[str, _Held] = {}

    @property
    def storage(self) -> Storage:
        """Where the files lie that rows name."""
        return storage_of(self.run)

    def table(self, kind: str) -> Table:
        if kind not in self._tables:
            dependents = partial(self._dependents, kind)
            self._tables[kind] = Table(KINDS[kind], self.run / "tables" / kind, self.damages, dependents)
        return self._tables[kind]

    def _dependents(self, kind: str) -> list[str]:
        """Kinds of which something was made from this one: units that are its keys, or rows that hang on its rows."""
        tables = self.run / "tables"
        found = []
        for name, spec in KINDS.items():
            sides = ["outcomes"] * (spec.unit_of == kind) + ["rows"] * (spec.parent == kind)
            if any(any((tables / name / side).glob("*.parquet")) for side in sides):
                found.append(name)
        return found

    @property
    def opted_out(self) -> pa.Array:
        """Ids of the videos that are left out: those on the list, and all that are known of the channels on it."""
        if not self.opt_out:
            return strings([])
        state = self.opt_out, [self._parts_of(kind) for kind in SPEAK_OF_CHANNELS]
        if self._opted_out is None or self._opted_out[0] != state:
            found = set(self.opt_out.videos)
            for kind in SPEAK_OF_CHANNELS if self.opt_out.channels or self.opt_out.taken else ():
                rows = self.table(kind).rows(["video_id", *CHANNEL_COLUMNS])
                found.update(filter(self.opt_out.took_down, pc.unique(rows["video_id"]).to_pylist()))
                named = np.zeros(len(rows), dtype=bool)
                for column in CHANNEL_COLUMNS:
                    named |= _by_value(rows[column], self.opt_out.names_channel)
                found.update(rows["video_id"].filter(pa.array(named)).drop_null().to_pylist())
            self._opted_out = state, strings(sorted(found))
        return self._opted_out[1]

    def rows(self, kind: str, columns: Sequence[str], *, places: bool = False) -> pa.Table:
        """Winning rows, whatever became of their parents, without those of videos that opted out; see `Table.rows`."""
        if not self.opt_out or "video_id" not in KINDS[kind].schema.names:
            return self.table(kind).rows(columns, places=places)
        of_videos = ("video_id", *KINDS[kind].mentions)
        rows = self.table(kind).rows(list(dict.fromkeys([*columns, *of_videos])), places=places)
        for column in of_videos:
            rows = rows.filter(pc.invert(pc.is_in(rows[column], value_set=self.opted_out)))
        return rows

    def live(
        self, kind: str, columns: Sequence[str], *, where: str = "", places: bool = False, terms: Sequence[str] = ()
    ) -> pa.Table:
        """Winning rows whose parent row still counts, with the kind's key.

        Args:
            kind: of rows.
            columns: wanted.
            where: keeps rows with that boolean true.
            places: as in `Table.rows`.
            terms: columns whose per-row hash terms are also returned; cached because hashing strings is slow.
        """
        spec = KINDS[kind]
        parent = KINDS[spec.parent].key if spec.parent else ""
        needed = [name for name in dict.fromkeys([spec.key, parent, where, *columns, *terms]) if name]
        rows, once = self._alive(kind, needed, places, [name + TERM for name in terms])
        if where:
            rows = rows.filter(rows[where])
        return rows if once else _once(rows, spec.key)

    def _alive(self, kind: str, needed: list[str], places: bool, terms: list[str]) -> tuple[pa.Table, bool]:
        """Winning rows whose parent row counts, and whether each key is known to be there once.

        The stages of one command ask for the same columns again and again: those of small tables are held until a part of them, or
        of what they hang on, comes or goes.
        """
        if self.damages is not None:  # what is wrong is collected at each look
            rows = self._with_parents(kind, self.rows(kind, needed, places=places))
            looked = _Held(None, {name: flat(rows[name]) for name in rows.column_names})
            return looked.table([*rows.column_names, *terms]), False
        wanted = [*dict.fromkeys([*needed, "unit", "commit"]), *(("file", "place") if places else ())]
        state = self.opt_out, self._parts_above(kind)
        held = self._live.pop(kind, None)
        if held is None or held.state != state:
            held = _Held(state)
        if missing := [name for name in wanted if name not in held.columns]:
            keys = self._keys_of(kind) if not held.columns else ()
            rows = self.rows(kind, [name for name in needed if name in missing or name in keys], places=places)
            alive = self._has_parent(kind, rows) if held.alive is None and KINDS[kind].parent else held.alive
            if (self.opt_out, self._parts_above(kind)) != state:  # a compaction took place meanwhile
                return self._alive(kind, needed, places, terms)
            held.alive = alive
            held.take(rows if alive is None else filtered(rows, alive), KINDS[kind].key)
        else:
            self.table(kind).check_rows()
        table = held.table([*wanted, *terms])
        if held.bytes + sum(other.bytes for other in self._live.values()) <= HELD_BYTES:
            self._live[kind] = held
        return table, held.once

    def _keys_of(self, kind: str) -> set[str]:
        spec = KINDS[kind]
        return {spec.key, *([KINDS[spec.parent].key] if spec.parent else [])}

    def _with_parents(self, kind: str, rows: pa.Table) -> pa.Table:
        return filtered(rows, self._has_parent(kind, rows)) if KINDS[kind].parent else rows

    def _has_parent(self, kind: str, rows: pa.Table) -> pa.ChunkedArray:
        """(rows,) whether the parent of each counts."""
        spec = KINDS[kind]
        alive = self.keys(spec.parent, where=spec.parent_where)
        return pc.is_in(rows[KINDS[spec.parent].key], value_set=alive)

    def every(self, kind: str, columns: Sequence[str]) -> pa.Table:
        """All rows that are still stored, also those that later attempts replaced, but for videos that opted out.

        For looking back: what was measured then. `compact` and `gc` remove such rows.
        """
        wanted = pa.schema([KINDS[kind].schema.field(name) for name in dict.fromkeys([*columns, "video_id"])])
        rows = self.table(kind).every(wanted.names)
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
        if (self.opt_out.channels or self.opt_out.taken) and not KINDS[kind].parent:
            own += [part for other in SPEAK_OF_CHANNELS if other != kind for part in self._parts_of(other)]
        return own

    def read(self, kind: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Live rows of a kind, clean: the columns asked for (all by default), no bookkeeping, sorted by key."""
        spec = KINDS[kind]
        names = list(columns) if columns is not None else spec.schema.names
        rows = self.live(kind, names)
        return rows.take(pc.sort_indices(rows[spec.key])).select(names)

    def outcomes(self, kind: str, columns: Sequence[str] = tuple(OUTCOME.names)) -> pa.Table:
        """Winning outcomes of the units that still exist, without marks of `retry`.

        What a stage found of a video that opted out since does not show: such a source is rejected as `opted_out`.

        Args:
            kind: of rows.
            columns: to read; fewer are faster. More may be present.
        """
        spec = KINDS[kind]
        won = self.table(kind).winners((*columns, "detail") if kind == "videos" else columns)
        won = filtered(won, pc.not_equal(won["status"], RETRY))
        if spec.unit_of:
            where = spec.parent_where if spec.unit_of == spec.parent else ""
            won = filtered(won, pc.is_in(won["unit"], value_set=self.keys(spec.unit_of, where=where)))
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
        return [name for name in KINDS if any((folder / name / side).is_dir() for side in ("outcomes", "rows"))]


def _once(rows: pa.Table, key: str) -> pa.Table:
    """Each key once: where two units yield the same one (a video that two links lead to), that of the first unit counts."""
    keys = flat(rows[key])
    if _distinct(keys, term(keys, key)):
        return rows
    order = pc.sort_indices(rows, sort_keys=[(key, "ascending"), ("unit", "ascending")])
    codes = raw(keys.dictionary_encode().indices.take(order))
    first = np.append(True, codes[1:] != codes[:-1])
    return rows.take(numbers(np.sort(raw(order)[first])))


def _distinct(values: pa.Array, hashes: Hashes) -> bool:
    """Whether each value is there once: sorting their hashes takes a tenth of the memory of a table of ten million strings."""
    hashes = np.sort(hashes)
    if not values.null_count and np.all(hashes[1:] != hashes[:-1]):
        return True
    return bool(pc.count_distinct(values).as_py() == len(values))


def _by_value(column: pa.ChunkedArray, what: Callable[[str], bool]) -> npt.NDArray[np.bool_]:
    """(rows,) `what` of each value of a column with few distinct ones; false where it is null."""
    encoded = flat(column).dictionary_encode()
    values = np.array([what(value) for value in encoded.dictionary.to_pylist()], dtype=bool)
    here = valid(encoded.indices)
    found = np.zeros(len(encoded), dtype=bool)
    if len(values):
        found[here] = values[raw(encoded.indices)[here]]
    return found
