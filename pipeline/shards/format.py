"""The format of shards: version, columns with units and descriptions, and what any other version is told."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.errors import UserError
from pipeline.base.units import CLIP_SIDE_PX, KEYPOINTS
from pipeline.tables.kinds import BOX, FRAME_LIST_WIDTH, KINDS, column, frames

# Major: readers of an older one cannot read it; minor: nullable columns were added. Measures follow the tables and count for
# neither: the index lists them.
VERSION = (1, 2)
VERSION_KEY = b"csg405.shard.version"
SPLITS = ("train", "validation", "test")

AUDIO_FEATURES = 768

MEASURE_KINDS = ("pose_measures", "sound_measures", "overlaps", "same_faces", "lip_syncs", "attributes", "speakers")
# Columns of those kinds that a shard has of its own, from where they are first known.
_PLACED = frozenset({"person_id", "clip_id", "video_id", "frames", "crop_box"})
# Raw scores are for debugging a run; faces never leave it; a count over all samples would rewrite every bucket.
_KEPT_BACK = frozenset({"voice_scores", "identity", "speaker_samples"})
_S, _I = pa.string(), pa.int32()

ROWS_A_GROUP = 4  # what a row that goes or comes has encoded anew, and a reader that shuffles fetches; sizes: README.md


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


def shard_measures() -> dict[str, tuple[str, ...]]:
    """Table kind -> the measures and attributes that a shard takes from it; the first kind that has a name wins."""
    taken: set[str] = set()
    found = {}
    for name in reversed(MEASURE_KINDS):  # a person's measure before the clip's of the same name
        if name in KINDS:
            names = [f.name for f in KINDS[name].columns if f.name not in _PLACED | _KEPT_BACK | taken]
            found[name] = tuple(names)
            taken |= set(names)
    return {name: found[name] for name in MEASURE_KINDS if name in found}


def shard_schema() -> pa.Schema:
    """Names, types, units ("unit") and descriptions ("text" in the field metadata) of a shard's columns."""
    fields = _fixed()
    fields += [KINDS[kind].schema.field(name) for kind, names in shard_measures().items() for name in names]
    version = ".".join(map(str, VERSION)).encode()
    return pa.schema(fields, metadata={VERSION_KEY: version, b"csg405.side_px": str(CLIP_SIDE_PX).encode()})


def check_version(found: str, where: object) -> None:
    """ShardError when `found` ("major.minor") is of another major version than this reader's."""
    try:
        major = int(found.split(".")[0])
    except ValueError:
        raise ShardError(f"{where} is no CSG-405 shard: it says version {found!r}") from None
    if major != VERSION[0]:
        advice = "update csg405" if major > VERSION[0] else "write the shards again (`make filter`)"
        raise ShardError(f"{where} has format {found}, this csg405 reads {VERSION[0]}.x: {advice}")


def file_version(path: Path) -> str:
    """The format version in a shard's metadata; "none" when it has none."""
    metadata = pq.read_schema(path).metadata or {}
    return bytes(metadata.get(VERSION_KEY, b"none")).decode()
