"""Clips from a manifest: through the runner, over rows of `videos` made by hand."""

import csv
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipeline.base.reasons import Reject
from pipeline.engine.plan import plan
from pipeline.engine.unit import Unit
from pipeline.sources.manifest import ManifestError, ledger, read_manifest
from pipeline.sources.web import lists
from pipeline.tables.store import Store
from stages.crawl import Crawl
from stages.manifest_clips import ManifestClips
from stages.measure_pose import MeasurePose
from tests.pipeline.engine.runs import go, outcomes
from tests.stages import fake_run
from tests.stages.stage_assets import asset

ONE, TWO, GONE = "YqnhRPq2Hq0", "gHlQOxsYoKw", "AAAAAAAAAAA"


def link(vid: str) -> str:
    return f"https://www.youtube.com/watch?v={vid}"


def entry(vid: str, start: str, end: str, box: list[float] | None = None, **more: Any) -> dict[str, Any]:
    return {"vid": vid, "part": 0, "start_time": start, "end_time": end, "crop_box": box or [], **more}


ENTRIES = [
    entry(ONE, "00:00:01.000", "00:00:11.000", [0, 0, 720, 720]),
    entry(ONE, "00:00:12.000", "00:00:17.010"),
    entry(ONE, "00:10:00.000", "00:10:10.000"),
    entry(ONE, "00:00:01.000", "00:00:01.010"),
    entry(TWO, "00:00:15.000", "00:00:20.060"),
    entry(GONE, "00:00:00.000", "00:00:10.000"),
    entry("too short", "00:00:00.000", "00:00:10.000"),
]


class OnClips(MeasurePose):
    """What it reads of `clips`, without persons."""

    reads: ClassVar = (MeasurePose.reads[1],)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return written(tmp_path, ENTRIES)


def written(folder: Path, entries: list[dict[str, Any]]) -> Path:
    path = folder / "all_with_crop.json"
    path.write_text("[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n")  # an entry a line, from line 2
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    store = Store(tmp_path / "run")
    for vid, width, height in ((ONE, 1280, 720), (TWO, 1920, 1080)):
        size = {"width": width, "height": height, "grid_frames": 500}
        fake_run.add(store, "videos", [{"video_id": f"yt:{vid}", "source": link(vid), "path": "x.mp4", **size}])
    fake_run.refuse(store, "videos", link(GONE), "private", "Private video")
    return store.run


def test_rows_become_clips_and_every_row_is_accounted_for(run: Path, manifest: Path) -> None:
    go(ManifestClips(manifest=manifest), run)
    columns = ["clip_id", "manifest_line", "manifest_crop_box", "start_seconds", "shot", "camera_motion"]
    rows = [list(row.values()) for row in Store(run).read("clips", columns).to_pylist()]
    assert rows == [
        [f"yt:{ONE}/25+250", 2, [0, 0, 720, 720], 1.0, None, None],
        [f"yt:{ONE}/300+125", 3, None, 12.0, None, None],
        [f"yt:{TWO}/375+125", 6, None, 15.0, None, None],
    ]
    with (run / "manifest_rows.csv").open(newline="") as file:
        states = {int(row["line"]): row for row in csv.DictReader(file)}
    assert {line: (row["status"], row["reason"]) for line, row in states.items()} == {
        2: ("live", ""),
        3: ("live", ""),
        4: ("bad", "out_of_video"),
        5: ("bad", "bad_row"),
        6: ("live", ""),
        7: ("dead", "private"),
        8: ("bad", "bad_row"),
    }
    assert states[4]["detail"] == "frames 15000 to 15250, and the video has 500"
    assert states[5]["detail"] == "lasts 0.01 s; a clip lasts 0.2 to 300 s"
    assert states[7]["detail"] == "Private video"
    assert states[6]["clip_id"] == f"yt:{TWO}/375+125"  # 127 frames in the manifest, of which two lie past the end


def test_what_is_left_out_of_a_list_is_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = {"width": 3840, "height": 2160, "description": "A man, seated."}
    rows = [
        {**size, "start-time": 1, "end-time": 11, "crop_box": [0, 0, 1920, 2160], "info": {"Video Link": link(TWO)}},
        {**size, "start-time": 12, "end-time": 15, "bbox": [0, 0, 9, 9], "info": {"Video Link": link(TWO)}},
        {**size, "start-time": 600, "end-time": 610, "info": {"Video Link": link(TWO)}},
        {**size, "start-time": 3, "info": {"Video Link": link(TWO)}},
    ]
    path = tmp_path / "filtered_video_clips.json"
    path.write_text(json.dumps(rows, indent=4))
    go(ManifestClips(manifest=path), run)
    boxes = Store(run).read("clips", ["manifest_crop_box"])["manifest_crop_box"].to_pylist()
    assert boxes == [[0, 0, 960, 1080], None], "in pixels of the video of 1920x1080 that was fetched"
    left_out = (
        "1 bad rows, beside 3 clips that are read; 1 boxes (four numbers of which it is not stated whether they are"
    )
    said = capsys.readouterr().err
    assert f"manifest_clips: left out: {left_out}" in said and "not read: description, info" in said
    assert "of 3 clips 1 are shorter than 5 s: they are kept as the list gives them" in said
    assert "manifest_clips: 2 of 4 rows give no clip (1 out_of_video, 1 bad_row): see manifest_rows.csv" in said
    crawl = Crawl(input=str(path))
    with crawl.driver(fake_run.Context(run)):
        assert f"crawl: left out: {left_out}" in capsys.readouterr().err


def test_a_video_without_a_usable_row_is_refused(run: Path, tmp_path: Path) -> None:
    manifest = written(tmp_path, [ENTRIES[2], entry(ONE, "00:20:00.000", "00:20:10.000")])
    go(ManifestClips(manifest=manifest), run)
    found = {unit: (row["reason"], row["detail"]) for unit, row in outcomes(run, "clips").items()}
    assert found == {
        f"yt:{ONE}": ("out_of_video", "line 2: frames 15000 to 15250, and the video has 500 (and 1 more rows)"),
        f"yt:{TWO}": ("bad_row", "the manifest names no clip of this video in a row that can be used"),
    }


def test_what_the_manifest_says_counts_and_not_where_it_lies(run: Path, manifest: Path, tmp_path: Path) -> None:
    go(ManifestClips(manifest=manifest), run)
    elsewhere = tmp_path / "copy.json"
    elsewhere.write_bytes(manifest.read_bytes())
    assert go(ManifestClips(manifest=elsewhere), run).pending == 0
    written(tmp_path, ENTRIES[1:])
    assert go(ManifestClips(manifest=manifest), run).pending == 2
    assert len(Store(run).read("clips")) == 2


def test_two_persons_of_one_clip_keep_both_crops(run: Path, tmp_path: Path) -> None:
    clip = {"video_id": f"yt:{ONE}", "first_frame": 25, "frames": 250, "start_seconds": 1.0, "end_seconds": 11.0}
    boxes = [[0, 0, 600, 700], [600, 0, 1200, 700]]
    rows = [
        {**clip, "width": 1280, "height": 720, "crop_box": box, "person": i, "name": f"yt:{ONE}/25+250#{i}"}
        for i, box in enumerate(boxes)
    ]
    path = tmp_path / "links.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    go(ManifestClips(manifest=path), run)
    [work] = [unit for _, unit in plan(OnClips(), Store(run)).pending_units()]
    [row] = work.rows("clips")
    assert row["manifest_crop_boxes"].tolist() == boxes and list(row["manifest_crop_box"]) == boxes[0]
    assert [state.status for state in ledger(read_manifest(path), Store(run))] == ["live", "live"]


def test_a_manifest_that_is_not_there_is_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"not set: name the manifest with --manifest"):
        go(ManifestClips(), run)
    with pytest.raises(ManifestError, match="no file"):
        go(ManifestClips(manifest=tmp_path / "none.json"), run)


def test_the_ledger_tells_what_later_stages_dropped(run: Path, manifest: Path) -> None:
    go(ManifestClips(manifest=manifest), run)
    store = Store(run)
    fake_run.refuse(store, "persons", f"yt:{ONE}/300+125", "no_person", "nobody")
    ids = {"clip_id": f"yt:{ONE}/25+250", "video_id": f"yt:{ONE}", "person_id": f"yt:{ONE}/25+250#0"}
    fake_run.add(store, "persons", [{**ids, "person": 0, "frames": 0}])
    said = {"keep": False, "reasons": ["side_view"], "details": ["yaw_degrees 80 deg > 50"]}
    fake_run.add(store, "verdicts", [{**ids, **said}])
    states = {state.line: state for state in ledger(read_manifest(manifest), Store(run))}
    assert (states[3].status, states[3].reason) == ("live", "no_person")
    assert (states[2].reason, states[2].detail) == ("side_view", "yaw_degrees 80 deg > 50")
    assert not any(state.sample for state in states.values())


def test_a_manifest_is_crawled_one_link_a_video(manifest: Path, tmp_path: Path) -> None:
    crawl = Crawl(input=str(manifest))
    units = crawl.sources(Store(tmp_path)) or []
    links = [unit for unit in units if unit.startswith("https")]
    assert sorted(links) == sorted(map(link, (ONE, TWO, GONE)))
    bad = [unit for unit in units if unit not in links]
    assert bad == [
        "row 5: lasts 0.01 s; a clip lasts 0.2 to 300 s",
        "row 8: not a YouTube id of 11 characters: 'too short'",
    ]
    context = fake_run.Context(tmp_path)
    with crawl.driver(context) as given:
        worker = crawl.worker(fake_run.Context(tmp_path, given=given))
        with pytest.raises(Reject) as refused:
            list(worker.process(Unit(bad[0], {})))
    assert (refused.value.reason.code, refused.value.detail) == (
        "bad_row",
        "line 5: lasts 0.01 s; a clip lasts 0.2 to 300 s",
    )


def test_emtds_links_are_39_videos(tmp_path: Path) -> None:
    units = Crawl(input=str(asset("facts/emtd_links.csv"))).sources(Store(tmp_path)) or []
    assert len(units) == 39 and all(unit.startswith(link("")) for unit in units)


def test_the_links_of_a_large_manifest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manifest: Path
) -> None:
    monkeypatch.setattr(lists, "REMEMBERED_BYTES", 100)
    run = tmp_path / "run"
    first = lists.read_list(manifest, run)
    assert not run.exists()  # a look at a run makes no folder
    run.mkdir()
    assert lists.read_list(manifest, run) == first
    monkeypatch.setattr(lists, "read_manifest", None)
    assert lists.read_list(manifest, run) == first
    monkeypatch.undo()
    monkeypatch.setattr(lists, "REMEMBERED_BYTES", 100)
    written(tmp_path, ENTRIES[:3])
    assert len(lists.read_list(manifest, run).links) == 1
