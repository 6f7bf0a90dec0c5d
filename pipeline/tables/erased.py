"""Works of which no table may say anything any more, and what tables say of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.tables import people
from pipeline.tables.kinds import KINDS
from pipeline.tables.person_files import of_words, words_in, words_of
from pipeline.tables.store import Store

_NAMES = ("source", "url", "path", "unit")  # of a video: what units of other tables may be called


def _named(rows: pa.Table) -> frozenset[str]:
    return frozenset(name for column in _NAMES for name in pc.unique(rows[column]).to_pylist() if name)


@dataclass(frozen=True)
class Erased:
    """Works that are erased from tables.

    Attributes:
        works: video ids.
        names: links and units that are nothing but theirs, whatever they look like.
    """

    works: frozenset[str]
    names: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, store: Store, works: frozenset[str]) -> "Erased":
        """With what the table `videos` knows them by, in rows that count no more too: it is to be erased last.

        What the winning row of another work is called by is no name of theirs.
        """
        table, ids = store.table("videos"), pa.array(sorted(works), pa.string())
        rows = table.every(["video_id", *_NAMES])
        others = table.rows(["video_id", *_NAMES])
        mine = _named(rows.filter(pc.is_in(rows["video_id"], value_set=ids)))
        return cls(works, mine - _named(others.filter(pc.invert(pc.is_in(others["video_id"], value_set=ids)))))

    def is_about(self, word: str | None) -> bool:
        """Whether a text is, or names, one of them."""
        if not word:
            return False
        return word in self.names or word in self.works or not self.works.isdisjoint(people.mentioned(word))

    def is_in(self, parts: Iterable[Path]) -> bool:
        """Whether a part of a table, rows that count no more too, says anything of them. Raises DamagedFile."""
        return any(self.is_about(word) for part in parts for word in words_in(part))

    def columns(self, kind: str) -> list[str]:
        """The columns of a kind that may."""
        return [column.name for column in KINDS[kind].schema if of_words(column.type)]

    def rows_without(self, rows: pa.Table) -> pa.Table:
        """Rows that say nothing of them."""
        gone = np.zeros(len(rows), bool)
        for name, column in zip(rows.column_names, rows.columns, strict=True):
            if of_words(column.type) and name != "commit":
                gone |= self._in_column(column)
        return rows.filter(pa.array(~gone, pa.bool_()))

    def outcomes_without(self, outcomes: pa.Table) -> pa.Table:
        """Outcomes of other units; the details of those name none of them."""
        outcomes = outcomes.filter(pa.array(~self._in_column(outcomes["unit"]), pa.bool_()))
        at = outcomes.schema.get_field_index("detail")
        detail = pc.if_else(pa.array(self._in_column(outcomes["detail"]), pa.bool_()), "", outcomes["detail"])
        return outcomes.set_column(at, outcomes.schema.field(at), detail)

    def _in_column(self, column: pa.ChunkedArray) -> NDArray[np.bool_]:
        """(rows,) whether a value, or a text in a list of them, is about one of the works."""
        about = [word for word in words_of(column) if self.is_about(word)]
        if not about:
            return np.zeros(len(column), bool)
        if pa.types.is_list(column.type):
            return np.array([self._is_in_value(value) for value in column.to_pylist()], bool)
        found = pc.is_in(column, value_set=pa.array(about, pa.string()))
        return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), bool)

    def _is_in_value(self, value: object) -> bool:
        if isinstance(value, list):
            return any(map(self._is_in_value, value))
        return isinstance(value, str) and self.is_about(value)
