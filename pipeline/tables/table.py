"""A table that survives anything: append-only Parquet parts, where only the winning attempt of a unit counts.

Layout (DESIGN 4): `tables/<kind>/{rows,outcomes}/part-<commit>.parquet`. A part is written beside its target, fsynced and
renamed; rows first, outcomes last. A row counts if and only if its commit is its unit's winning one, and the winner is the
highest (attempt, commit). A kill between the two files leaves rows that count for nobody.
"""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tables.arrow import numbers, stored_schema
from pipeline.tables.hashing import flat, raw
from pipeline.tables.kinds import Kind
from pipeline.tables.outcome import OUTCOME, STATE_COLUMNS, Outcome
from pipeline.tables.parts import read_parts, write_parquet


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
