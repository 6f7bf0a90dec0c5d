"""What table kinds are declared with: a column and its unit, a kind with its key and parent, and the ids they share."""

from dataclasses import KW_ONLY, dataclass
from functools import cached_property

import pyarrow as pa

from pipeline.base.units import KEYPOINTS

FRAME_LIST_WIDTH = 2 * KEYPOINTS


def column(name: str, kind: pa.DataType, unit: str, text: str) -> pa.Field:
    """One column: its Arrow type, unit ("" where none applies) and description."""
    return pa.field(name, kind, metadata={"unit": unit, "text": text})


def is_path(field: pa.Field) -> bool:
    """Whether a column holds the path of a file."""
    return bool(field.metadata and field.metadata.get(b"unit") == b"path")


def is_listing(field: pa.Field) -> bool:
    """Whether a column lists files as JSON: {path: [size in bytes, sha256]}."""
    return bool(field.metadata and field.metadata.get(b"unit") == b"files")


def frames(width: int, dtype: pa.DataType | None = None) -> pa.DataType:
    """A list over frames of `width` numbers each: numpy shape (frames, width)."""
    return pa.list_(pa.list_(dtype or pa.float32(), width))


@dataclass(frozen=True)
class FileColumns:
    """The columns that say what was written: a file's path, its size and its sha256; "" where a kind does not hold them."""

    path: str
    bytes: str
    sha256: str


@dataclass(frozen=True)
class Kind:
    """A table kind.

    Attributes:
        name: folder name under `tables/`.
        key: the column that names a row.
        columns: the schema without the bookkeeping columns that the table adds.
        parent: the kind whose live rows this one hangs on, or ""; a row whose parent row is gone does not count.
        parent_where: a boolean column of the parent that must be true, or "".
        unit_of: the kind whose keys are the units of the stage that writes this one; "" where units come from outside.
        found: columns with paths of files that the stage found and did not write.
        mentions: columns that name videos beside the row's own: a row that names one that opted out does not count.
    """

    name: str
    _: KW_ONLY
    key: str
    columns: tuple[pa.Field, ...]
    parent: str = ""
    parent_where: str = ""
    unit_of: str = ""
    found: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[FileColumns, ...]:
        """The files that a row promises: `path` with `bytes` and `sha256` beside it, or `video` with `video_bytes` and so on."""
        names = set(self.schema.names)
        paths = [f.name for f in self.columns if is_path(f) and f.name not in self.found]
        return tuple(FileColumns(path, *(_beside(path, what, names) for what in ("bytes", "sha256"))) for path in paths)

    @property
    def listings(self) -> tuple[str, ...]:
        """Columns that list further files of a row."""
        return tuple(f.name for f in self.columns if is_listing(f))

    @cached_property
    def schema(self) -> pa.Schema:
        return pa.schema(self.columns)

    @cached_property
    def heavy(self) -> tuple[str, ...]:
        """Columns whose hash is stored beside them, so that planning never reads their content."""
        return tuple(f.name for f in self.columns if pa.types.is_nested(f.type) or pa.types.is_binary(f.type))


def _beside(path: str, what: str, names: set[str]) -> str:
    """The column that holds the size or hash of the file in `path`; "" where there is none."""
    name = what if path == "path" else f"{path}_{what}"
    return name if name in names else ""


S, F, I, B = pa.string(), pa.float64(), pa.int32(), pa.bool_()  # noqa: E741 - a table of types reads better short
BOX = pa.list_(I, 4)

VIDEO = column("video_id", S, "", "yt:<11 characters> or file:<first 16 hex of its sha256>")
CLIP = column("clip_id", S, "", "<video_id>/<first frame>+<frames>")
PERSON = column("person_id", S, "", "<clip_id>#<rank by first frame seen, then x>")
