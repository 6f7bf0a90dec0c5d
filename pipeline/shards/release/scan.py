"""The proof that a folder holds nothing but what may be published: no sound, no picture, no embedding, no other column."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.shards.format import ShardError
from pipeline.shards.release import CARD, CROISSANT, INDEX, LINKS, SUMS, schemas
from pipeline.tables import takedowns
from pipeline.tables.takedowns import LEDGER

_BESIDE = frozenset({INDEX, CARD, CROISSANT, LINKS, SUMS})
_LARGEST_TEXT = (
    16 << 10
)  # characters: a sound or a picture written as text is longer; but for fingerprints that are kept


def check_publishable(folder: Path) -> None:
    """Raises ShardError, which names the first file, and column, that a release does not have."""
    for problem in problems(folder):
        raise ShardError(f"{problem}: it may not be published; move it away, then write the release again")


def problems(folder: Path) -> Iterator[str]:
    """Everything in a folder that is not of a release, a line each."""
    layout = schemas()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        table, _, rest = name.partition("/")
        if path.is_symlink():
            yield f"{path} is a link"
        elif path.is_dir():
            if name not in layout:
                yield f"{path} is no folder of a release"
        elif name == LEDGER:
            yield from _of_ledger(path)
        elif name in _BESIDE:
            yield from _of_text(path)
        elif table in layout and path.suffix == ".parquet" and "/" not in rest:
            yield from _of_table(path, layout[table])
        else:
            yield f"{path} is no file of a release"


def _of_ledger(path: Path) -> Iterator[str]:
    try:
        takedowns.read(path)
    except takedowns.TakedownError as error:
        yield str(error)


def _of_text(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        try:
            if any(len(line) > _LARGEST_TEXT or "\0" in line for line in file):
                yield f"{path} holds lines that are too long for text"
        except UnicodeDecodeError:
            yield f"{path} is no text"


def _of_table(path: Path, layout: pa.Schema) -> Iterator[str]:
    """Columns are those of the release and of their types: none is binary, none is a vector of another length."""
    try:
        stored = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError):
        yield f"{path} is no Parquet file"
        return
    for field in stored:
        if field.name not in layout.names or not field.type.equals(layout.field(field.name).type):
            yield f"{path} has a column {field.name[:60]!r} of {str(field.type)[:60]}"
        elif pa.types.is_string(field.type):
            longest = pc.max(pc.utf8_length(pq.read_table(path, columns=[field.name])[field.name])).as_py() or 0
            if longest > _LARGEST_TEXT:
                yield f"{path} has {longest} characters in a row of {field.name}"
