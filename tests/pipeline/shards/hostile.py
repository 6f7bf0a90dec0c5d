"""Shards as strangers could send them: a small valid folder, and changes to it."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.hashes import sha256_of
from pipeline.media.audio import to_flac
from pipeline.shards.format import VERSION, shard_schema
from pipeline.shards.index import build_index, write_index
from pipeline.shards.write import pack, shard_writer, write_shard
from pipeline.skeleton.local import to_local
from pipeline.tables.arrow import to_arrow

FRAMES, CLIPS = 10, 3
NAME = "train-00000-of-00001.parquet"


def video_of(number: int) -> str:
    return f"file:{number:016x}"


def clip_of(number: int) -> str:
    return f"{video_of(number)}/0+{FRAMES}"


def row(number: int, **more: Any) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    points = rng.uniform(0, 512, (FRAMES, 133, 2)).astype(np.float32)
    return {
        "clip_id": clip_of(number),
        "video_id": video_of(number),
        "person": 0,
        "start_seconds": 0.0,
        "frames": FRAMES,
        "fps": 25.0,
        "source_width": 1280,
        "source_height": 720,
        "crop_box": [-3, 0, 717, 720],
        "keypoints": points,
        "neck": to_local(points)[1],
        "scores": rng.uniform(0.8, 1, (FRAMES, 133)),
        "audio": to_flac(rng.uniform(-0.1, 0.1, FRAMES * 640)),
        "audio_features": rng.normal(size=(FRAMES, 768)).astype(np.float16),
        "audio_features_of": "logmel768",
        "video": f"clips/{number}.mp4",
        **more,
    }


def rows(**changed: Any) -> list[dict[str, Any]]:
    """Three clips, the second of them changed."""
    return [row(0), row(1, **changed), row(2)]


def index(folder: Path, count: int = CLIPS, **changed: Any) -> None:
    """The index of the folder's one file, as its author would have written it."""
    path = folder / NAME
    entry = {"path": NAME, "split": "train", "rows": count, "seconds": count * FRAMES / 25}
    entry |= {"bytes": path.stat().st_size, "sha256": sha256_of(path), **changed}
    write_index(folder, build_index([entry], [], version=".".join(map(str, VERSION)), settings={}))


def write(folder: Path, **changed: Any) -> None:
    """A folder of one shard, whose second clip has these values."""
    folder.mkdir(parents=True, exist_ok=True)
    write_shard(folder / NAME, rows(**changed))
    index(folder)


def table() -> pa.Table:
    """The valid rows as they are stored."""
    packed = [pack(each) for each in rows()]
    return pa.Table.from_arrays(
        [to_arrow([each.get(field.name) for each in packed], field.type) for field in shard_schema()],
        schema=shard_schema(),
    )


def write_table(folder: Path, stored: pa.Table, **more: Any) -> None:
    """A folder of one shard of this table, with its index."""
    folder.mkdir(parents=True, exist_ok=True)
    if more:
        pq.write_table(stored, folder / NAME, **more)
    else:
        with shard_writer(folder / NAME, stored.schema) as out:
            out.write_table(stored)
    index(folder, len(stored))


def replaced(name: str, value: Callable[[pa.Array], pa.Array]) -> pa.Table:
    """The valid table with one column changed, its type and all."""
    stored = table()
    at = stored.schema.get_field_index(name)
    column = value(stored[name].combine_chunks())
    return stored.set_column(at, pa.field(name, column.type, metadata=stored.schema.field(name).metadata), column)


def stored_lists(name: str, lengths: list[int], change: Callable[[np.ndarray], None] | None = None) -> pa.Table:
    """The valid table, the lists of a column cut or grown to these lengths: numbers move from clip to clip."""
    kind = shard_schema().field(name).type
    width = kind.value_type.list_size
    flat = np.zeros(sum(lengths) * width, kind.value_type.value_type.to_pandas_dtype())
    if change:
        change(flat)
    values = pa.FixedSizeListArray.from_arrays(pa.array(flat), width)
    offsets = pa.array(np.cumsum([0, *lengths]), pa.int32())
    return replaced(name, lambda _: pa.ListArray.from_arrays(offsets, values).cast(kind))


def flac(frames: int = FRAMES, rate: int = 16_000, channels: int = 1) -> bytes:
    """FLAC of another length, rate or number of channels."""
    import io

    import soundfile

    out = io.BytesIO()
    soundfile.write(out, np.zeros((frames * 640, channels)), rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def lying_flac(samples: int) -> bytes:
    """FLAC whose head promises another number of samples than it holds."""
    data = bytearray(flac())
    (packed,) = struct.unpack(">Q", data[18:26])
    data[18:26] = struct.pack(">Q", packed >> 36 << 36 | samples)
    return bytes(data)


def varint(value: int) -> bytes:
    """As Thrift's compact protocol writes it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
