"""Writing shards: coordinates in steps, one encoding, the same bytes from the same rows.

Coordinates are stored in steps of 1/64 px of the 512 crop, so that `from_local(local, neck)` is `keypoints` to the last
bit, and so that the low bytes of every float are zeros, which byte-stream-split hands to zstd in one piece. Measured on five
real clips, skeleton columns, MB a clip-hour: raw floats 242; zstd 190; byte-stream-split + zstd 165; and with the steps 85
(plain zstd 117, dictionary + zstd 111, byte-stream-split + lz4 112; zstd level 9 gains 1 % and writes 3 times slower).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base import files
from pipeline.base.arrays import Floats
from pipeline.shards.format import ROWS_A_GROUP, shard_schema
from pipeline.skeleton.layout import ROOTS, K
from pipeline.tables.arrow import to_arrow
from pipeline.tables.kinds import FRAME_LIST_WIDTH

STEPS_PER_PX = 64
SCORE_STEPS = 1024
_SPLIT_BYTES = ("keypoints", "scores", "local", "neck")  # not float16: DuckDB 2.0 does not read it split
_NOT_COUNTED = frozenset({*_SPLIT_BYTES, "audio_features", "audio", "crop_box"})  # nobody filters by their least
_WORDS = (
    *("video_id", "url", "speech_type", "channel", "channel_id", "channel_handle", "upload_date"),
    *("licence", "versions", "worst_joint", "audio_features_of"),
)


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


def write_shard(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one shard atomically: temporary file, fsync, rename. The same rows give the same bytes.

    Args:
        path: the target.
        rows: dicts of the schema's columns; missing ones are null. Arrays as `pack` takes them.
    """
    with files.replacing(path) as temporary:
        write_rows(temporary, rows)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one shard to a path that is not looked at before it is whole; see `write_shard`."""
    layout = shard_schema()
    with shard_writer(path, layout) as out:
        for first in range(0, max(1, len(rows)), ROWS_A_GROUP):
            packed = [pack(row) for row in rows[first : first + ROWS_A_GROUP]]
            arrays = [to_arrow([row.get(field.name) for row in packed], field.type) for field in layout]
            out.write_table(pa.Table.from_arrays(arrays, schema=layout), row_group_size=ROWS_A_GROUP)


def shard_writer(path: Path, layout: pa.Schema) -> pq.ParquetWriter:
    """Writes a shard of this schema, encoded as all shards are; the caller gives it `ROWS_A_GROUP` rows at a time."""
    return pq.ParquetWriter(path, layout, **encoding(layout))


def encoding(layout: pa.Schema) -> dict[str, Any]:
    """Options of `pyarrow.parquet.ParquetWriter` with which all shards are written."""
    leaves = {field.name: _leaf(field) for field in layout}
    compression = dict.fromkeys(leaves.values(), "zstd")
    compression[leaves["audio"]] = "none"  # FLAC is compressed
    return {
        "compression": compression,
        "compression_level": {leaf: 3 for leaf, codec in compression.items() if codec == "zstd"},
        "use_byte_stream_split": [leaves[name] for name in _SPLIT_BYTES],
        "use_dictionary": [name for name in _WORDS if name in leaves],
        "write_statistics": [leaf for name, leaf in leaves.items() if name not in _NOT_COUNTED],
        "data_page_size": 4 << 20,
    }


def _leaf(field: pa.Field) -> str:
    """The Parquet path of a column's numbers."""
    name, kind = field.name, field.type
    while pa.types.is_nested(kind):
        name, kind = f"{name}.list.element", kind.value_type
    return str(name)
