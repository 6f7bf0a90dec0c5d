"""The files of a release, which one stage writes and another reads: skeletons as they were annotated, in source pixels."""

from pathlib import Path

import pyarrow as pa

from pipeline.tables.kinds import KINDS

FOLDER = "release"
INDEX, CARD = "index.json", "README.md"
LINKS, SKELETONS, MEASURES = "links.jsonl", "skeletons.parquet", "measures.parquet"
VERSION = "1.0"  # major: readers of an older one cannot read it
VERSION_KEY = b"csg405.release.version"

# Everything that `persons` holds but what was found out by comparing it with other annotation.
COLUMNS = tuple(name for name in KINDS["persons"].schema.names if name != "agreement")


def schema() -> pa.Schema:
    """Names, types, units and descriptions of the columns of `skeletons.parquet`: rows of `persons`, by clip and person."""
    persons = KINDS["persons"].schema
    return pa.schema([persons.field(name) for name in COLUMNS], metadata={VERSION_KEY: VERSION.encode()})


def skeletons_of(path: Path) -> Path | None:
    """The skeletons that a path means: the file itself, or that of a release's folder; None when it means neither."""
    path = Path(path)
    inside = path / SKELETONS
    if path.is_dir():
        return inside if inside.is_file() else None
    return path if path.suffix == ".parquet" else None
