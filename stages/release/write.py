"""The tables of a release, each file written beside its target and renamed; what describes them comes last."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base import files
from pipeline.base.units import Row
from pipeline.base.version import version_of
from pipeline.engine.profile import ProfileError, load
from pipeline.shards import release
from pipeline.shards.format import SPLITS
from pipeline.shards.release.about import About, public
from pipeline.shards.release.counts import Counts
from pipeline.shards.release.seal import seal
from pipeline.shards.release.tables import ROWS_A_FILE, TableWriter, link_line
from pipeline.tables import people, takedowns
from pipeline.tables.arrow import to_arrow
from pipeline.tables.hashing import flat
from pipeline.tables.kinds import KINDS
from pipeline.tables.parts import read_places
from pipeline.tables.store import Store
from pipeline.views.nets import as_json, made_by
from stages.release.looks import states_of
from stages.release.settings import ReleaseSettings
from stages.release.splits import splits_of

ROWS_AT_ONCE = 4096  # of links
_OLD = ("skeletons.parquet", "measures.parquet")  # of version 1
_VIDEO = ("url", "width", "height", "licence", "speech_type", "language")
_CLIP = ("first_frame", "frames", "start_seconds", "end_seconds", "manifest_name")


def write(store: Store, wanted: ReleaseSettings) -> Counts:
    """Write `release/` of a run. Returns what it holds."""
    folder = store.run / release.FOLDER
    _clear(folder)
    kept = _kept(store)
    # Those of earlier releases stay in it: what was published then may lie anywhere now.
    people.note(store.run, folder, kept["video_id"].to_pylist(), more=True)
    parts = {split: kept.filter(pc.equal(kept["split"], split)) for split in release.RELEASE_SPLITS}
    parts = {split: part for split, part in parts.items() if len(part)} or {SPLITS[0]: kept}
    _write_links(folder, store, parts)
    for split, part in parts.items():
        _write_skeletons(folder, store, split, part)
        _write_measures(folder, store, split, part)
        _write_availability(folder, store, split, part)
    if lines := takedowns.read(store.run / takedowns.LEDGER):
        takedowns.add(folder / takedowns.LEDGER, lines.values())
    return seal(folder, _about(store, wanted))


def _clear(folder: Path) -> None:
    """Delete an earlier release: its index first, which lists what is about to change."""
    for name in (release.INDEX, release.SUMS, release.CROISSANT, *_OLD):
        (folder / name).unlink(missing_ok=True)
    for table in release.TABLES:
        shutil.rmtree(folder / table, ignore_errors=True)


def _about(store: Store, wanted: ReleaseSettings) -> About:
    return About(
        title=wanted.title or store.run.resolve().name,
        version=wanted.data_version,
        licence=wanted.licence,
        contact=wanted.contact,
        published=wanted.published or _last_judged(store),
        csg405=version_of(),
        settings=_settings(store.run),
        nets=as_json(made_by(store)),
    )


def _last_judged(store: Store) -> str:
    """The day of the newest verdict: of the same tables every release has the same."""
    last = pc.max(store.outcomes("verdicts")["at"]).as_py()
    return last.date().isoformat() if last else ""


def _kept(store: Store) -> pa.Table:
    """Kept speakers by video, clip and rank, with their split and the places of their skeletons."""
    verdicts = store.live("verdicts", ["person_id"], where="keep")
    persons = store.live("persons", [*release.IDS, "person"], places=True)
    persons = persons.filter(pc.is_in(persons["person_id"], value_set=flat(verdicts["person_id"])))
    clips = store.live("clips", ["clip_id", "first_frame"])
    persons = persons.append_column("first_frame", _looked_up(clips, "clip_id", "first_frame", persons["clip_id"]))
    known = splits_of(store)
    without = release.UNASSIGNED if known else SPLITS[0]
    splits = pa.array([known.get(video, without) for video in persons["video_id"].to_pylist()], pa.string())
    persons = persons.append_column("split", splits)
    return persons.sort_by([(name, "ascending") for name in ("video_id", "first_frame", "clip_id", "person")])


def _looked_up(table: pa.Table, key: str, name: str, wanted: pa.ChunkedArray) -> pa.Array:
    """The values of a column at the rows with these keys; null where there is none."""
    return flat(table[name]).take(pc.index_in(flat(wanted), value_set=flat(table[key])))


def _write_links(folder: Path, store: Store, parts: Mapping[str, pa.Table]) -> None:
    """`links/` by split, and all of it as JSON, a line a speaker."""
    look = _Links(store, pa.concat_tables(parts.values()))
    with (
        files.replacing(folder / release.LINKS) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as out,
    ):
        for split, part in parts.items():
            with TableWriter(folder, release.ALL_LINKS, split) as writer:
                for first in range(0, max(1, len(part)), ROWS_AT_ONCE):
                    rows = list(look.rows(part.slice(first, ROWS_AT_ONCE), split))
                    out.writelines(map(link_line, rows))
                    writer.write(pa.Table.from_pylist(rows, schema=release.links_schema()))


class _Links:
    """Joins what links hold."""

    def __init__(self, store: Store, kept: pa.Table) -> None:
        self._videos = {r["video_id"]: r for r in store.read("videos", ["video_id", *_VIDEO]).to_pylist()}
        self._clips = store.live("clips", ["clip_id", *_CLIP])
        self._crops = store.live("pose_measures", ["person_id", "crop_box"])
        counts = pc.value_counts(flat(kept["clip_id"]))
        self._alone = {found["values"].as_py(): found["counts"].as_py() == 1 for found in counts}

    def rows(self, piece: pa.Table, split: str) -> Iterator[Row]:
        """Rows of `links`. A clip that a manifest named keeps its name; where two speakers share it, each has its own."""
        piece = piece.select([*release.IDS, "person"])
        for name in _CLIP:
            piece = piece.append_column(name, _looked_up(self._clips, "clip_id", name, piece["clip_id"]))
        boxes = _looked_up(self._crops, "person_id", "crop_box", piece["person_id"])
        for row in piece.append_column("crop_box", boxes).to_pylist():
            named = row.pop("manifest_name")
            name = named if named and self._alone[row["clip_id"]] else row["person_id"]
            video = self._videos[row["video_id"]]
            yield {"name": name, **row, "split": split, **{key: video[key] for key in _VIDEO}}


def _write_skeletons(folder: Path, store: Store, split: str, kept: pa.Table) -> None:
    """Rows of `persons` as they are, a few at a time."""
    layout = release.schema()
    parts = [str(part) for part in store.table("persons").parts("rows")]
    places = [(parts[f], p) for f, p in zip(kept["file"].to_pylist(), kept["place"].to_pylist(), strict=True)]
    for number, start in enumerate(range(0, max(1, len(places)), ROWS_A_FILE)):
        wanted = places[start : start + ROWS_A_FILE]
        with TableWriter(folder, release.SKELETONS, split, number) as writer:
            for first in range(0, max(1, len(wanted)), writer.rows_a_group):
                rows = read_places(wanted[first : first + writer.rows_a_group], release.COLUMNS)
                arrays = [to_arrow([row[name] for row in rows], layout.field(name).type) for name in release.COLUMNS]
                writer.write(pa.Table.from_arrays(arrays, schema=layout))


def _write_measures(folder: Path, store: Store, split: str, kept: pa.Table) -> None:
    """A row a speaker: ids, and every measure of the speaker and of the clip's sound."""
    columns = [flat(kept[name]) for name in release.IDS]
    for kind, names in release.measures().items():
        key = KINDS[kind].key
        table = store.live(kind, [key, *names])
        at = pc.index_in(flat(kept[key]), value_set=flat(table[key]))
        columns += [flat(table[name]).take(at) for name in names]
    with TableWriter(folder, release.MEASURES, split) as writer:
        writer.write(pa.Table.from_arrays(columns, schema=release.measures_schema()))


def _write_availability(folder: Path, store: Store, split: str, kept: pa.Table) -> None:
    states = states_of(store, sorted(set(kept["video_id"].to_pylist())))
    with TableWriter(folder, release.AVAILABILITY, split) as writer:
        writer.write(pa.Table.from_pylist(states, schema=release.availability_schema()))


def _settings(run: Path) -> dict[str, dict[str, Any]]:
    """Of each stage of the run's profile, the settings that change results; none that says where something lies.

    Nor do they say on whom somebody decided, and who did.
    """
    kept = run / "profile.toml"
    try:
        profile = load(str(kept)) if kept.is_file() else None
    except ProfileError:  # of a version with other stages
        profile = None
    if profile is None:
        return {}
    return public(
        {
            name: {key: value for key, value in profile.stage(name).result_settings().items() if not _is_place(value)}
            for name in profile.all_stages
        }
    )


def _is_place(value: object) -> bool:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(map(_is_place, value))
    return isinstance(value, str) and (PurePath(value).is_absolute() or value.startswith(("~", "./", "../")))
