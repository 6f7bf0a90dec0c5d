"""The last step of writing a release: card, Croissant, checksums and, last, the index, from the tables that lie in the folder."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.base import files
from pipeline.base.hashes import sha256_of
from pipeline.shards.release import CARD, CROISSANT, INDEX, LINKS, SUMS, TABLES, VERSION, card, citation, schemas
from pipeline.shards.release.about import About
from pipeline.shards.release.counts import Counts, counted
from pipeline.shards.release.croissant import described
from pipeline.shards.release.scan import check_publishable

_URL = "https://huggingface.co/datasets"  # of none in particular: where it will lie is not known when it is written


def seal(folder: Path, about: About) -> Counts:
    """Write what stands beside the tables of a release. Returns what it holds.

    Raises:
        ShardError: the folder holds something that must not be published.
    """
    counts, layout = counted(folder), schemas()
    files.write_text(folder / CARD, card.text(about, counts, layout))
    listed = [entry_of(folder, path) for path in [*_data(folder), folder / CARD]]
    facts = {
        "name": about.title,
        "description": f"Links, boxes, skeletons and measures of {counts.speakers:,} speakers in {counts.clips:,} clips.",
        "url": _URL,
        "license": about.licence or "not chosen",
        "version": about.version,
        "datePublished": about.published,
        "citeAs": citation.PAPER,
    }
    croissant = described(facts, listed, layout, ("co-speech gesture", "human pose", "skeleton"), card.USE)
    files.write_text(folder / CROISSANT, _json(croissant))
    listed.append(entry_of(folder, folder / CROISSANT))
    sums = "".join(f"{entry['sha256']}  {entry['path']}\n" for entry in listed)
    files.write_text(folder / SUMS, sums)
    listed.append(entry_of(folder, folder / SUMS))
    index = {
        "version": VERSION,
        "about": about.as_json(),
        "speakers": counts.speakers,
        "clips": counts.clips,
        "videos": counts.videos,
        "hours": counts.hours,
        "without_link": counts.unlinked,
        "splits": counts.splits,
        "files": listed,
    }
    check_publishable(folder)
    files.write_text(folder / INDEX, _json(index))
    return counts


def _data(folder: Path) -> list[Path]:
    tables = [path for table in TABLES for path in sorted((folder / table).glob("*.parquet"))]
    return [folder / LINKS, *tables]


def entry_of(folder: Path, path: Path) -> dict[str, Any]:
    """A file as the index lists it."""
    entry = {"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_of(path)}
    return {**entry, "rows": pq.read_metadata(path).num_rows} if path.suffix == ".parquet" else entry


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
