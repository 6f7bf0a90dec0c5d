"""A table that survives anything: append-only Parquet parts, where only the winning attempt of a unit counts.

Layout (DESIGN 4): `tables/<kind>/{rows,outcomes}/part-<commit>.parquet`. A part is written beside its target, fsynced and
renamed; rows first, outcomes last, then a line of the ledger. A row counts if and only if its commit is its unit's winning one, and
the winner is the highest (attempt, commit). A kill between the two files leaves rows that count for nobody.

What is read is compared with what was promised: files that the pointer and the ledger name are there, each reads, and each winning
outcome finds as many rows as it says. What is not so stops the reader
(`Damaged`), or is collected where the caller asked to go on without it.
"""

import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.damage import Damage, Damaged
from pipeline.tables import ledger, losses, pointer, promises
from pipeline.tables.arrow import filtered, numbers, stored_schema
from pipeline.tables.calls import repeated
from pipeline.tables.hashing import flat, raw
from pipeline.tables.kinds import Kind
from pipeline.tables.outcome import OUTCOME, STATE_COLUMNS, Outcome
from pipeline.tables.parts import MISSING, Reading, read_parts, write_parquet
from pipeline.tables.pointer import Lost, Pointer
from pipeline.tables.run_folder import EVALUATE

SIDES = ("rows", "outcomes")

_Read = TypeVar("_Read")
_remade: ContextVar[frozenset[Path]] = ContextVar("_remade", default=frozenset())


@contextmanager
def remaking(folder: Path) -> Iterator[None]:
    """Let the block read a table whose lost rows are not made anew yet: it belongs to the stage that makes them."""
    token = _remade.set(_remade.get() | {folder})
    try:
        yield
    finally:
        _remade.reset(token)


class Table:
    """One kind's parts on disk.

    Args:
        kind: what its rows are.
        folder: `tables/<kind>` of a run; need not exist yet.
        damages: takes what is missing or damaged, and reading goes on with the rest; None raises `Damaged` instead.
        dependents: says which other tables of the store were made from this one; a table with any was there once.
    """

    def __init__(
        self,
        kind: Kind,
        folder: Path,
        damages: dict[str, Damage] | None = None,
        dependents: Callable[[], list[str]] = list,
    ) -> None:
        self.kind = kind
        self.folder = folder
        self._damages = damages
        self._dependents = dependents
        self._cache: dict[str, Any] = {}

    def parts(self, side: str) -> list[Path]:
        """The files that count on this side ("rows" or "outcomes"): merged ones of today's generation, then parts not merged.

        Raises: Damaged where one that was promised is missing, unless the table goes on with what there is.
        """
        return self._steady(lambda: self._found(side)).parts

    def _found(self, side: str) -> tuple["_Look", list[Damage]]:
        look = self._look(side)
        return look, [*look.damages, *promises.unread(self.folder, dict.fromkeys(look.missing, MISSING))]

    def generation(self) -> Pointer:
        """What the last `compact` left. Raises as `parts`."""
        return self._steady(lambda: self._pointer(self._names("outcomes")))

    def _steady(self, read: Callable[[], tuple[_Read, list[Damage]]]) -> _Read:
        """Read, and again where a compaction took place meanwhile; what is wrong even so is damage."""
        while True:
            before = self._stamp()
            found, damages = read()
            if not damages or self._stamp() == before:
                self._tell(damages)
                return found

    def _stamp(self) -> tuple[int, int]:
        """What changes with every compaction."""
        try:
            state = (self.folder / pointer.NAME).stat()
        except FileNotFoundError:
            return (0, 0)
        return (state.st_ino, state.st_mtime_ns)

    def _tell(self, damages: Sequence[Damage]) -> None:
        if not damages:
            return
        if self._damages is None:
            others = {damage.path for damage in damages} - {damages[0].path}
            raise Damaged(damages[0], losses.home_of(self.folder.parents[1]), len(others))
        for damage in damages:
            known = self._damages.get(damage.path)
            if known is None or len(known.units) < len(damage.units):
                self._damages[damage.path] = damage

    def _names(self, side: str) -> list[str]:
        try:
            with os.scandir(self.folder / side) as entries:
                return sorted(entry.name for entry in entries if entry.name.endswith(".parquet"))
        except FileNotFoundError:
            return []

    def _pointer(self, outcomes: list[str]) -> tuple[Pointer, list[Damage]]:
        found = pointer.read(self.folder, outcomes)
        if isinstance(found, Pointer):
            return found, []
        return found.again or Pointer(), [self._lost(found)]

    def _lost(self, lost: Lost) -> Damage:
        holds = f"which merged files of {self.kind.name} count"
        damage = losses.of_pointer(self.folder / pointer.NAME, lost.problem, holds)
        if lost.again:
            return damage
        merged = sorted((self.folder / "rows").glob("merged-*.parquet"))
        units = tuple(sorted({unit for path in merged for unit in promises.units_in(path)}))
        return replace(damage, units=units, lost=promises.OUTCOMES_LOST)

    def _look(self, side: str) -> "_Look":
        """The files that count on a side, and what was promised beside them."""
        outcomes = self._names("outcomes")
        today, damages = self._pointer(outcomes)
        promised = ledger.commits(self.folder, today.generation) if side == "outcomes" else set()
        names = self._names(side)  # after the ledger: what that names was there before
        fresh = [name for name in names if name.startswith("part-") and name not in today.replaced]
        missing = sorted({f"part-{commit}.parquet" for commit in promised} - set(fresh) - today.replaced)
        missing += sorted(set(today.of(side)) - set(names))
        damages += self._gone(names) if side == "outcomes" and not promised else []
        there = [name for name in today.of(side) if name not in missing]
        folder = self.folder / side
        parts, lost = [folder / name for name in (*there, *fresh)], [folder / name for name in missing]
        return _Look(parts, lost, today.counts, damages, today.generation, promised)

    def _gone(self, names: list[str]) -> list[Damage]:
        """A table that is not there at all, though others were made from it."""
        if names or (self.folder / losses.SET_ASIDE).is_dir() or not (others := self._dependents()):
            return []
        holds = f"what {', '.join(others)} {'was' if len(others) == 1 else 'were'} made from"
        return [losses.of_pointer(self.folder / "outcomes", MISSING, holds)]

    def append(self, rows: Sequence[pa.Table], outcomes: Sequence[Outcome]) -> str:
        """Write one part: rows first, outcomes last, each fsynced and renamed; then the ledger names it.

        Args:
            rows: tables of `pack_rows`, one a unit.
            outcomes: one a unit, those of units without rows included.

        Returns: the commit id. Raises OSError when the disk is full or not writable, and `Damaged` as `parts`, before anything is
        written; the part counts as a whole or not at all.
        """
        generation, unnamed = self._unnamed()
        commit = uuid.uuid4().hex
        if any(len(table) for table in rows):
            table = pa.concat_tables(rows)
            table = table.append_column("commit", pa.array([commit] * len(table), pa.string()))
            write_parquet(table, self.folder / "rows" / f"part-{commit}.parquet", self.kind)
        records = [{**outcome.__dict__, "commit": commit} for outcome in outcomes]
        table = pa.Table.from_pylist(records, OUTCOME)
        write_parquet(table, self.folder / "outcomes" / f"part-{commit}.parquet")
        ledger.add(self.folder, generation, [*unnamed, commit])
        return commit

    def _unnamed(self) -> tuple[int, list[str]]:
        """Today's generation, and the commits that count and that its ledger does not name yet: of a kill, or an older version."""
        look = self._steady(lambda: self._found("outcomes"))
        there = {part.stem.removeprefix("part-") for part in look.parts if part.name.startswith("part-")}
        return look.generation, sorted(there - look.named)

    def take_stock(self) -> None:
        """Name in the ledger all commits that count."""
        generation, unnamed = self._unnamed()
        if unnamed:
            ledger.add(self.folder, generation, unnamed)

    def winners(self, columns: Sequence[str] = STATE_COLUMNS) -> pa.Table:
        """The winning outcome of every unit, sorted by unit; marks of `retry` included. The state columns are always there.

        Raises: Damaged as `parts`, and where a part does not read, or the rows of a winning commit are missing.
        """
        return self._steady(lambda: self._won(columns))

    def _won(self, columns: Sequence[str]) -> tuple[pa.Table, list[Damage]]:
        look = self._look("outcomes")
        if self._cache.get("parts") != look.parts or not set(columns) <= set(self._cache["winners"].column_names):
            known = self._cache["winners"].column_names if self._cache.get("parts") == look.parts else STATE_COLUMNS
            names = list(dict.fromkeys([*known, *columns]))
            wanted = pa.schema([OUTCOME.field(name) for name in names])
            winners, lost = _winners(read_parts(look.parts, names, wanted, counts=look.counts))
            self._cache = {"parts": look.parts, "winners": winners, "bad": lost}
            self._cache["with rows"] = promises.commits_with_rows(winners, look.parts)
        bad = {**dict.fromkeys(look.missing, MISSING), **self._cache["bad"]}
        damages = [*look.damages, *promises.unread(self.folder, bad)]
        there = set(self._names("rows"))
        gone = [commit for commit in self._cache["with rows"] if f"part-{commit}.parquet" not in there]
        if gone:
            damages += promises.missing(self.folder, self._cache["winners"], gone)
        return self._cache["winners"], damages

    def rows(self, columns: Sequence[str], *, places: bool = False) -> pa.Table:
        """Winning rows: the columns asked for, `unit` and `commit`; with `places`, also `file` (index into parts) and `place`.

        Raises: Damaged as `winners`, and where outcomes promise more rows than there are, or these wait to be made anew.
        """
        schema = stored_schema(self.kind)
        wanted = pa.schema([schema.field(name) for name in dict.fromkeys([*columns, "unit", "commit"])])
        return self._steady(lambda: self._winning(wanted, places))

    def _winning(self, wanted: pa.Schema, places: bool) -> tuple[pa.Table, list[Damage]]:
        winners, damages = self._won(())
        look = self._look("rows")
        reading = read_parts(look.parts, wanted.names, wanted, places=places, counts=look.counts)
        bad = {**dict.fromkeys(look.missing, MISSING), **reading.bad}
        known = (self._cache["parts"], look.parts)
        if (
            not bad and self._cache.get("rows won", ((), None))[0] == known
        ):  # which rows win is asked for every few columns
            return filtered(reading.table, self._cache["rows won"][1]), [*damages, *self._awaited()]
        at = pc.index_in(reading.table["unit"], value_set=flat(winners["unit"]))
        won = pc.equal(pc.take(winners["commit"], at), reading.table["commit"])
        found = np.bincount(raw(flat(at.filter(won))), minlength=len(winners))
        lacking = promises.kept(self.folder, winners, found, self._cache["parts"], bad)
        if not (bad or lacking):
            self._cache["rows won"] = known, won
        return filtered(reading.table, won), [*damages, *lacking, *self._awaited()]

    def check_rows(self) -> None:
        """Raise as `rows`, for who knows its rows from before: files are still there, and none waits to be made anew."""
        self._steady(lambda: (None, [*self._won(())[1], *self._look("rows").damages, *self._awaited()]))

    def every(self, columns: Sequence[str]) -> pa.Table:
        """All rows that are still stored, also those that later attempts replaced. Raises as `parts`, or where one is damaged."""
        stored = stored_schema(self.kind)
        schema = pa.schema([stored.field(name) for name in columns])
        return self._steady(lambda: self._stored(schema))

    def _stored(self, schema: pa.Schema) -> tuple[pa.Table, list[Damage]]:
        look = self._look("rows")
        reading = read_parts(look.parts, [*schema.names, "commit"], schema, counts=look.counts)
        bad = {**dict.fromkeys(look.missing, MISSING), **reading.bad}
        return reading.table, look.damages + promises.unread(self.folder, bad)

    def _awaited(self) -> list[Damage]:
        """Rows that were lost and set aside, and are not made anew yet: nothing is built without them."""
        if self.folder in _remade.get():
            return []
        store = self.folder.parents[1]
        home = losses.home_of(store)
        found = promises.awaited(self.folder)
        return found if home == store else [replace(one, remedy=repeated(EVALUATE, store, home)) for one in found]


@dataclass(frozen=True)
class _Look:
    """What one look at a side found.

    Attributes:
        parts: files that count and are there.
        missing: files that should be.
        counts: {name: rows} of merged files, where the pointer says so.
        damages: to what says which files count.
        generation: today's.
        named: commits of it that the ledger names, for the side of outcomes.
    """

    parts: list[Path]
    missing: list[Path]
    counts: Mapping[str, int]
    damages: list[Damage]
    generation: int
    named: set[str]


def _winners(reading: Reading) -> tuple[pa.Table, dict[Path, str]]:
    """Of each unit, the outcome with the highest (attempt, commit); and the parts that did not read."""
    outcomes, bad = reading.table, reading.bad
    del reading
    if not len(outcomes):
        return outcomes, bad
    order, schema, columns = pc.sort_indices(outcomes["unit"]), outcomes.schema, outcomes.columns
    del outcomes  # so that of ten million outcomes a column is there twice, and not all of them
    for at in range(len(columns)):
        columns[at] = columns[at].take(order)
    return _last(pa.table(columns, schema)), bad


def _last(outcomes: pa.Table) -> pa.Table:
    """Of outcomes that are sorted by unit, the one with the highest (attempt, commit) of each."""
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
