"""Rows of `videos` that an older reader made: which of them today's may read otherwise, and whether their files are there."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.units import Row
from pipeline.engine.chosen import chosen_of
from pipeline.engine.stage import Stage
from pipeline.media import readers
from pipeline.storage import Storage, tombstone_of
from pipeline.tables.hashing import flat, raw, valid
from pipeline.tables.kinds import KINDS
from pipeline.tables.store import Store

VIDEOS = "videos"
HERE, ANEW = "", "made anew anyway"
FREED, AWAY, ELSEWHERE = "raw discarded", "file away", "not in today's input"


@dataclass(frozen=True)
class OldRows:
    """Rows whose files today's reader may read otherwise.

    Attributes:
        table: rows of `videos`, with `unit`, whose files are there.
        away: {why: how many} whose files cannot be read again; their rows stay.
        versions: of the readers that made all of them; 0 for rows of before there were versions.
    """

    table: pa.Table
    away: Counter[str] = field(default_factory=Counter)
    versions: tuple[int, ...] = ()

    @cached_property
    def at(self) -> dict[str, int]:
        """{unit: its place in the table}."""
        return {unit: place for place, unit in enumerate(self.table["unit"].to_pylist())}

    def row(self, unit: str) -> Row:
        """A unit's row, as a worker makes it."""
        rows = self.table.select(KINDS[VIDEOS].schema.names).slice(self.at[unit], 1).to_pylist()
        return dict(rows[0])

    @property
    def why(self) -> str:
        """Why some cannot be read again, with counts."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.away.most_common())

    def __str__(self) -> str:
        """How many, by which readers, and what is new since."""
        count = len(self.at) + self.away.total()
        made = " and ".join(
            f"reader {version}" if version else "a reader without a version" for version in self.versions
        )
        news = "; ".join(readers.news_since(min(self.versions, default=readers.READER_VERSION)))
        files = "1 file was" if count == 1 else f"{count:,} files were"
        return f"{files} read by {made}, and today's is reader {readers.READER_VERSION} ({news})"


NONE = OldRows(pa.Table.from_arrays([pa.nulls(0, pa.string())], ["unit"]))


def old_rows(stage: Stage, store: Store, units: Sequence[str], done: npt.NDArray[np.bool_]) -> OldRows:
    """The rows of a stage that an older reader made and that today's may make otherwise.

    Args:
        stage: any; others than those that look at files have none.
        store: the run's tables.
        units: all of today's.
        done: (units,) which have a row that counts, and nothing else to be done for.
    """
    if not stage.looks_at_files or not _has_old(store):
        return NONE
    rows = store.live(VIDEOS, KINDS[VIDEOS].schema.names).filter(readers.concerned())
    why = np.array(list(_away(rows, store.storage, dict(zip(units, done.tolist(), strict=True)))), object)
    known = rows.filter(pa.array(why != ANEW))
    versions = sorted(pc.unique(pc.fill_null(known["reader_version"], 0)).to_pylist())
    away = Counter(reason for reason in why.tolist() if reason not in (HERE, ANEW))
    return OldRows(rows.filter(pa.array(why == HERE)), away, tuple(versions))


def _has_old(store: Store) -> bool:
    versions = flat(store.live(VIDEOS, ["reader_version"])["reader_version"])
    known = valid(versions)  # with numpy: comparing in Arrow imports pandas, and every plan comes by here
    return not known.all() or bool((raw(versions)[known] < readers.READER_VERSION).any())


def _away(rows: pa.Table, storage: Storage, done: Mapping[str, bool]) -> Iterator[str]:
    """Of each row why its file cannot be read again, HERE where it can, ANEW where its unit is pending without that."""
    paths = [path or "" for path in rows["path"].to_pylist()]
    listed = _listed(storage, paths)
    for unit, path in zip(rows["unit"].to_pylist(), paths, strict=True):
        if not done.get(unit):
            yield ANEW if unit in done else ELSEWHERE
        elif path in listed:
            yield HERE
        elif path and tombstone_of(path) in listed:
            yield FREED
        else:  # used where it was found, or a link, which no listing holds
            yield HERE if path and storage.exists(path) else AWAY


def _listed(storage: Storage, paths: Sequence[str]) -> set[str]:
    """The keys of all files in the run's folders in which these lie: one listing of each."""
    folders = {path.partition("/")[0] for path in paths if "/" in path} - {"", ".."}
    return {key for folder in sorted(folders) for key in storage.sizes(folder)}


def stay(stage: Stage, run: Path) -> bool:
    """Whether `--keep` said of today's reader that rows of older ones stay."""
    found = chosen_of(run) if stage.looks_at_files else None
    return bool(found and found.kept.get(kept_key(stage.name)) == readers.READER_VERSION)


def kept_key(stage: str) -> str:
    """The name in `Chosen.kept` of the reader up to which rows of a stage stay."""
    return f"{stage}.reader"


def told_key(stage: str) -> str:
    """The name in `Chosen.kept` of the reader up to which files that cannot be read again were told."""
    return f"{stage}.unread"
