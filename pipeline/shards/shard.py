"""The shards' format: one schema, one way to write a file, and a reader that gives numpy.

A row is one person in one clip. Any Parquet reader opens a shard; `open_shards` adds array shapes, checks the version and
refuses a folder whose index does not fit its files.

Coordinates are stored in steps of 1/64 px of the 512 crop, so that `from_local(local, neck)` is `keypoints` to the last
bit, and so that the low bytes of every float are zeros, which byte-stream-split hands to zstd in one piece. Measured on five
real clips, skeleton columns, MB a clip-hour: raw floats 242; zstd 190; byte-stream-split + zstd 165; and with the steps 85
(plain zstd 117, dictionary + zstd 111, byte-stream-split + lz4 112; zstd level 9 gains 1 % and writes 3 times slower).
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.base import files
from pipeline.base.arrays import Floats
from pipeline.base.errors import UserError
from pipeline.base.units import CLIP_SIDE_PX, KEYPOINTS
from pipeline.skeleton.layout import ROOTS, K
from pipeline.tables.kinds import BOX, FRAME_LIST_WIDTH, KINDS, column, frames
from pipeline.tables.table import to_arrow, to_python

# Major: readers of an older one cannot read it; minor: nullable columns were added. Measures follow the tables and count for
# neither: the index lists them.
VERSION = (1, 2)
VERSION_KEY = b"csg405.shard.version"
INDEX = "_index.json"  # pandas and pyarrow, given the folder, leave out names that begin with `_`
SPLITS = ("train", "validation", "test")

STEPS_PER_PX = 64
SCORE_STEPS = 1024
AUDIO_FEATURES = 768

MEASURE_KINDS = ("pose_measures", "sound_measures", "overlaps", "lip_syncs", "attributes", "speakers")
# Columns of those kinds that a shard has of its own, from where they are first known.
_PLACED = frozenset({"person_id", "clip_id", "video_id", "frames", "crop_box"})
# Raw scores are for whoever looks into a run; faces never leave it; a count over all samples would rewrite every bucket.
_KEPT_BACK = frozenset({"voice_scores", "identity", "speaker_samples"})
_S, _I = pa.string(), pa.int32()

ROWS_A_GROUP = 16  # about 10 MB: a reader that shuffles fetches one group, not one file
_SPLIT_BYTES = ("keypoints", "scores", "local", "neck")
_WORDS = (
    *("video_id", "url", "speech_type", "channel", "channel_id", "channel_handle", "upload_date"),
    *("licence", "versions", "worst_joint", "audio_features_of"),
)


class ShardError(UserError, ValueError):
    """A shard or its index cannot be read; the message says what to do."""


def _fixed() -> list[pa.Field]:
    return [
        column("clip_id", _S, "", "<video_id>/<first frame>+<frames>, frames on the 25-fps grid"),
        column("video_id", _S, "", "yt:<11 characters> or file:<first 16 hex of its sha256>"),
        column("person", _I, "", "rank of the person in the clip, by (first frame seen, x)"),
        column("url", _S, "", "where the video was published; null for local files"),
        column("speech_type", _S, "", "null when unknown"),
        column("start_seconds", pa.float64(), "s", "from the start of the video, as a player shows it"),
        column("frames", _I, "frames", "at 25 fps"),
        column("fps", pa.float32(), "1/s", "of keypoints, scores, features and video"),
        column("source_width", _I, "px", "picture of the source"),
        column("source_height", _I, "px", "picture of the source"),
        column("crop_box", BOX, "px", "x1, y1, x2, y2, half open, source pixels; may leave the picture"),
        column("keypoints", frames(FRAME_LIST_WIDTH), "px", "x, y of 133 points in the 512 crop; NaN where unseen"),
        column("scores", frames(KEYPOINTS), "0..1", "confidence of each point"),
        column(
            "local", frames(FRAME_LIST_WIDTH), "px", "body from the neck, face from the nose, hands from the wrists"
        ),
        column("neck", frames(2), "px", "path of the neck in the 512 crop; with `local` it gives `keypoints` back"),
        column("audio", pa.binary(), "", "FLAC, 16 kHz mono, frames x 640 samples; null without sound"),
        column("audio_features", frames(AUDIO_FEATURES, pa.float16()), "", "on the frame grid; null if not made"),
        column(
            "audio_features_of", _S, "", "what made them: wav2vec2-base-960h/<layer>, or logmel768; null if not made"
        ),
        column("video", _S, "path", "512x512 mp4, relative to the run folder"),
        column("video_sha256", _S, "hex", "of that file"),
        column("versions", _S, "JSON", "what wrote this row"),
        column("licence", _S, "", "as the source states it; null when unknown"),
        column("channel", _S, "", "who published the video; null when unknown"),
        column("channel_id", _S, "", "the site's id of the channel; null when unknown"),
        column("channel_handle", _S, "", "@name of the channel; null when unknown"),
        column("upload_date", _S, "YYYY-MM-DD", "when it was published; null when unknown"),
    ]


def measures() -> dict[str, tuple[str, ...]]:
    """Table kind -> the measures and attributes that a shard takes from it; the first kind that has a name wins."""
    taken: set[str] = set()
    found = {}
    for name in reversed(MEASURE_KINDS):  # a person's measure before the clip's of the same name
        if name in KINDS:
            names = [f.name for f in KINDS[name].columns if f.name not in _PLACED | _KEPT_BACK | taken]
            found[name] = tuple(names)
            taken |= set(names)
    return {name: found[name] for name in MEASURE_KINDS if name in found}


def schema() -> pa.Schema:
    """Names, types, units ("unit") and descriptions ("text" in the field metadata) of a shard's columns."""
    fields = _fixed()
    fields += [KINDS[kind].schema.field(name) for kind, names in measures().items() for name in names]
    version = ".".join(map(str, VERSION)).encode()
    return pa.schema(fields, metadata={VERSION_KEY: version, b"csg405.side_px": str(CLIP_SIDE_PX).encode()})


def quantise(keypoints: Floats, neck: Floats) -> tuple[Floats, Floats, Floats]:
    """Keypoints, local coordinates and neck path in steps of 1/64 px, such that the inverse of DESIGN 6 holds exactly.

    Keypoints and neck are rounded (error <= 1/128 px); local coordinates are differences of rounded numbers, which float32
    holds without error (error <= 1/64 px).

    Args:
        keypoints: (F, 133, 2) pixels of the crop, NaN where unseen.
        neck: (F, 2) path that the local coordinates are taken from.

    Returns:
        keypoints (F, 133, 2), local (F, 133, 2), neck (F, 2), float32.
    """
    points, path = _stepped(keypoints, STEPS_PER_PX), _stepped(neck, STEPS_PER_PX)
    local = points - path[:, None]
    for group, root in ROOTS:
        origin = np.where(np.isnan(points[:, root]), path, points[:, root])
        local[:, group] = points[:, group] - origin[:, None]
    return points, local, path


def _stepped(values: Floats, steps: int) -> Floats:
    return (np.round(np.asarray(values, np.float64) * steps) / steps + 0.0).astype(np.float32)  # + 0.0: no minus zero


def pack(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is stored: arrays may come as (F, 133, 2) or (F, 266); coordinates and scores are put on their steps."""
    keypoints = np.asarray(row["keypoints"], np.float32).reshape(-1, K, 2)
    points, local, neck = quantise(keypoints, np.asarray(row["neck"], np.float32))
    flat = (len(points), FRAME_LIST_WIDTH)
    scores = _stepped(row["scores"], SCORE_STEPS)
    return {**row, "keypoints": points.reshape(flat), "local": local.reshape(flat), "neck": neck, "scores": scores}


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one shard atomically: temporary file, fsync, rename. The same rows give the same bytes.

    Args:
        path: the target.
        rows: dicts of the schema's columns; missing ones are null. Arrays as `pack` takes them.
    """
    layout = schema()
    with files.replacing(path) as temporary, writer(temporary, layout) as out:
        for first in range(0, max(1, len(rows)), ROWS_A_GROUP):
            packed = [pack(row) for row in rows[first : first + ROWS_A_GROUP]]
            arrays = [to_arrow([row.get(field.name) for row in packed], field.type) for field in layout]
            out.write_table(pa.Table.from_arrays(arrays, schema=layout), row_group_size=ROWS_A_GROUP)


def writer(path: Path, layout: pa.Schema) -> pq.ParquetWriter:
    """Writes a shard of this schema, encoded as all shards are; the caller gives it `ROWS_A_GROUP` rows at a time."""
    return pq.ParquetWriter(path, layout, **_encoding(layout))


def _encoding(layout: pa.Schema) -> dict[str, Any]:
    leaves = {field.name: _leaf(field) for field in layout}
    compression = dict.fromkeys(leaves.values(), "zstd")
    compression[leaves["audio"]] = "none"  # FLAC is compressed
    return {
        "compression": compression,
        "compression_level": {leaf: 3 for leaf, codec in compression.items() if codec == "zstd"},
        "use_byte_stream_split": [leaves[name] for name in _SPLIT_BYTES],
        "use_dictionary": [name for name in _WORDS if name in leaves],
        "data_page_size": 4 << 20,
    }


def _leaf(field: pa.Field) -> str:
    """The Parquet path of a column's numbers."""
    name, kind = field.name, field.type
    while pa.types.is_nested(kind):
        name, kind = f"{name}.list.element", kind.value_type
    return str(name)


def check_version(found: str, where: object) -> None:
    """ShardError when `found` ("major.minor") is of another major version than this reader's."""
    try:
        major = int(found.split(".")[0])
    except ValueError:
        raise ShardError(f"{where} is no CSG-405 shard: it says version {found!r}") from None
    if major != VERSION[0]:
        advice = "update csg405" if major > VERSION[0] else "write the shards again (`make filter`)"
        raise ShardError(f"{where} has format {found}, this csg405 reads {VERSION[0]}.x: {advice}")


def index(entries: Sequence[Mapping[str, Any]], columns: list[Any], **head: Any) -> dict[str, Any]:
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


def file_version(path: Path) -> str:
    """The format version in a shard's metadata; "none" when it has none."""
    metadata = pq.read_schema(path).metadata or {}
    return bytes(metadata.get(VERSION_KEY, b"none")).decode()


@dataclass(frozen=True)
class Shards:
    """The shards of a run, or of one split.

    Attributes:
        folder: where `_index.json` lies.
        paths: the Parquet files, in order.
        index: what `_index.json` says.
    """

    folder: Path
    paths: tuple[Path, ...]
    index: Mapping[str, Any]

    def __len__(self) -> int:
        names = {path.name for path in self.paths}
        return sum(entry["rows"] for entry in self.index["files"] if entry["path"] in names)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Rows as dicts: keypoints and local (F, 133, 2), scores (F, 133), neck (F, 2), other lists (F, width), FLAC bytes."""
        for path in self.paths:
            file = pq.ParquetFile(path, memory_map=True)
            check_version(file_version(path), path)
            names = [name for name in file.schema_arrow.names if columns is None or name in columns]
            for group in range(file.num_row_groups):
                yield from _rows_of(file.read_row_group(group, columns=names, use_threads=False))


def _rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    values = {field.name: to_python(table[field.name].combine_chunks(), field.type) for field in table.schema}
    for name in ("keypoints", "local"):
        if name in values:
            values[name] = [value.reshape(-1, K, 2) for value in values[name]]
    for number in range(len(table)):
        yield {name: column[number] for name, column in values.items()}


def open_shards(folder: Path, split: str | None = None) -> Shards:
    """Open a folder of shards.

    Args:
        folder: `runs/<run>/shards`.
        split: train, validation or test; all three by default.

    A removal of opted-out clips that was cut short is brought to its end first.

    Raises:
        ShardError: there is no index, its major version is not ours, or a file is missing or not the one it lists.
    """
    from pipeline.shards import removal

    folder = Path(folder)
    removal.complete(folder)
    index = read_index(folder)
    if split is not None and split not in SPLITS:
        raise ShardError(f"no split is called {split!r}: there are {', '.join(SPLITS)}")
    entries = [entry for entry in index["files"] if split in (None, entry["split"])]
    for entry in entries:
        path = folder / entry["path"]
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise ShardError(f"{path} is not the file that {INDEX} lists: a run was cut short, run `shards` again")
    return Shards(folder, tuple(folder / entry["path"] for entry in entries), index)


def sound(flac: bytes) -> NDArray[np.float32]:
    """(samples,) mono wave in -1..1 of a row's `audio`, 16 kHz."""
    import soundfile

    wave, _ = soundfile.read(io.BytesIO(flac), dtype="float32")
    return np.asarray(wave, np.float32)
