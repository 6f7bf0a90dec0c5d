"""The files of a release, each written beside its target and renamed, the index with their hashes last."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.base import files
from pipeline.base.hashes import sha256_of
from pipeline.base.units import Row
from pipeline.base.version import version_of
from pipeline.engine.profile import ProfileError, load
from pipeline.shards import release
from pipeline.tables import people
from pipeline.tables.arrow import to_arrow
from pipeline.tables.hashing import flat
from pipeline.tables.kinds import KINDS, column
from pipeline.tables.parts import read_places
from pipeline.tables.store import Store
from pipeline.views.nets import as_json, made_by
from stages.release import card
from stages.release.contents import Counts, measures
from stages.release.settings import ReleaseSettings

ROWS_A_GROUP = 4  # read to look up one clip: about 1.5 MB
ROWS_AT_ONCE = 4096  # of links
_IDS = ("person_id", "clip_id", "video_id")


def write(store: Store, wanted: ReleaseSettings) -> Counts:
    """Write `release/` of a run. Returns what it holds."""
    folder = store.run / release.FOLDER
    (folder / release.INDEX).unlink(missing_ok=True)  # what it lists is about to change
    kept = _kept(store)
    # Those of earlier releases stay in it: what was published then may lie anywhere now.
    people.note(store.run, folder, kept["video_id"].to_pylist(), more=True)
    counts = Counts(speakers=len(kept), clips=pc.count_distinct(kept["clip_id"]).as_py())
    _write_links(folder / release.LINKS, store, kept, counts)
    _write_skeletons(folder / release.SKELETONS, store, kept)
    _write_measures(folder / release.MEASURES, store, kept)
    settings, nets = _settings(store.run), made_by(store)
    title = wanted.title or store.run.resolve().name
    files.write_text(folder / release.CARD, card.text(title, counts, settings, wanted, nets))
    index = {
        "version": release.VERSION,
        "csg405": version_of(),
        "title": title,
        "speakers": counts.speakers,
        "clips": counts.clips,
        "videos": counts.videos,
        "hours": counts.hours,
        "settings": settings,
        "nets": as_json(nets),
        "files": [_listed(folder / n) for n in (release.CARD, release.LINKS, release.MEASURES, release.SKELETONS)],
    }
    text = json.dumps(index, indent=1, sort_keys=True, ensure_ascii=False)
    files.write_text(folder / release.INDEX, text + "\n")
    return counts


def _kept(store: Store) -> pa.Table:
    """Kept speakers by video, clip and rank, with the places of their skeletons."""
    verdicts = store.live("verdicts", ["person_id"], where="keep")
    persons = store.live("persons", [*_IDS, "person", "smoothed"], places=True)
    persons = persons.filter(pc.is_in(persons["person_id"], value_set=flat(verdicts["person_id"])))
    clips = store.live("clips", ["clip_id", "first_frame"])
    persons = persons.append_column("first_frame", _looked_up(clips, "clip_id", "first_frame", persons["clip_id"]))
    return persons.sort_by([(name, "ascending") for name in ("video_id", "first_frame", "clip_id", "person")])


def _looked_up(table: pa.Table, key: str, name: str, wanted: pa.ChunkedArray) -> pa.Array:
    """The values of a column at the rows with these keys; null where there is none."""
    return flat(table[name]).take(pc.index_in(flat(wanted), value_set=flat(table[key])))


def _write_links(path: Path, store: Store, kept: pa.Table, counts: Counts) -> None:
    """A JSON object a line and speaker: where the clip is, and where in its picture the speaker stands."""
    videos = {r["video_id"]: r for r in store.read("videos", ["video_id", *_VIDEO]).to_pylist()}
    clips = store.live("clips", ["clip_id", *_CLIP])
    crops = store.live("pose_measures", ["person_id", "crop_box"])
    alone = {v["values"].as_py(): v["counts"].as_py() == 1 for v in pc.value_counts(flat(kept["clip_id"]))}
    seen: set[str] = set()
    with files.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        for first in range(0, len(kept), ROWS_AT_ONCE):
            piece = kept.slice(first, ROWS_AT_ONCE).select([*_IDS, "person", "smoothed"])
            for name in _CLIP:
                piece = piece.append_column(name, _looked_up(clips, "clip_id", name, piece["clip_id"]))
            boxes = _looked_up(crops, "person_id", "crop_box", piece["person_id"])
            for row in piece.append_column("crop_box", boxes).to_pylist():
                video = videos[row["video_id"]]
                out.write(json.dumps(_link(row, video, alone[row["clip_id"]]), ensure_ascii=False) + "\n")
                _count(counts, row, video, row["video_id"] not in seen)
                seen.add(row["video_id"])
    counts.videos = len(seen)


_VIDEO = ("url", "width", "height", "licence", "speech_type", "language")
_CLIP = ("first_frame", "frames", "start_seconds", "end_seconds", "manifest_name")


def _link(row: Row, video: Row, alone: bool) -> Row:
    """A line of the links. A clip that a manifest named keeps its name; where two speakers share it, each has its own."""
    return {
        "name": row["manifest_name"] if row["manifest_name"] and alone else row["person_id"],
        "video_id": row["video_id"],
        "url": video["url"],
        "first_frame": row["first_frame"],
        "frames": row["frames"],
        "start_seconds": row["start_seconds"],
        "end_seconds": row["end_seconds"],
        "crop_box": row["crop_box"],
        "width": video["width"],
        "height": video["height"],
        "person": row["person"],
        "speech_type": video["speech_type"],
        "licence": video["licence"],
    }


def _count(counts: Counts, row: Row, video: Row, new_video: bool) -> None:
    counts.frames += row["frames"]
    counts.smoothed += bool(row["smoothed"])
    if new_video:
        counts.licences[video["licence"] or "unknown"] += 1
        counts.speech_types[video["speech_type"] or "unknown"] += 1
        counts.languages[video["language"] or "unknown"] += 1


def _write_skeletons(path: Path, store: Store, kept: pa.Table) -> None:
    """Rows of `persons` as they are, a few at a time."""
    layout = release.schema()
    parts = [str(part) for part in store.table("persons").parts("rows")]
    places = [(parts[f], p) for f, p in zip(kept["file"].to_pylist(), kept["place"].to_pylist(), strict=True)]
    split = [f"{name}.list.element.list.element" for name in ("keypoints", "scores", "boxes")]
    with (
        files.replacing(path) as temporary,
        pq.ParquetWriter(
            temporary, layout, compression="zstd", use_byte_stream_split=split, use_dictionary=["clip_id", "video_id"]
        ) as writer,
    ):
        for first in range(0, max(1, len(places)), ROWS_A_GROUP):
            rows = read_places(places[first : first + ROWS_A_GROUP], release.COLUMNS)
            arrays = [to_arrow([row[name] for row in rows], layout.field(name).type) for name in release.COLUMNS]
            writer.write_table(pa.Table.from_arrays(arrays, schema=layout), row_group_size=ROWS_A_GROUP)


def _write_measures(path: Path, store: Store, kept: pa.Table) -> None:
    """A row a speaker: ids, and every measure of the speaker and of the clip's sound."""
    columns = [(column(name, pa.string(), "", ""), flat(kept[name])) for name in _IDS]
    for kind, names in measures().items():
        key = KINDS[kind].key
        table = store.live(kind, [key, *names])
        at = pc.index_in(flat(kept[key]), value_set=flat(table[key]))
        columns += [(KINDS[kind].schema.field(name), flat(table[name]).take(at)) for name in names]
    metadata = {release.VERSION_KEY: release.VERSION.encode()}
    table = pa.Table.from_arrays([c for _, c in columns], schema=pa.schema([f for f, _ in columns], metadata=metadata))
    with files.replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _settings(run: Path) -> dict[str, dict[str, Any]]:
    """Of each stage of the run's profile, the settings that change results; none that says where something lies."""
    kept = run / "profile.toml"
    try:
        profile = load(str(kept)) if kept.is_file() else None
    except ProfileError:  # of a version with other stages
        profile = None
    if profile is None:
        return {}
    return {
        name: {key: value for key, value in profile.stage(name).result_settings().items() if not _is_place(value)}
        for name in profile.all_stages
    }


def _is_place(value: object) -> bool:
    return isinstance(value, str) and (PurePath(value).is_absolute() or value.startswith(("~", "./", "../")))


def _listed(path: Path) -> Mapping[str, Any]:
    return {"path": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
