"""Who is kept: people, how many of them before, and what the others are dropped for."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tables.arrow import strings
from pipeline.tables.outcome import OK
from pipeline.tables.parts import read_parts
from pipeline.tables.store import Store

VERDICTS = "verdicts"


@dataclass
class Kept:
    """The verdicts of a run.

    Attributes:
        people: in all.
        kept: of them.
        before: how many were kept by the verdicts that these replaced; None where there were none, or they are not stored any more.
        reasons: {reason code: people}, most first; of one person several may speak.
        alone: {reason code: people against whom nothing else speaks}.
        overridden: people of whom a human decided.
    """

    people: int
    kept: int
    before: int | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    alone: dict[str, int] = field(default_factory=dict)
    overridden: int = 0

    def told(self) -> dict[str, Any]:
        """The same for programs."""
        return {**asdict(self), "dropped": self.dropped}

    @property
    def dropped(self) -> int:
        return self.people - self.kept


def kept_of(store: Store) -> Kept | None:
    """The verdicts of a run as they are; None before anybody was judged."""
    if not store.outcomes(VERDICTS).num_rows:
        return None
    rows = store.read(VERDICTS, ["keep", "reasons", "overridden"])
    dropped = rows.filter(pc.invert(rows["keep"]))
    against = dropped["reasons"].to_pylist()
    counts = Counter(reason for reasons in against for reason in set(reasons))
    return Kept(
        people=len(rows),
        kept=len(rows) - len(dropped),
        before=_kept_before(store),
        reasons=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        alone=dict(Counter(reasons[0] for reasons in against if len(set(reasons)) == 1)),
        overridden=pc.sum(rows["overridden"]).as_py() or 0,
    )


def _kept_before(store: Store) -> int | None:
    """How many the attempt before the winning one kept, of those whose rows are still stored."""
    tried = _stored(store, "outcomes", {"unit": pa.string(), "status": pa.string(), "attempt": pa.int32()})
    won = store.table(VERDICTS).winners()["commit"].combine_chunks()
    tried = tried.filter(pc.is_in(tried["status"], value_set=strings([OK])))  # `pc.equal` with a text imports pandas
    older = tried.filter(pc.invert(pc.is_in(tried["commit"], value_set=won)))
    older = older.sort_by([("attempt", "descending"), ("commit", "descending")])
    if not len(older):
        return None
    rows = _stored(store, "rows", {"keep": pa.bool_()})
    rows = rows.filter(pc.is_in(rows["commit"], value_set=older["commit"].combine_chunks()[:1]))
    return (pc.sum(rows["keep"]).as_py() or 0) if len(rows) else None


def _stored(store: Store, side: str, columns: dict[str, pa.DataType]) -> pa.Table:
    """All that is stored of verdicts on a side, of former attempts too."""
    schema = pa.schema({**columns, "commit": pa.string()})
    return read_parts(store.table(VERDICTS).parts(side), schema.names, schema).table
