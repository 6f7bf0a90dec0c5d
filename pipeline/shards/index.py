"""`_index.json`: the files of a folder of shards, with sizes and hashes, and the columns in them."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pipeline.base import files
from pipeline.base.text import printable
from pipeline.shards.features import HUB, hub_text
from pipeline.shards.format import SPLITS, ShardError, check_version

INDEX = "_index.json"  # pandas and pyarrow, given the folder, leave out names that begin with `_`

_AGAIN = "run the stage `shards` again, or get the folder again from where it came"
_MOST_BYTES = 8 << 20  # ours takes 300 bytes a file and 12 kB for the columns; as objects of Python 20 times as much
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.parquet", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MOST = 1 << 53  # beyond it no number of rows, bytes or seconds is exact


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
    """Write `_index.json` atomically, and before it what Hugging Face `datasets` reads in its place."""
    for name, text in index_texts(content).items():
        if text:
            files.write_text(folder / name, text)
        else:
            (folder / name).unlink(missing_ok=True)


def index_texts(content: Mapping[str, Any]) -> dict[str, str]:
    """{name: text} of the files that say what is in a folder of shards, in the order in which they are written; "" of no file."""
    return {HUB: hub_text(content), INDEX: json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"}


def read_index(folder: Path) -> dict[str, Any]:
    """What `_index.json` says, checked: `files` holds entries with plain names, sizes, hashes and numbers that add up.

    Raises:
        ShardError: the index is missing, of a version that we do not read, or does not hold what an index holds.
    """
    path = folder / INDEX
    index = parsed(path)
    check_version(str(index.get("version", "none"))[:100], path)
    entries = index.get("files")
    if not isinstance(entries, list):
        _refuse(path, "lists no files")
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        _check_entry(path, number, entry)
        if (name := entry["path"].lower()) in seen:  # some file systems do not tell case apart
            _refuse(path, f"lists {entry['path']} twice")
        seen.add(name)
    _check_totals(path, index)
    return index


def parsed(path: Path, most_bytes: int = _MOST_BYTES, remedy: str = _AGAIN) -> dict[str, Any]:
    """The JSON object of a file that may come from others. Raises ShardError, with the remedy."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            _refuse(path, "is no file", remedy)
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
        if len(data) > most_bytes:
            _refuse(path, f"has more than {most_bytes >> 20} MiB", remedy)
        index = json.loads(data.decode("utf-8"))
    except FileNotFoundError:
        raise ShardError(f"{path} is missing: the stage `shards` has not finished here") from None
    except ShardError:
        raise
    except RecursionError:
        _refuse(path, "is nested too deeply", remedy)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError among them
        raise ShardError(f"{path} is not JSON ({printable(str(error))[:200]}): {remedy}") from None
    if not isinstance(index, dict):
        _refuse(path, "holds no object", remedy)
    return index


def _check_entry(path: Path, number: int, entry: Any) -> None:
    if not isinstance(entry, dict):
        _refuse(path, f"entry {number} of files is no object")
    name = entry.get("path")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        _refuse(path, f"entry {number} of files names {printable(repr(name)[:100])}, no plain file name")
    if entry.get("split") not in SPLITS:
        _refuse(path, f"{name} has the split {printable(repr(entry.get('split'))[:100])}")
    for key in ("rows", "bytes"):
        if type(entry.get(key)) is not int or not 0 <= entry[key] <= _MOST:
            _refuse(path, f"{name} has no number of {key}")
    if not _is_amount(entry.get("seconds")):
        _refuse(path, f"{name} has no number of seconds")
    if not isinstance(entry.get("sha256"), str) or not _HASH.fullmatch(entry["sha256"]):
        _refuse(path, f"{name} has no sha256")


def check_same(path: Path, found: str, listed: str) -> None:
    """Compare a shard's sha256 with that of its entry. Raises ShardError."""
    if found != listed:
        raise ShardError(
            f"{path} is not the file that {INDEX} lists (sha256 differs): get it again, or write the shards again"
        )


def _check_totals(path: Path, index: Mapping[str, Any]) -> None:
    """The sums beside the entries, where there are some."""
    rows = {split: [entry["rows"] for entry in index["files"] if entry["split"] == split] for split in SPLITS}
    if "clips" in index and index["clips"] != sum(map(sum, rows.values())):
        _refuse(path, "says another number of clips than its files have")
    splits = index.get("splits", {})
    if not isinstance(splits, dict):
        _refuse(path, "holds no splits")
    for split, said in splits.items():
        mine = rows.get(split)
        if (
            mine is None
            or not isinstance(said, dict)
            or (said.get("files"), said.get("clips")) != (len(mine), sum(mine))
        ):
            _refuse(path, f"says other numbers of the split {printable(split)[:40]} than its files have")


def _is_amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= _MOST


def _refuse(path: Path, problem: str, remedy: str = _AGAIN) -> NoReturn:
    raise ShardError(f"{path} {problem}: {remedy}")
