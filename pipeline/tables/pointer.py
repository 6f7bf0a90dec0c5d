"""The pointer of a table, `generation.json`: which merged files count, and which parts they stand for.

It carries a checksum of its own. The merged file of outcomes, which is written before it, holds the same text, so that a pointer
that is lost is made again from what lies beside it; and merged files are waste only while a pointer says so, or nothing in them is
missing without them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.base import files
from pipeline.base.hashes import checked, with_checksum
from pipeline.tables.seal import DamagedFile, opened, told

NAME = "generation.json"
KEY = b"csg405.generation"  # of the merged outcomes' metadata
_MERGED = re.compile(r"merged-(\d{6,})-[0-9a-f]{8}(-\d{4,})?\.parquet", re.ASCII)
_PART = re.compile(r"part-[\w-]+\.parquet", re.ASCII)


@dataclass(frozen=True)
class Pointer:
    """What the last `compact` left.

    Attributes:
        generation: counts compactions; 0 before the first.
        rows, outcomes: names of the merged files, in order.
        replaced: names of parts and older merged files that they stand for and that `gc` has not removed yet.
        counts: {name: rows in it} of the merged files; older versions did not say.
    """

    generation: int = 0
    rows: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    replaced: frozenset[str] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)

    def of(self, side: str) -> tuple[str, ...]:
        """Names of the merged files of a side."""
        return self.rows if side == "rows" else self.outcomes

    def text(self) -> str:
        """The file's text."""
        body = {
            "generation": self.generation,
            "rows": list(self.rows),
            "outcomes": list(self.outcomes),
            "replaced": sorted(self.replaced),
            "counts": dict(self.counts),
        }
        return with_checksum(body)


@dataclass(frozen=True)
class Lost:
    """A pointer that is missing or damaged.

    Attributes:
        problem: what is wrong with it, as a clause.
        again: the pointer as the merged files tell it; None where they do not.
    """

    problem: str
    again: Pointer | None


def write(folder: Path, pointer: Pointer) -> None:
    """Write the pointer, atomically: from here on its files count."""
    files.write_text(folder / NAME, pointer.text())


def read(folder: Path, outcomes: Sequence[str]) -> Pointer | Lost:
    """The pointer, or how it is lost; nothing is lost where no compaction was.

    Args:
        folder: of the table.
        outcomes: names in `outcomes/`, which the caller has listed anyway.
    """
    try:
        return parse((folder / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not any(name.startswith("merged-") for name in outcomes):
            return Pointer()
        again = rebuilt(folder, outcomes)
        return Lost("is missing", again) if again else Pointer()
    except ValueError as error:
        return Lost(f"does not read ({str(error)[:120]})", rebuilt(folder, outcomes, whatever=True))


def parse(text: str) -> Pointer:
    """Parse the text of a pointer; one without a checksum is of an older version. Raises ValueError."""
    found = checked(text)
    generation, counts = found.get("generation"), found.get("counts", {})
    if type(generation) is not int or generation < 1:
        raise ValueError("it names no generation")
    if not isinstance(counts, dict) or not all(type(count) is int for count in counts.values()):
        raise ValueError("its counts are not numbers")
    rows, outcomes = (_names(found, side, _MERGED) for side in ("rows", "outcomes"))
    replaced = _names(found, "replaced", None)
    if not all(_MERGED.fullmatch(name) or _PART.fullmatch(name) for name in replaced):
        raise ValueError("it replaces files that are not parts")
    return Pointer(generation, rows, outcomes, frozenset(replaced), counts)


def _names(found: Mapping[str, Any], key: str, form: re.Pattern[str] | None) -> tuple[str, ...]:
    names = found.get(key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"it has no list of {key}")
    if form is not None and not all(form.fullmatch(name) for name in names):
        raise ValueError(f"its {key} are not merged files")
    return tuple(names)


def newest(*names: Sequence[str]) -> int:
    """The highest generation among merged files; 0 where there is none."""
    return max((int(m[1]) for side in names for name in side if (m := _MERGED.fullmatch(name))), default=0)


def rebuilt(folder: Path, outcomes: Sequence[str], *, whatever: bool = False) -> Pointer | None:
    """The pointer as the newest merged outcomes that read tell it.

    None where there are none, and where the parts that they were made from are all there still: then nothing needs a pointer, as
    after a kill just before it was written. With `whatever` a pointer is known to have been there.
    """
    merged = sorted((name for name in outcomes if _MERGED.fullmatch(name)), key=lambda name: -newest([name]))
    found: list[Pointer] = []
    for name in merged:
        try:
            source = opened(folder / "outcomes" / name)
            with told(folder / "outcomes" / name):
                commits = set(source.read(columns=["commit"])["commit"].to_pylist())
        except (DamagedFile, FileNotFoundError):
            continue
        there = {part for part in outcomes if part.startswith("part-")}
        if not whatever and {f"part-{commit}.parquet" for commit in commits} <= there:
            return None
        kept = (source.metadata.metadata or {}).get(KEY)
        found.append(parse(kept.decode()) if kept else _derived(folder, name, commits, there))
    whole = [one for one in found if all((folder / "rows" / name).exists() for name in one.rows)]
    return next(iter([*whole, *found]), None)


def _derived(folder: Path, name: str, commits: set[str], there: set[str]) -> Pointer:
    """The pointer to merged files of an older version: by their names, and by the commits in them."""
    stem, generation = name.removesuffix(".parquet"), newest([name])
    rows = sorted(path.name for path in (folder / "rows").glob(f"{stem}-*.parquet"))
    replaced = {part for part in (f"part-{commit}.parquet" for commit in commits) if part in there}
    older = {path.name for side in ("rows", "outcomes") for path in (folder / side).glob("merged-*.parquet")}
    older -= {name, *rows}
    return Pointer(generation, tuple(rows), (name,), frozenset(replaced | older), {})


def noted(table: pa.Table, pointer: Pointer) -> pa.Table:
    """Merged outcomes with the pointer in their metadata."""
    return table.replace_schema_metadata({KEY: pointer.text().encode()})
