"""The stage in a run: clusters, the copy that is kept, names that stay, and what an opt-out leaves."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.engine.upkeep import collect
from pipeline.media.chromaprint import Items, fingerprint
from pipeline.tables.compaction import compact
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out import OptOut
from pipeline.tables.store import Store
from pipeline.tables.table import Table
from stages.judge import Judge
from stages.twins import Twins
from stages.twins.films import Films, for_reuse
from tests.stages import fake_run
from tests.stages.twins import gestures
from tests.stages.twins.talks import RATE, printed, talk

Rows = dict[str, dict[str, Any]]


def rows_of(
    prints: dict[str, Items | None],
    widths: Mapping[str, float] = {},
    given: Mapping[str, Any] = {},
    clips: Sequence[dict[str, Any]] = (),
    **settings: Any,
) -> Rows:
    """{video: row of twins}. Of equally large people the later id has the better bit rate."""
    unit = Unit(
        "all",
        {
            "sound_fingerprints": [
                {"video_id": video, "fingerprint": None if items is None else items.tobytes()}
                for video, items in prints.items()
            ],
            "videos": [
                {"video_id": video, "bytes": 1000 + at, "duration_seconds": 10.0, "upload_date": None}
                for at, video in enumerate(sorted(prints))
            ],
            "clips": list(clips),
            "pose_measures": [{"video_id": video, "shoulder_width_px": width} for video, width in widths.items()],
        },
    )
    found = {row["video_id"]: row for row in Twins(**settings).worker(Context(Path(), given=given)).process(unit)}
    assert set(found) == set(prints)
    assert all(set(row) <= set(KINDS["twins"].schema.names) for row in found.values())
    return found


def test_copies_are_clustered_and_the_larger_person_is_kept() -> None:
    rows = rows_of({"a": printed(1, 20), "b": printed(1, 20), "c": printed(2, 20), "d": None}, {"a": 200.0, "b": 100.0})
    assert rows["a"]["cluster_id"] == rows["b"]["cluster_id"] is not None
    assert (rows["a"]["kept"], rows["b"]["kept"]) == (True, False)
    assert (rows["b"]["twin_of"], rows["b"]["how"]) == ("a", "sound")
    assert rows["b"]["better_spans"] == [[0.0, pytest.approx(20, abs=0.2)]]
    for alone in ("c", "d"):
        assert rows[alone] == {"video_id": alone, "cluster_id": None, "near_cluster_id": None, "kept": True}


def test_of_equally_large_people_the_better_bit_rate_is_kept() -> None:
    rows = rows_of({"a": printed(1, 20), "b": printed(1, 20)}, {"a": 100.0, "b": 99.0})
    assert (rows["a"]["kept"], rows["b"]["kept"]) == (False, True)


def test_parts_that_do_not_overlap_are_both_kept_against_a_smaller_whole() -> None:
    whole = talk(1, 60)
    prints = {"a": fingerprint(whole[: 25 * RATE]), "b": fingerprint(whole[35 * RATE :]), "c": fingerprint(whole)}
    rows = rows_of(prints, {"a": 200.0, "b": 200.0, "c": 100.0})
    assert len({row["cluster_id"] for row in rows.values()}) == 1
    assert rows["a"]["kept"] and rows["b"]["kept"] and not rows["c"]["kept"]
    (first, upto), (onward, last) = rows["c"]["better_spans"]
    assert (first, upto, onward, last) == pytest.approx((0, 25, 35, 60), abs=1.5)


def test_one_jingle_before_two_talks_makes_no_twins() -> None:
    jingle = talk(9, 7)
    prints = {name: fingerprint(np.concatenate([jingle, talk(seed, 40)])) for name, seed in (("a", 1), ("b", 2))}
    rows = rows_of(prints)
    assert rows["a"]["cluster_id"] is None and rows["a"]["near_cluster_id"] is None
    silent = np.zeros(60 * RATE, np.float32)  # nor where nothing else is heard
    mute = fingerprint(np.concatenate([jingle, silent]))
    assert rows_of({"a": mute, "b": prints["a"]})["a"]["cluster_id"] is None


def test_what_is_near_counts_for_splits_alone() -> None:
    shared = talk(9, 15)
    prints = {name: fingerprint(np.concatenate([shared, talk(seed, 30)])) for name, seed in (("a", 1), ("b", 2))}
    rows = rows_of(prints)
    assert rows["a"]["cluster_id"] is None and rows["a"]["kept"] and rows["b"]["kept"]
    assert rows["a"]["near_cluster_id"] == rows["b"]["near_cluster_id"] is not None
    assert rows_of(prints, min_matched_share=0.25)["a"]["cluster_id"] is not None


def test_limits_for_splits_are_no_stricter() -> None:
    with pytest.raises(ValidationError, match="no stricter"):
        Twins(near_bit_error=0.1)


def seen(films: dict[str, gestures.Film], prints: dict[str, Items | None] | None = None, **settings: Any) -> Rows:
    """{video: row of twins} of films, heard or not."""
    heard = prints or dict.fromkeys(films)
    clips = [row for video, film in films.items() for row in gestures.rows(film, video)]
    return rows_of(heard, clips=clips, **settings)


def test_a_dub_a_mirrored_one_and_silent_films_are_twins_by_motion_and_another_talk_of_the_studio_is_not() -> None:
    film = gestures.gestures(1, 16)
    films = {"a": film, "b": gestures.coded(film[:, :, ::-1]), "c": gestures.gestures(2, 16)}
    for prints in (None, {"a": printed(1, 16), "b": printed(2, 16), "c": None}):
        rows = seen(films, prints)
        assert rows["a"]["cluster_id"] == rows["b"]["cluster_id"] is not None and rows["c"]["cluster_id"] is None
        copy = rows["a"]  # the later id has the better bit rate
        assert (copy["twin_of"], copy["how"], copy["mirrored"]) == ("b", "motion", True)
        assert copy["motion_likeness"] > 0.8 and copy["bit_error"] is None
        assert copy["offset_seconds"] == pytest.approx(0, abs=0.1) and copy["matched_seconds"] > 15
        assert len(rows["a"]["better_spans"]) == 1


def test_what_is_alike_by_sound_and_by_motion_says_both() -> None:
    film, sound = gestures.gestures(1, 16), printed(1, 16)
    row = seen({"a": film, "b": gestures.coded(film)}, {"a": sound, "b": sound})["a"]
    assert (row["how"], row["mirrored"]) == ("both", False)
    assert row["bit_error"] == 0 and row["motion_likeness"] > 0.8
    other = seen({"a": film, "b": gestures.gestures(2, 16)}, {"a": sound, "b": sound})["a"]
    assert (other["how"], other["mirrored"], other["motion_likeness"]) == ("sound", None, None)


def test_films_of_other_studios_are_not_compared_by_motion() -> None:
    film = gestures.gestures(1, 16)
    upside_down = gestures.gestures(1, 16, room=1)
    assert seen({"a": film, "b": upside_down})["a"]["cluster_id"] is None


def test_limits_of_motion_decide() -> None:
    films = {"a": gestures.gestures(1, 16), "b": gestures.coded(gestures.gestures(1, 16), 1)}
    assert seen(films)["a"]["cluster_id"] and seen(films)["a"]["near_cluster_id"]
    assert seen(films, min_motion_likeness=1)["a"]["cluster_id"] is None
    assert seen(films, min_motion_likeness=1)["a"]["near_cluster_id"]
    assert seen(films, min_motion_likeness=1, near_motion_likeness=1)["a"]["near_cluster_id"] is None


def test_clips_of_older_versions_are_told_and_compared_by_sound(caplog: pytest.LogCaptureFixture) -> None:
    sound = printed(1, 16)
    old = {"first_frame": 0, "frames": 400, "motion_print": None, "scene_print": None}
    rows = rows_of({"a": sound, "b": sound}, clips=[{"video_id": video, **old} for video in "ab"])
    assert rows["a"]["how"] == "sound"
    assert "2 of 2 videos are compared by sound alone" in caplog.text and "--redo" in caplog.text


def test_of_clips_that_a_manifest_gave_it_is_said_once_that_dubs_are_not_found(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    sound = printed(1, 16)
    given = {"first_frame": 0, "frames": 400, "manifest_line": 7, "motion_print": None, "scene_print": None}
    old = given | {"manifest_line": None}
    rows = rows_of({"a": sound, "b": sound}, clips=[{"video_id": video, **given} for video in "aab"])
    assert rows["a"]["how"] == "sound"
    [said] = [record for record in caplog.records if "by sound alone" in record.getMessage()]
    assert (
        said.levelname == "INFO" and "2 of 2 videos" in said.getMessage() and "dubs are not found" in said.getMessage()
    )
    assert "--redo" not in caplog.text and not [record for record in caplog.records if record.levelname == "WARNING"]
    caplog.clear()
    rows_of({"a": sound, "b": None, "c": None}, clips=[{"video_id": "a", **old}, {"video_id": "b", **given}])
    said_of = {record.levelname: record.getMessage() for record in caplog.records if "by sound" in record.getMessage()}
    assert "--redo" in said_of["WARNING"] and all("1 of 3 videos" in message for message in said_of.values())


def test_a_studio_of_more_films_than_are_compared_is_told(caplog: pytest.LogCaptureFixture) -> None:
    films = {name: gestures.gestures(seed, 3) for seed, name in enumerate("abc")}
    seen(films, studio_films=1)
    assert "at least 1 pairs of one studio are not compared by motion" in caplog.text and "studio_films" in caplog.text


def test_a_run_compares_so_many_pairs_by_motion_and_tells_the_rest_and_what_is_heard_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    film, sound = gestures.gestures(1, 16), printed(1, 16)
    films = {"a": film, "b": gestures.coded(film), "c": gestures.gestures(2, 16), "d": gestures.gestures(2, 16)}
    prints = {"a": None, "b": None, "c": sound, "d": sound}
    rows = seen(films, prints, motion_pairs=0)
    assert "6 more pairs of one studio are not compared by motion" in caplog.text and "motion_pairs" in caplog.text
    assert rows["a"]["cluster_id"] is None and rows["b"]["cluster_id"] is None
    assert rows["c"]["cluster_id"] == rows["d"]["cluster_id"] is not None and rows["c"]["how"] == "both"
    caplog.clear()
    rows = seen(films, prints, motion_pairs=6)
    assert rows["a"]["how"] == "motion" and "motion_pairs" not in caplog.text


def test_where_motion_takes_too_long_no_link_by_sound_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stages.twins.worker._MOTION_SECONDS", -1)
    film, sound = gestures.gestures(1, 16), printed(1, 16)
    films = {"a": film, "b": film, "c": gestures.gestures(2, 16), "d": gestures.gestures(3, 16)}
    rows = seen(films, {"a": sound, "b": sound, "c": printed(2, 16), "d": printed(2, 16)})
    assert "6 of 6 pairs are not compared by motion: it took too long" in caplog.text
    assert [rows[video]["how"] for video in "ac"] == ["sound", "sound"]
    assert rows["a"]["cluster_id"] == rows["b"]["cluster_id"] != rows["c"]["cluster_id"] == rows["d"]["cluster_id"]


def test_films_of_a_studio_that_is_held_are_read_once_each_though_studios_are_mixed() -> None:
    reads: list[str] = []

    class Clips:
        def load(self, rows: Sequence[int] | None = None) -> list[dict[str, Any]]:
            reads.extend(ids[row] for row in rows or ())
            return [{"motion_print": None, "scene_print": None} for _ in rows or ()]

    ids = [f"{at:04d}" for at in range(900)]
    light = [{"video_id": one, "first_frame": 0, "frames": 100} for one in ids]
    films = Films(Unit("all", {"clips": light}, {"clips": Clips()}), ids)
    studio = [(a, b) for a in range(300) for b in range(a + 1, 300)][::7]
    pairs = sorted((ids[3 * a + room], ids[3 * b + room]) for room in range(3) for a, b in studio)
    order = for_reuse(pairs)
    assert sorted(order) == pairs and sum(1 for _ in films.of(order)) == len(pairs)
    assert sorted(reads) == sorted({video for pair in pairs for video in pair})


def add(store: Store, number: int, seed: int) -> None:
    fake_run.add_video(store, number)
    items = printed(seed, 12)
    row = {"fingerprint_of": "chromaprint-1", "fingerprint_items": len(items), "fingerprint": items.tobytes()}
    fake_run.add(store, "sound_fingerprints", [{"video_id": fake_run.video_id(number), **row}])


def test_motion_is_read_from_the_tables_of_a_run_a_few_films_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.twins.films._AT_ONCE", 2)
    monkeypatch.setattr("stages.twins.films._HELD", 2)
    store = Store(tmp_path)
    film = gestures.gestures(1, 16)
    mirrored = gestures.coded(film[:, :, ::-1])
    for number, pictures in ((1, film), (2, gestures.gestures(2, 16)), (3, mirrored), (4, film[:200]), (5, None)):
        fake_run.add_video(store, number)
        video = fake_run.video_id(number)
        fake_run.add(store, "sound_fingerprints", [{"video_id": video}])
        for row in gestures.rows(pictures, video, (150,)) if pictures is not None else ():
            clip_id = f"{video}/{row['first_frame']}+{row['frames']}"
            fake_run.add(store, "clips", [{"clip_id": clip_id, **row}])
    fake_run.run(Twins(), tmp_path)
    rows = {row["video_id"]: row for row in Store(tmp_path).read("twins").to_pylist()}
    copies = [fake_run.video_id(number) for number in (1, 3, 4)]
    assert len({rows[video]["cluster_id"] for video in copies}) == 1 and rows[copies[0]]["cluster_id"]
    assert [rows[video]["how"] for video in copies if rows[video]["twin_of"]] == ["motion", "motion"]
    assert any(rows[video]["mirrored"] for video in copies)
    assert all(rows[fake_run.video_id(number)]["cluster_id"] is None for number in (2, 5))


def clusters_of(run: Path) -> dict[str, str]:
    rows = Store(run).read("twins", ["video_id", "cluster_id"]).to_pylist()
    return {row["video_id"]: row["cluster_id"] for row in rows if row["cluster_id"]}


def test_names_stay_when_a_video_comes_and_a_repeated_run_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number, seed in ((5, 1), (6, 1), (7, 2), (8, 2)):
        add(store, number, seed)
    fake_run.run(Twins(), tmp_path)
    before = clusters_of(tmp_path)
    assert len(before) == 4 and len(set(before.values())) == 2
    add(Store(tmp_path), 1, 2)  # first by its id
    fake_run.run(Twins(), tmp_path)
    after = clusters_of(tmp_path)
    assert {video: after[video] for video in before} == before
    assert after[fake_run.video_id(1)] == before[fake_run.video_id(7)]


def test_a_row_that_names_somebody_who_opted_out_does_not_count(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number, seed in ((1, 1), (2, 1), (3, 2)):
        add(store, number, seed)
    fake_run.run(Twins(), tmp_path)
    [copy] = [row for row in Store(tmp_path).read("twins").to_pylist() if row["twin_of"]]
    left = Store(tmp_path, OptOut(frozenset({copy["twin_of"]}))).read("twins", ["video_id", "twin_of"]).to_pylist()
    assert left == [{"video_id": fake_run.video_id(3), "twin_of": None}]


def test_after_an_opt_out_compaction_leaves_no_trace_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number, seed in ((1, 1), (2, 1), (3, 2)):
        add(store, number, seed)
    fake_run.run(Twins(), tmp_path)
    [gone] = [row["twin_of"] for row in Store(tmp_path).read("twins", ["twin_of"]).to_pylist() if row["twin_of"]]
    left = Store(tmp_path, OptOut(frozenset({gone})))
    for kind in ("twins", "sound_fingerprints"):
        compact(left, kind)
    collect(left)
    parts = [
        part
        for kind in ("twins", "sound_fingerprints")
        for part in (tmp_path / "tables" / kind).rglob("*.parquet")
        if part.is_file()
    ]
    assert len(parts) >= 4
    assert not [part for part in parts if gone in str(pq.read_table(part).to_pydict())]
    fake_run.run(Twins(), tmp_path)  # and what it made after that is read
    assert len(left.read("twins")) == 2


def test_killed_before_its_commit_it_says_the_same_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number, seed in ((1, 1), (2, 1)):
        add(store, number, seed)
    fake_run.run(Twins(), tmp_path)
    add(Store(tmp_path), 0, 1)
    with without_commits() as killed:
        fake_run.run(Twins(), tmp_path)
    fake_run.run(Twins(), tmp_path)
    assert killed == [{row["video_id"]: row["cluster_id"] for row in Store(tmp_path).read("twins").to_pylist()}]


@contextmanager
def without_commits() -> Iterator[list[dict[str, str]]]:
    """Nothing is committed within; yields the clusters that would have been."""
    lost: list[dict[str, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Table,
            "append",
            lambda self, rows, outcomes: lost.append(
                {row["video_id"]: row["cluster_id"] for part in rows for row in part.to_pylist()}
            ),
        )
        yield lost


def judged(twin: dict[str, Any] | None, **settings: Any) -> dict[str, Any]:
    clip = f"{fake_run.video_id(2)}/250+250"
    person = {"person_id": f"{clip}#0", "clip_id": clip, "video_id": fake_run.video_id(2)}
    rows = {"persons": [person], "twins": [twin] if twin else []}
    off = {name: None for name in Judge.model_fields if name.startswith(("min_", "max_"))}
    judge = Judge(**off, require_audio=False, require_measured=(), **settings)
    [row] = judge.worker(Context(Path())).process(Unit("all", rows))
    return row


@pytest.mark.parametrize(
    ("spans", "drops"), [([[0, 30]], True), ([[0, 12], [17, 40]], True), ([[0, 13]], False), ([[20, 40]], False)]
)
def test_judge_drops_a_clip_of_which_a_better_copy_is_there_if_asked_to(spans: list[list[float]], drops: bool) -> None:
    twin = {"video_id": fake_run.video_id(2), "twin_of": fake_run.video_id(1), "better_spans": spans}
    assert judged(twin)["keep"] and judged(None, drop_twins=True)["keep"]
    row = judged(twin, drop_twins=True)
    assert row["keep"] is not drops
    if drops:
        assert row["reasons"] == ["near_duplicate"] and row["copy_of"] == fake_run.video_id(1)
        assert fake_run.video_id(1) in row["details"][0]
