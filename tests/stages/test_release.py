"""A release: what stands in its files, what never does, and that a rebuild from it has the same keypoints."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.base.errors import StageError
from pipeline.base.hashes import sha256_of
from pipeline.base.reasons import Reason, Reject
from pipeline.cli.main import main
from pipeline.engine.plan import plan
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.shards.index import build_index, write_index
from pipeline.shards.release import COLUMNS
from pipeline.shards.write import write_shard
from pipeline.sources.manifest import Problem, place, read_manifest
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out import OptOut
from pipeline.tables.store import Store
from stages.import_poses import ImportPoses
from stages.release import Release
from tests.pipeline.shards.test_shard import row as shard_row
from tests.stages import fake_run
from tests.stages.fake_run import FRAMES, add, add_clip, add_video, clip_id, ids, judge, person_id, video_id

SECRET = "Nobody's Business"


def add_speaker(store: Store, video: int, first: int = 0, *, person: int = 0, keep: bool = True, **more: Any) -> None:
    points = fake_run.skeleton(video * 1000 + first + person, FRAMES) + np.float32(person * 300.25)
    rng = np.random.default_rng(video + first + person)
    boxes = rng.uniform(0, 700, (FRAMES, 4)).astype(np.float32)
    boxes[3] = np.nan
    row = {
        **ids(video, first, person=person),
        "person": person,
        "frames": FRAMES,
        "frames_seen": FRAMES - 1,
        "width": 1280,
        "height": 720,
        "keypoints": points.reshape(FRAMES, -1),
        "scores": rng.uniform(0, 1, (FRAMES, 133)).astype(np.float32),
        "boxes": boxes,
        "face_sharpness": rng.uniform(0, 99, FRAMES).astype(np.float32),
    }
    add(store, "persons", [{**row, **more}])
    box = [300 + person * 10, -20, 1040 + person * 10, 720]
    add(store, "pose_measures", [{**ids(video, first, person=person), "yaw_degrees": 5.5 + person, "crop_box": box}])
    judge(store, video, first, person=person, keep=keep)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos: two speakers in one clip and one dropped, a clip that a manifest named, one whose only speaker is dropped."""
    folder = tmp_path_factory.mktemp("planted") / "run"  # its name is the card's title
    store = Store(folder)
    with fake_run.together(store):
        url = {"url": "https://www.youtube.com/watch?v=aaaaaaaaaaa"}
        secrets = {"title": SECRET, "channel": SECRET, "channel_id": SECRET}
        add_video(store, 1, licence="CC BY <b>|", speech_type="Panel Forum", language="en", **url, **secrets)
        add_video(store, 2, **secrets)
        add_video(store, 3, **secrets)
        for video, first in ((1, 0), (1, 200), (3, 0)):
            add_clip(store, video, first)
        named = {"clip_id": clip_id(2, 10), "video_id": video_id(2), "first_frame": 10, "frames": FRAMES}
        times = {"start_seconds": 0.412, "end_seconds": 5.612}
        add(store, "clips", [{**named, **times, "manifest_name": "YqnhRPq2Hq0_0_00:00:00.412_00:00:05.612"}])
        add(store, "sound_measures", [{"clip_id": clip_id(1), "video_id": video_id(1), "speech_share": 0.75}])
        add_speaker(store, 1, 0)
        add_speaker(store, 1, 0, person=1)
        add_speaker(store, 1, 0, person=2, keep=False)
        add_speaker(store, 1, 200)
        add_speaker(store, 2, 10, smoothed=True, pose_space="crop_signed, neck_first", frame_offset=1)
        add_speaker(store, 3, keep=False)
    fake_run.run(Release(), folder)
    return folder


@pytest.fixture
def run(planted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(planted, tmp_path / "run"))


def links(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "release" / "links.jsonl").read_text().splitlines()]


def released(run: Path, table: str, split: str = "train") -> Path:
    """The only file of a table that the planted run has: it has no shards, and so no splits."""
    [path] = (run / "release" / table).glob("*.parquet")
    assert path.name.startswith(split)
    return path


def files_of(run: Path) -> dict[str, bytes]:
    folder = run / "release"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_links_are_those_of_kept_speakers(run: Path) -> None:
    found = links(run)
    assert [(link["video_id"], link["first_frame"], link["person"]) for link in found] == [
        (video_id(1), 0, 0),
        (video_id(1), 0, 1),
        (video_id(1), 200, 0),
        (video_id(2), 10, 0),
    ]
    assert found[0] == {
        "name": person_id(1),
        "video_id": video_id(1),
        "url": "https://www.youtube.com/watch?v=aaaaaaaaaaa",
        "first_frame": 0,
        "frames": FRAMES,
        "start_seconds": 0.0,
        "end_seconds": 5.2,
        "crop_box": [300, -20, 1040, 720],
        "width": 1280,
        "height": 720,
        "person": 0,
        "speech_type": "Panel Forum",
        "licence": "CC BY <b>|",
    }
    assert found[3]["name"] == "YqnhRPq2Hq0_0_00:00:00.412_00:00:05.612"
    assert (found[3]["start_seconds"], found[3]["url"]) == (0.412, None)


def test_measures_stand_beside_their_speaker(run: Path) -> None:
    table = pq.read_table(released(run, "measures"))
    assert table["person_id"].to_pylist() == [person_id(1), person_id(1, person=1), person_id(1, 200), person_id(2, 10)]
    assert table["yaw_degrees"].to_pylist() == [5.5, 6.5, 5.5, 5.5]
    assert table["speech_share"].to_pylist() == [0.75, 0.75, None, None]
    assert table.schema.field("yaw_degrees").metadata[b"unit"] == b"deg"


def test_guesses_about_faces_are_not_published(run: Path, tmp_path: Path) -> None:
    """Neither columns nor values: a run that has them publishes, byte for byte, what one without them does."""
    folder = tmp_path / "planted" / "run"
    shutil.copytree(run, folder)
    before = released(folder, "measures").read_bytes()
    store = Store(folder)
    guesses = {"gender": "male", "age_years": 43.0, "ethnicity": "White", "emotion": "Sad", "identity": [0.6, 0.8]}
    with fake_run.together(store):
        add(store, "attributes", [{**ids(1), **guesses}])
        add(store, "speakers", [{**ids(1), "speaker": "s0123456789ab", "speaker_samples": 1}])
    fake_run.run(Release(), folder)
    assert released(folder, "measures").read_bytes() == before
    private = {*KINDS["attributes"].schema.names, *KINDS["speakers"].schema.names} - set(ids(1))
    assert not private & set(pq.read_table(released(folder, "measures")).column_names)
    content = b"".join(files_of(folder).values())
    assert b"s0123456789ab" not in content


def test_index_lists_the_files_with_their_hashes(run: Path) -> None:
    folder = run / "release"
    index = json.loads((folder / "index.json").read_text())
    assert (index["speakers"], index["clips"], index["videos"]) == (4, 3, 2)
    assert index["hours"] == pytest.approx(4 * FRAMES / 25 / 3600)
    assert index["without_link"] == 1 and index["splits"] == {"train": 4}
    assert {entry["path"] for entry in index["files"]} | {"index.json"} == set(files_of(run))
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {e["path"]: e["sha256"] for e in index["files"] if e["path"] != "SHA256SUMS"}
    for entry in index["files"]:
        content = (folder / entry["path"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_nothing_else_is_in_it(run: Path) -> None:
    tables = {
        "links/train.parquet",
        "skeletons/train-00000.parquet",
        "measures/train.parquet",
        "availability/train.parquet",
    }
    found = files_of(run)
    assert set(found) == {"README.md", "index.json", "croissant.json", "SHA256SUMS", "links.jsonl", *tables}
    for content in found.values():
        assert SECRET.encode() not in content
    columns = {name for path in (run / "release").rglob("*.parquet") for name in pq.read_schema(path).names}
    assert not columns & {"audio", "audio_features", "video", "title", "channel", "gender", "age", "emotion", "path"}


def test_the_same_links_stand_in_parquet(run: Path) -> None:
    rows = pq.read_table(released(run, "links")).to_pylist()
    for row, line in zip(rows, links(run), strict=True):
        assert line.items() <= row.items() and row["split"] == "train"
        assert row["person_id"] == f"{row['clip_id']}#{row['person']}"
    states = pq.read_table(released(run, "availability")).to_pylist()
    assert [(state["video_id"], state["state"]) for state in states] == [
        (video_id(1), "never checked"),  # no stage crawled it
        (video_id(2), "no link"),
    ]


def test_the_card_counts_and_escapes(run: Path) -> None:
    card = (run / "release" / "README.md").read_text()
    assert (
        "4 speakers in 3 clips of 2 videos" in card
        and "**1 of the 4 speakers have no link**" in card
        and "1 skeletons came smoothed" in card
    )
    assert r"| CC BY \<b\>\| | 1 |" in card and "| Panel Forum | 1 |" in card and "| unknown | 1 |" in card
    assert "no address was set" in card and "{title}" not in card and "None: this is the first version." in card


def test_the_card_names_licence_contact_and_settings_but_no_place(run: Path) -> None:
    lines = ['name = "mine"', "[targets]", 'filter = ["judge", "export"]', "[stages.export]", "crf = 21"]
    (run / "profile.toml").write_text("\n".join(lines) + "\n")
    fake_run.run(Release(licence="CC BY 4.0", contact="us@example.org", title="Ours"), run)
    card = (run / "release" / "README.md").read_text()
    assert "These files themselves: CC BY 4.0." in card and "write to us@example.org" in card and "# Ours" in card
    index = json.loads((run / "release" / "index.json").read_text())
    said = index["about"]
    assert said["settings"]["export"]["crf"] == 21 and set(said["settings"]) == {"judge", "export"}
    assert str(run) not in card + json.dumps(index)


def test_of_peoples_decisions_only_their_number_is_published(run: Path, tmp_path: Path) -> None:
    lines = ["id,verdict,who,why", f"{video_id(9)},drop,Ann Other,asked us to", f"{person_id(1)},keep,Ann Other,fine"]
    (tmp_path / "overrides.csv").write_text("\n".join([*lines, f"{video_id(8)},drop,Bo,logo"]) + "\n")
    words = ['name = "mine"', "[targets]", 'filter = ["judge"]', "[stages.judge]"]
    (run / "profile.toml").write_text("\n".join([*words, f'overrides = "{tmp_path / "overrides.csv"}"']) + "\n")
    fake_run.run(Release(title="Ours"), run)
    said = json.loads((run / "release" / "index.json").read_text())["about"]["settings"]["judge"]
    assert said["overrides"] == {"drop": 2, "keep": 1}
    for content in files_of(run).values():
        assert not [word for word in (b"Ann Other", b"asked us", video_id(9).encode()) if word in content]


def rebuilt(run: Path, folder: Path, **video: Any) -> Store:
    """Another run: its clips from the links, its persons from the skeletons."""
    store = Store(folder)
    found = read_manifest(run / "release" / "links.jsonl")
    assert not found.bad
    with fake_run.together(store):
        for number in (1, 2):
            add_video(store, number, **video)
        clips: dict[str, Any] = {}
        for row in found.rows:
            placed = place(row, {"grid_frames": 500, "width": 1280, "height": 720, **video})
            assert not isinstance(placed, Problem)
            clips[placed["clip_id"]] = placed
        add(store, "clips", clips.values())
    stage = ImportPoses(archive=run / "release")
    with stage.driver(Context(folder)) as given:
        work = plan(stage, store)
        worker = stage.worker(Context(folder, given=given))
        for _, unit in work.pending_units():
            add(store, "persons", list(worker.process(unit)))
    return Store(folder)


def test_a_rebuild_has_the_same_skeletons(run: Path, tmp_path: Path) -> None:
    store = rebuilt(run, tmp_path / "again")
    kept = {f"{link['video_id']}/{link['first_frame']}+{link['frames']}#{link['person']}" for link in links(run)}
    was = {r["person_id"]: r for r in Store(run).read("persons").to_pylist() if r["person_id"] in kept}
    now = {r["person_id"]: r for r in store.read("persons").to_pylist()}
    assert len(was) == 4 and set(was) == set(now)
    for person, row in was.items():
        for name in COLUMNS:
            np.testing.assert_array_equal(now[person][name], row[name], err_msg=name)
    assert {row["smoothed"] for row in now.values()} == {None, True}


def test_a_rebuild_in_another_size_has_them_scaled(run: Path, tmp_path: Path) -> None:
    store = rebuilt(run, tmp_path / "again", width=1920, height=1080)
    [was] = [r for r in Store(run).read("persons").to_pylist() if r["person_id"] == person_id(1, 200)]
    [now] = [r for r in store.read("persons").to_pylist() if r["person_id"] == person_id(1, 200)]
    assert (now["width"], now["height"]) == (1920, 1080)
    np.testing.assert_allclose(np.array(now["keypoints"]), (np.array(was["keypoints"]) + 0.5) * 1.5 - 0.5, atol=1e-3)
    np.testing.assert_allclose(np.array(now["boxes"]), np.array(was["boxes"]) * 1.5, atol=1e-3)


def imported(run: Path, clip: dict[str, Any], width: int = 1280, height: int = 720) -> list[dict[str, Any]]:
    stage = ImportPoses(archive=run / "release")
    video = {"video_id": video_id(1), "path": "", "width": width, "height": height}
    with stage.driver(Context(run)) as given:
        worker = stage.worker(Context(run, given=given))
        return list(worker.process(Unit(clip["clip_id"], {"clips": [clip], "videos": [video]})))


def test_a_clip_that_lost_its_last_frames_keeps_the_others(run: Path) -> None:
    short = {"clip_id": clip_id(1, 200, FRAMES - 2), "video_id": video_id(1), "frames": FRAMES - 2}
    [row] = imported(run, short)
    assert row["person_id"] == person_id(1, 200, FRAMES - 2) and len(row["keypoints"]) == FRAMES - 2
    assert row["frames_seen"] == FRAMES - 3


def test_what_the_release_does_not_have_is_refused(run: Path) -> None:
    for other in (clip_id(1, 77), clip_id(1, 200, FRAMES - 3), clip_id(1, 200, FRAMES + 1), clip_id(3)):
        frames = int(other.rpartition("+")[2])
        with pytest.raises(Reject, match=r"no skeleton of|skeletons of") as refused:
            imported(run, {"clip_id": other, "video_id": video_id(1), "frames": frames})
        assert refused.value.reason is Reason.BAD_POSES
    with pytest.raises(Reject, match="another shape"):
        imported(run, {"clip_id": clip_id(1), "video_id": video_id(1), "frames": FRAMES}, 960, 720)


def changed(run: Path, name: str, values: Any) -> None:
    """Another column in the released skeletons; its type is the values' own."""
    path = released(run, "skeletons")
    table = pq.read_table(path)
    at = table.schema.get_field_index(name)
    pq.write_table(table.set_column(at, table.schema.field(name).with_type(values.type), values), path)


def test_skeletons_of_other_hands_are_checked(run: Path) -> None:
    clip = {"clip_id": clip_id(1), "video_id": video_id(1), "frames": FRAMES}
    changed(run, "person", pa.array([0, 0, 0, 0], pa.int32()))
    with pytest.raises(Reject, match=r"numbers its speakers \[0, 0\]"):
        imported(run, clip)
    changed(run, "frames", pa.array([FRAMES + 1] * 4, pa.int32()))
    with pytest.raises(Reject, match=r"keypoints of shape \(130, 266\) for 131 frames"):
        imported(run, {**clip, "clip_id": clip_id(1, 200)})
    changed(run, "keypoints", pa.array(["x"] * 4))
    with pytest.raises(StageError, match="keypoints missing or of another type"):
        imported(run, clip)
    released(run, "skeletons").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(StageError, match="no released skeletons"):
        imported(run, clip)


def test_it_is_written_again_only_when_something_of_it_changes(run: Path) -> None:
    store = Store(run)
    before = (run / "release" / "index.json").read_bytes()
    assert fake_run.run(Release(), run) == []
    add(store, "sound_measures", [{"clip_id": clip_id(1), "video_id": video_id(1), "speech_share": 0.5}], attempt=2)
    assert fake_run.run(Release(), run) == ["all"]
    assert (run / "release" / "index.json").read_bytes() != before
    judge(store, 1, 200, keep=False, attempt=2)
    assert fake_run.run(Release(), run) == ["all"]
    assert len(links(run)) == 3


def test_the_same_rows_give_the_same_bytes(run: Path) -> None:
    before = files_of(run)
    stage = Release()
    worker = stage.worker(Context(run))
    list(worker.process(Unit("all", {})))
    assert files_of(run) == before


def test_a_video_that_opted_out_leaves(run: Path) -> None:
    stage = Release()
    worker = stage.worker(Context(run, opt_out=OptOut(frozenset({video_id(1)}))))
    [row] = worker.process(Unit("all", {}))
    assert row["rows"] == 1 and [link["video_id"] for link in links(run)] == [video_id(2)]


def test_a_run_that_kept_nobody_releases_nobody(tmp_path: Path) -> None:
    assert fake_run.run(Release(), tmp_path) == ["all"]
    assert (tmp_path / "release" / "links.jsonl").read_text() == ""
    assert pq.read_table(released(tmp_path, "skeletons")).num_rows == 0
    assert "0 speakers in 0 clips" in (tmp_path / "release" / "README.md").read_text()


def test_the_command_says_what_it_wrote_what_is_missing_and_what_comes_next(run: Path, tmp_path: Path) -> None:
    call = ["release", "--run", str(run), "--out", str(tmp_path / "my copy")]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    assert "release 1.0.0: 4 speakers in 3 clips of 2 videos" in done.output and "(train 4)" in done.output
    for warning in ("1 of 4 speakers have no link", "no address where people ask", "no licence"):
        assert f"warning: {warning}" in done.output
    assert f"hf upload USER/NAME '{tmp_path / 'my copy'}' . --repo-type dataset" in done.output
    assert (tmp_path / "my copy" / "index.json").read_bytes() == (run / "release" / "index.json").read_bytes()
    again = CliRunner().invoke(main, call)
    assert again.exit_code == 2 and "is there already" in again.output
    told = CliRunner().invoke(main, [*call[:3], "--set", "contact=out@example.org", "--set", "release.licence=MIT"])
    assert told.exit_code == 0 and "no address" not in told.output and "no licence" not in told.output


def test_splits_are_those_of_the_shards(run: Path) -> None:
    """A kept speaker whose video no shard holds is in no split, and says so."""
    store = Store(run)
    name = "test-00000-of-00001.parquet"
    about = {"bucket": "test-00000", "split": "test", "path": f"shards/{name}", "rows": 1, "seconds": 1.0}
    write_shard(run / "shards" / name, [shard_row(1)])
    size, sha256 = (run / "shards" / name).stat().st_size, sha256_of(run / "shards" / name)
    entry = {**about, "path": name, "bytes": size, "sha256": sha256}
    write_index(run / "shards", build_index([entry], [], version="1.2"))
    add(store, "shards", [{**about, "bytes": size, "sha256": sha256}])
    assert fake_run.run(Release(), run) == ["all"]
    found = {path.stem: pq.read_table(path)["video_id"].to_pylist() for path in (run / "release" / "links").iterdir()}
    assert found == {"test": [video_id(1)] * 3, "unassigned": [video_id(2)]}
    assert "| unassigned | 1 |" in (run / "release" / "README.md").read_text()
