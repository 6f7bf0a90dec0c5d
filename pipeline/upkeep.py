"""Keeping a run folder small and quick: joining parts, and removing what no winning row needs."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import files
from pipeline.kinds import KINDS, is_path
from pipeline.lock import driving
from pipeline.table import OUTCOME, Store, Table, read_parts, row_group_size, stored_schema, write_parquet

YOUNG_SECONDS = 3600.0  # a file younger than this may belong to a stage that runs right now
STAGE_FOLDERS = ("raw", "clips", "previews", "shards")  # where stages put files that rows name
SIDES = ("rows", "outcomes")


def compact(store: Store, kind: str) -> tuple[int, int]:
    """Join a kind's parts into one file a side, keeping winning rows and outcomes only.

    The new files count once `generation.json` names them, which is written last; a kill before that changes nothing.
    Returns: (parts before, parts after).
    """
    table = store.table(kind)
    with driving(store.run, kind):
        old = {side: table.parts(side) for side in SIDES}
        before = sum(len(parts) for parts in old.values())
        if len(old["outcomes"]) <= 1 and len(old["rows"]) <= 1:
            return before, before
        generation = table.generation()
        number = int(generation.get("generation", 0)) + 1
        name = f"merged-{number:06d}-{uuid.uuid4().hex[:8]}.parquet"
        names = {"rows": [name] if _merge_rows(table, old["rows"], name) else [], "outcomes": [name]}
        write_parquet(table.winners().select(OUTCOME.names), table.folder / "outcomes" / name)
        # Parts that an earlier generation replaced stay named until gc removes them, or they would count again.
        gone = {part.name for parts in old.values() for part in parts} | set(generation.get("replaced", []))
        still = sorted(name for name in gone if any((table.folder / side / name).exists() for side in SIDES))
        pointer = {"generation": number, **names, "replaced": still}
        files.write_text(table.folder / "generation.json", json.dumps(pointer))
        return before, sum(len(value) for value in names.values())


def _merge_rows(table: Table, parts: list[Path], name: str) -> bool:
    """Copy the winning rows of the parts into one file, a part at a time: keypoints of a whole run do not fit in memory."""
    schema = stored_schema(table.kind)
    won = table.winners()
    winners = pc.binary_join_element_wise(won["unit"], won["commit"], "\n").combine_chunks()
    found = False
    options = {"compression": "zstd", "use_dictionary": ["unit", "commit"]}
    target = table.folder / "rows" / name
    with files.replacing(target) as temporary, pq.ParquetWriter(temporary, schema, **options) as writer:
        for part in parts:
            rows = read_parts([part], schema.names, schema)
            keys = pc.binary_join_element_wise(rows["unit"], rows["commit"], "\n")
            rows = rows.filter(pc.is_in(keys, value_set=winners))
            if len(rows):
                writer.write_table(rows, row_group_size=row_group_size(rows, table.kind))
                found = True
    return found


@dataclass(frozen=True)
class Waste:
    """A file that no winning row needs."""

    path: Path
    bytes: int
    why: str


def waste(store: Store, now: float | None = None) -> Iterator[Waste]:
    """Files that `gc` would remove: replaced and orphaned parts, leftovers of kills, and stage files that no row names."""
    limit = (now or time.time()) - YOUNG_SECONDS
    for path in store.run.rglob(f"{files.TEMPORARY}*"):
        if path.stat().st_mtime < limit:
            yield Waste(path, path.stat().st_size, "left by a process that was killed")
    for kind in store.kinds:
        yield from _wasted_parts(store.table(kind), limit)
    yield from _wasted_files(store, limit)


def _wasted_parts(table: Table, limit: float) -> Iterator[Waste]:
    """Parts replaced by a compaction, and row parts whose commit wins for no unit."""
    generation = table.generation()
    replaced = set(generation.get("replaced", []))
    commits = set(pc.unique(table.winners()["commit"]).to_pylist())
    for side in SIDES:
        for path in sorted((table.folder / side).glob("*.parquet")):
            if path.name.startswith("merged-") and path.name not in generation.get(side, []):
                yield Waste(path, path.stat().st_size, "of a compaction that is not in use")
            elif path.name in replaced:
                yield Waste(path, path.stat().st_size, "joined into a newer file")
            elif _orphaned(path, side, commits) and path.stat().st_mtime < limit:
                yield Waste(path, path.stat().st_size, "its rows count for no unit")


def _orphaned(path: Path, side: str, commits: set[str]) -> bool:
    return side == "rows" and path.name.startswith("part-") and path.stem.removeprefix("part-") not in commits


def _wasted_files(store: Store, limit: float) -> Iterator[Waste]:
    """Files in the stages' folders that no live row names."""
    named = {str((store.run / path).resolve()) for kind in store.kinds for path in _paths(store, kind)}
    for folder in STAGE_FOLDERS:
        for path in sorted((store.run / folder).rglob("*")):
            unnamed = str(path.resolve()) not in named and path.name != "index.json"
            if unnamed and path.is_file() and path.stat().st_mtime < limit:
                yield Waste(path, path.stat().st_size, "no row names it")


def _paths(store: Store, kind: str) -> list[str]:
    """Every path that live rows of a kind name."""
    columns = [f.name for f in KINDS[kind].columns if is_path(f)]
    return [path for name in columns for path in store.read(kind, [name])[name].to_pylist() if path]


def collect(store: Store) -> tuple[int, int]:
    """Remove what `waste` names. Safe to kill: a removed file counted for nobody. Returns: (files, bytes) removed."""
    count = size = 0
    for item in list(waste(store)):
        item.path.unlink(missing_ok=True)
        count, size = count + 1, size + item.bytes
    return count, size
