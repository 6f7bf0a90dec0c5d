"""A release: what may be published of a run, its files and columns; one stage writes it, another reads it back.

Four tables in Parquet, one file or more a split, and beside them what tells a stranger what they are: a data set card that the
Hugging Face Hub reads, a Croissant description, an index, and the sha256 of every file.
"""

from pathlib import Path

import pyarrow as pa

from pipeline.shards.format import SPLITS, shard_measures
from pipeline.tables.kinds import BOX, KINDS, column

FOLDER = "release"
INDEX, CARD, CROISSANT, SUMS = "index.json", "README.md", "croissant.json", "SHA256SUMS"
LINKS = "links.jsonl"
ALL_LINKS, SKELETONS, MEASURES, AVAILABILITY = TABLES = ("links", "skeletons", "measures", "availability")
VERSION = "2.0"  # major: readers of an older one cannot read it
VERSION_KEY = b"csg405.release.version"
FIRST = "1.0.0"  # of the data, before anything was taken out

UNASSIGNED = "unassigned"  # kept speakers that the run's shards do not hold, beside shards that hold others
RELEASE_SPLITS = (*SPLITS, UNASSIGNED)
_ONE_FILE = "skeletons.parquet"  # of version 1

# Everything that `persons` holds but what was found out by comparing it with other annotation.
COLUMNS = tuple(name for name in KINDS["persons"].schema.names if name != "agreement")
IDS = ("person_id", "clip_id", "video_id")
_PRIVATE_KINDS = ("attributes", "speakers")  # guesses at age, sex and descent of people who were not asked
_S, _I, _D = pa.string(), pa.int32(), pa.float64()
_VERSIONED = {VERSION_KEY: VERSION.encode()}
_IDS = (
    column("person_id", _S, "", "<clip_id>#<rank of the person in the clip>"),
    column("clip_id", _S, "", "<video_id>/<first frame>+<frames>, frames on the 25-fps grid"),
    column("video_id", _S, "", "yt:<11 characters> or file:<first 16 hex of its sha256>"),
)
_TEXTS = {  # of columns that their tables leave without a sentence
    "persons_in_clip": "people seen in the clip, kept or not",
    "has_audio": "whether the clip has sound",
    "peak_dbfs": "loudest sample",
}


def links_schema() -> pa.Schema:
    """Columns of `links`: where each clip is, and where in its picture the speaker stands; `links.jsonl` has most of them."""
    fields = [
        column("name", _S, "", "the clip's name in the manifest that it came from, else the person_id"),
        *_IDS,
        column("url", _S, "", "where the video was published; null for local files, which nobody else can rebuild"),
        column("split", _S, "", f"{', '.join(SPLITS)}; {UNASSIGNED}: in none"),
        column("first_frame", _I, "frames", "picture of the video at 25 fps; picture n is shown at n/25 s"),
        column("frames", _I, "frames", "of the clip, at 25 fps"),
        column("start_seconds", _D, "s", "from the start of the video, as a player shows it"),
        column("end_seconds", _D, "s", "where the clip ends in the video"),
        column(
            "crop_box", BOX, "px", "x1, y1, x2, y2, half open, of a picture of width x height; may leave the picture"
        ),
        column("width", _I, "px", "picture that the crop box and the skeleton lie in"),
        column("height", _I, "px", "picture that the crop box and the skeleton lie in"),
        column("person", _I, "", "rank of the person in the clip, by (first frame seen, x)"),
        column("speech_type", _S, "", "null when unknown"),
        column("language", _S, "", "as the source states it; null when unknown"),
        column("licence", _S, "", "of the video, as the source states it; null when unknown"),
    ]
    return pa.schema(fields, metadata=_VERSIONED)


def schema() -> pa.Schema:
    """Columns of `skeletons`: rows of `persons`, by clip and person."""
    persons = KINDS["persons"].schema
    fields = {field.name: field for field in _IDS}
    return pa.schema([fields.get(name, persons.field(name)) for name in COLUMNS], metadata=_VERSIONED)


def measures() -> dict[str, tuple[str, ...]]:
    """Table kind -> the measures that are published: those of shards but for the estimated attributes of persons."""
    return {kind: names for kind, names in shard_measures().items() if kind not in _PRIVATE_KINDS}


def measures_schema() -> pa.Schema:
    """Columns of `measures`: ids, and what the checks measured."""
    fields = [KINDS[kind].schema.field(name) for kind, names in measures().items() for name in names]
    return pa.schema([*_IDS, *map(_described, fields)], metadata=_VERSIONED)


def _described(field: pa.Field) -> pa.Field:
    metadata = dict(field.metadata)
    return (
        field if metadata[b"text"] else field.with_metadata({**metadata, b"text": _TEXTS.get(field.name, "").encode()})
    )


def availability_schema() -> pa.Schema:
    """Columns of `availability`: of each video in the release, whether it was there when last looked at."""
    fields = [
        column("video_id", _S, "", "yt:<11 characters> or file:<first 16 hex of its sha256>"),
        column("url", _S, "", "where the video was published; null for local files"),
        column("state", _S, "", "live, dead, unusable, blocked, unknown, never checked; no link"),
        column("reason", _S, "", "code of csg405's list of reasons; empty when live"),
        column("looked", _S, "YYYY-MM-DD", "when; null when never"),
    ]
    return pa.schema(fields, metadata=_VERSIONED)


def schemas() -> dict[str, pa.Schema]:
    """Table -> its columns, with units ("unit") and descriptions ("text") as field metadata."""
    found = (links_schema(), schema(), measures_schema(), availability_schema())
    return dict(zip(TABLES, found, strict=True))


def skeletons_of(path: Path) -> tuple[Path, ...]:
    """The files of skeletons that a path means: one of them, or those of a release's folder; none when it means neither."""
    path = Path(path)
    if path.is_dir():
        inside = path if path.name == SKELETONS else path / SKELETONS
        one = path / _ONE_FILE
        found = sorted(inside.glob("*.parquet")) if inside.is_dir() else []
        return tuple(found) or ((one,) if one.is_file() else ())
    return (path,) if path.suffix == ".parquet" else ()
