"""`_index.json`: the files of a folder of shards, with sizes and hashes, and the columns in them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.shards.format import SPLITS, ShardError, check_version

INDEX = "_index.json"  # pandas and pyarrow, given the folder, leave out names that begin with `_`


def build_index(entries: Sequence[Mapping[str, Any]], columns: list[Any], **head: Any) -> dict[str, Any]:
    """What `_index.json` says.

    Args:
        entries: of each file: path (its name), split, rows, seconds, bytes, sha256.
        columns: names, types, units and descriptions.
        head: version, settings, and who wrote it.
    """
    listed = sorted(entries, key=lambda entry: (SPLITS.index(entry["split"]), entry["path"]))
    parts = {split: [entry for entry in listed if entry["split"] == split] for split in SPLITS}
    splits = {split: {"files": len(of_split), **_totals(of_split)} for split, of_split in parts.items()}
    return {**head, **_totals(listed), "splits": splits, "columns": columns, "files": [dict(entry) for entry in listed]}


def _totals(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    seconds = sum(entry["seconds"] for entry in entries)
    return {"clips": sum(entry["rows"] for entry in entries), "hours": seconds / 3600}


def write_index(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `_index.json` atomically."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    files.write_text(folder / INDEX, text + "\n")


def read_index(folder: Path) -> dict[str, Any]:
    """What `_index.json` says; ShardError when there is none, or none that this version reads."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ShardError(f"{folder / INDEX} is missing: the stage `shards` has not finished here") from None
    except json.JSONDecodeError as error:
        raise ShardError(f"{folder / INDEX} is not JSON ({error}): run the stage `shards` again") from None
    check_version(str(index.get("version", "none")), folder / INDEX)
    return dict(index)
