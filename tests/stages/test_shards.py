"""Shards: stable buckets, splits that hold groups together, files that change only when their rows do."""

import json
import shutil
from hashlib import sha256
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engine.runner import Options, run_stage
from pipeline.engine.unit import StoredRows
from pipeline.registry.models import Registry
from pipeline.shards import opened, splice
from pipeline.shards.format import ROWS_A_GROUP, SPLITS, ShardError
from pipeline.shards.read import open_shards
from pipeline.tables.store import Store
from pipeline.views.packed import packed_since, row_groups
from stages.shards import Shards
from stages.shards.components import sharing_speakers
from stages.shards.splits import bucket_of, splits
from tests.stages import fake_run

GROUPS = st.dictionaries(st.text("abcdef0123", min_size=1, max_size=6), st.integers(1, 40), max_size=40)


def held(sizes: dict[str, int], splits: dict[str, str]) -> dict[str, int]:
    """Samples in each split."""
    return {name: sum(sizes[group] for group, split in splits.items() if split == name) for name in SPLITS}


@settings(deadline=None)
@given(GROUPS)
def test_every_group_gets_one_split_and_test_stays_within_its_bound(sizes: dict[str, int]) -> None:
    split_of = splits(Shards(), sizes, sizes)
    assert set(split_of) == set(sizes)
    counts = held(sizes, split_of)
    assert counts["test"] <= max(0.05 * sum(sizes.values()), max(sizes.values(), default=0))
    assert counts["test"] <= 133
    assert (counts["test"] > 0) == (len(sizes) >= 2)
    assert (counts["validation"] > 0) == (len(sizes) >= 3) or len(sizes) == 2
    assert counts["train"] > 0 or len(sizes) in (0, 2) or counts["validation"]


@settings(deadline=None)
@given(GROUPS, st.randoms(use_true_random=False))
def test_order_changes_nothing(sizes: dict[str, int], random: Random) -> None:
    names = list(sizes)
    random.shuffle(names)
    shuffled = {name: sizes[name] for name in names}
    assert splits(Shards(), sizes, sizes) == splits(Shards(), shuffled, shuffled)


@pytest.mark.parametrize("size", [10, 60, 400])
def test_growth_hardly_moves_anybody(size: int) -> None:
    """One video more moves few others: on average, because a rare video at the edge of the test split takes some along."""
    moved = 0
    for seed in range(40):
        groups = {f"{seed}-{i}": 1 + i % 3 for i in range(size)}
        before, after = splits(Shards(), groups, groups), splits(Shards(), groups | {"new": 2}, groups | {"new": 2})
        moved += sum(after[group] != split for group, split in before.items())
    assert moved / 40 <= max(1.5, 0.02 * size)


@settings(deadline=None, max_examples=50)
@given(st.integers(10, 400), st.integers(0, 10_000), st.floats(0.1, 1))
def test_an_argument_about_thresholds_moves_nobody_out_of_test_or_into_it(size: int, seed: int, share: float) -> None:
    random = Random(seed)
    persons = {f"{seed}-{i}": random.randint(1, 5) for i in range(size)}
    strict = {group: 1 for group in persons if random.random() < share}
    loose = strict | {group: 2 for group in persons if random.random() < share}
    before, after = splits(Shards(), strict, persons), splits(Shards(), loose, persons)
    moved = [group for group, split in before.items() if after[group] != split]
    assert len(moved) <= 3, "but for the fallbacks of splits that would be empty"


def test_shares_at_scale() -> None:
    sizes = {f"channel-{i}": 1 + i % 17 for i in range(4000)}
    counts = held(sizes, splits(Shards(), sizes, sizes))
    assert 133 - 17 < counts["test"] <= 133
    assert 0.08 < counts["validation"] / (counts["train"] + counts["validation"]) < 0.12


def test_five_percent_below_the_cap() -> None:
    sizes = {f"video-{i}": 1 for i in range(1000)}
    assert held(sizes, splits(Shards(), sizes, sizes))["test"] == 50


def test_a_huge_channel_is_never_the_test_split() -> None:
    sizes = {"huge": 5000, **{f"small-{i}": 2 for i in range(100)}}
    assert all(splits(Shards(split_seed=seed), sizes, sizes)["huge"] != "test" for seed in range(50))


def test_another_seed_draws_others() -> None:
    sizes = {f"v{i}": 1 for i in range(1000)}
    assert splits(Shards(), sizes, sizes) != splits(Shards(split_seed=1), sizes, sizes)


def test_buckets_are_even_and_the_same_everywhere() -> None:
    assert [bucket_of(f"file:{i:016x}", 16) for i in range(6)] == [14, 13, 11, 7, 4, 7]
    counts = np.bincount([bucket_of(f"file:{i:016x}", 16) for i in range(16_000)])
    assert counts.min() > 850
    assert counts.max() < 1150


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    with fake_run.together(store):
        for video in range(12):
            fake_run.kept(store, video, 0, 200, channel=f"channel {video // 3}", speech_type="lecture")
    return store


def files_of(run: Path) -> dict[str, tuple[str, int]]:
    return {p.name: (sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns) for p in run.glob("shards/*.parquet")}


def test_every_sample_is_in_one_file_that_the_index_lists(store: Store) -> None:
    done = fake_run.run(Shards(buckets=4), store.run)
    index = json.loads((store.run / "shards/_index.json").read_text())
    assert {entry["bucket"] for entry in index["files"]} == set(done)
    assert {entry["path"]: entry["sha256"] for entry in index["files"]} == {
        name: digest for name, (digest, _) in files_of(store.run).items()
    }
    assert index["clips"] == 24
    assert index["hours"] == pytest.approx(24 * fake_run.FRAMES / 25 / 3600)
    rows = list(open_shards(store.run / "shards").rows(["clip_id", "video_id"]))
    assert len({row["clip_id"] for row in rows}) == len(rows) == 24


@pytest.mark.parametrize("split_by", ["video", "channel"])
def test_no_group_is_in_two_splits(store: Store, split_by: str) -> None:
    fake_run.run(Shards(buckets=4, split_by=split_by), store.run)
    of_split = [
        {
            row["video_id" if split_by == "video" else "channel"]
            for row in open_shards(store.run / "shards", split).rows()
        }
        for split in SPLITS
    ]
    assert all(of_split)
    assert sum(map(len, of_split)) == len(set.union(*of_split))


def speak(store: Store, *speakers: tuple[int, int, str]) -> None:
    """Rows of `speakers`: video, first frame, who."""
    with fake_run.together(store):
        rows = [(fake_run.ids(video, first), who) for video, first, who in speakers]
        fake_run.add(store, "attributes", [{**ids, "identity": [1.0, 0.0], "gender": "male"} for ids, _ in rows])
        fake_run.add(store, "speakers", [{**ids, "speaker": who, "speaker_samples": 1} for ids, who in rows])


def splits_of(run: Path) -> dict[str, str]:
    """Video -> its split; each has one."""
    pairs = {
        (row["video_id"], split) for split in SPLITS for row in open_shards(run / "shards", split).rows(["video_id"])
    }
    assert len(pairs) == len({video for video, _ in pairs})
    return dict(pairs)


def test_videos_that_share_speakers_stay_together(store: Store) -> None:
    """A host seen with one guest here and another there; a pair that shares nobody; and the rest without speakers."""
    speak(store, (0, 0, "host"), (4, 0, "host"), (4, 200, "guest"), (9, 200, "guest"), (2, 0, "x"), (3, 0, "y"))
    for seed in range(25):
        stage = Shards(buckets=2, split_by="speaker", split_seed=seed, test_share=0.3)
        tables = {kind: store.read(kind) for kind in ("samples", "videos", "persons", "speakers")}
        videos = tables["samples"]["video_id"].to_pylist()
        found = dict(zip(videos, (unit.split("-")[0] for unit in stage.group(tables)), strict=True))
        assert len({found[fake_run.video_id(video)] for video in (0, 4, 9)}) == 1
    fake_run.run(Shards(buckets=2, split_by="speaker"), store.run)
    found = splits_of(store.run)
    assert len(found) == 12 and len(set(found.values())) == 3


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6)), max_size=14))
def test_the_group_is_the_smallest_video_that_can_be_reached(seen: list[tuple[int, int]]) -> None:
    """Against the plain definition: from a video to every speaker in it, to every video of theirs, until nothing is new."""
    videos = [f"v{number}" for number in (3, 1, 0, 2, 9, 5, 4, 8, 7, 6)]
    samples = pa.table({"person_id": [f"p{at}" for at in range(len(seen))], "video_id": [f"v{v}" for v, _ in seen]})
    speakers = pa.table({"person_id": samples["person_id"], "speaker": [f"s{who}" for _, who in seen]})
    reached: dict[str, str] = {}
    for video in videos:
        group = {video}
        for _ in videos:
            voices = {who for place, who in seen if f"v{place}" in group}
            group |= {f"v{place}" for place, who in seen if who in voices}
        reached[video] = min(group)
    assert sharing_speakers(videos, samples, speakers) == reached


def test_without_speakers_a_split_by_speaker_is_one_by_video(store: Store) -> None:
    tables = {kind: store.read(kind) for kind in ("samples", "videos", "persons", "speakers")}
    assert Shards(split_by="speaker").group(tables) == Shards(split_by="video").group(tables)


def test_a_speaker_everywhere_is_one_group(store: Store) -> None:
    speak(store, *((video, 0, "one") for video in range(12)))
    fake_run.run(Shards(buckets=2, split_by="speaker"), store.run)
    assert set(splits_of(store.run).values()) == {"train"}


def test_faces_stay_in_the_run(store: Store) -> None:
    speak(store, *((video, 0, f"s{video}") for video in range(12)))
    fake_run.run(Shards(buckets=1), store.run)
    rows = list(open_shards(store.run / "shards").rows())
    known = [row for row in rows if row["speaker"]]
    assert len(known) == 12 and all(row["gender"] == "male" for row in known)
    assert not any("identity" in row or "voice_scores" in row for row in rows)
    assert "identity_agreement" in rows[0], "how steady it was says nothing of the face"


def test_a_second_run_does_nothing(store: Store) -> None:
    fake_run.run(Shards(), store.run)
    before = files_of(store.run)
    assert fake_run.run(Shards(), store.run) == []
    assert files_of(store.run) == before


def test_a_new_verdict_rewrites_its_bucket_alone(store: Store) -> None:
    stage = Shards(buckets=4)
    fake_run.run(stage, store.run)
    before = files_of(store.run)
    fake_run.judge(store, 7, 200, keep=False, reasons=["side_view"], attempt=2)
    done = fake_run.run(stage, store.run)
    after = files_of(store.run)
    changed = {name for name in before if before[name] != after.get(name)}
    assert [f"{unit}-of-00004.parquet" for unit in done] == sorted(changed)
    assert len(changed) == 1
    assert changed.pop().split("-")[1] == f"{bucket_of(fake_run.video_id(7), 4):05d}"
    assert open_shards(store.run / "shards").index["clips"] == 23


def test_a_bucket_without_samples_has_no_file(store: Store) -> None:
    stage = Shards(buckets=9973)
    fake_run.run(stage, store.run)
    before = files_of(store.run)
    for first in (0, 200):
        fake_run.judge(store, 5, first, keep=False, attempt=2)
    fake_run.run(stage, store.run)
    gone = set(before) - set(files_of(store.run))
    assert len(gone) == 1
    assert open_shards(store.run / "shards").index["clips"] == 22


def test_killed_before_the_index_is_noticed_and_repaired(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_run.run(Shards(buckets=2), store.run)
    fake_run.judge(store, 7, 200, keep=False, attempt=2)
    with monkeypatch.context() as patch:
        patch.setattr(Shards, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fake_run.run(Shards(buckets=2), store.run)
    with pytest.raises(ShardError, match="cut short"):
        open_shards(store.run / "shards")
    assert fake_run.run(Shards(buckets=2), store.run) == []
    assert len(list(open_shards(store.run / "shards").rows(["frames"]))) == 23


def test_a_write_that_fails_leaves_the_old_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_run.run(Shards(buckets=1), store.run)
    before = files_of(store.run)
    fake_run.judge(store, 7, keep=False, attempt=2)
    monkeypatch.setattr(splice, "_write_all", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        fake_run.run(Shards(buckets=1), store.run)
    assert files_of(store.run) == before
    assert not list((store.run / "shards").glob(".writing-*"))


@pytest.mark.parametrize("change", ["out", "in", "measured anew"])
def test_a_bucket_is_made_of_what_stays_to_the_byte_as_it_would_be_made_anew(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bucket of 45 samples, so of several row groups; one of them goes, comes, or has another measure."""
    stage, store = Shards(buckets=1, test_share=0, validation_share=0), Store(tmp_path / "run")
    with fake_run.together(store):
        for video in range(15):
            fake_run.kept(store, video, 0, 200, 400)
    if change == "in":
        fake_run.judge(store, 7, 200, keep=False, attempt=2)
    fake_run.run(stage, store.run)
    if change == "measured anew":
        measures = {"yaw_degrees": 1.0, "crop_box": [300, 0, 1020, 720], "crop_side_px": 720}
        fake_run.add(store, "pose_measures", [{**fake_run.ids(7, 200), **measures}], attempt=2)
    else:
        fake_run.judge(store, 7, 200, keep=change == "in", attempt=3)
    asked, before = list[int](), row_groups(store)
    load = StoredRows.load
    monkeypatch.setattr(StoredRows, "load", lambda self, rows=None: asked.append(len(rows or ())) or load(self, rows))
    assert fake_run.run(stage, store.run) == ["train-00000"]
    packed = packed_since(before, Store(store.run))
    assert packed.anew == (0 if change == "out" else 1)
    assert sum(asked) == packed.anew, "no clip's skeleton is fetched but the new one's"
    assert 0 < packed.copied < packed.bytes
    made = files_of(store.run)
    shutil.rmtree(store.run / "shards")
    shutil.rmtree(store.run / "tables" / "shards")
    fake_run.run(stage, store.run)
    assert {name: digest for name, (digest, _) in files_of(store.run).items()} == {
        name: digest for name, (digest, _) in made.items()
    }
    assert max(asked) <= ROWS_A_GROUP, "a row group at a time is held"


def test_a_worker_writes_what_it_is_handed(store: Store) -> None:
    """As `csg405 run` does it, with columns that are null for everybody."""
    (store.run / "clips").mkdir()
    for path in store.read("samples", ["video"])["video"].to_pylist():
        (store.run / path).touch()
    summary = run_stage(Shards(buckets=2), store.run, Registry(), Options(workers=0))
    assert set(summary.counts) == {"ok"}
    made = files_of(store.run)
    shutil.rmtree(store.run / "shards")
    shutil.rmtree(store.run / "tables" / "shards")
    fake_run.run(Shards(buckets=2), store.run)
    assert {name: digest for name, (digest, _) in files_of(store.run).items()} == {
        name: digest for name, (digest, _) in made.items()
    }


def test_what_no_reader_would_read_is_not_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Shards(buckets=1, test_share=0, validation_share=0)
    with monkeypatch.context() as patch:
        patch.setattr(opened, "_FOOTER_BYTES", 1000)
        with pytest.raises(ShardError, match=r"has a footer of \d+ bytes.* higher `shards\.buckets`"):
            fake_run.run(stage, store.run)
    assert not list((store.run / "shards").glob("*.parquet"))
    assert fake_run.run(stage, store.run) == ["train-00000"]
    assert len(list(open_shards(store.run / "shards").rows())) > 0


def test_clips_that_stand_still_are_read_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They pack to next to nothing, so that a quarter of the file is its footer."""
    store = Store(tmp_path / "run")
    monkeypatch.setattr(
        fake_run, "skeleton", lambda seed=0, frames=fake_run.FRAMES: np.ones((frames, 133, 2), np.float32)
    )
    with fake_run.together(store):
        for video in range(140):
            fake_run.kept(store, video, 0, 200)
    fake_run.run(Shards(buckets=1, test_share=0, validation_share=0), store.run)
    [path] = (store.run / "shards").glob("*.parquet")
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    assert length > max(512 << 10, len(data) / 4)
    assert len(list(open_shards(path.parent).rows())) == 280


def test_nothing_of_a_changed_file_is_taken(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """One that is not what was written stands for nothing: its rows come from the tables again, and it is told."""
    stage = Shards(buckets=1, test_share=0, validation_share=0)
    fake_run.run(stage, store.run)
    [path] = (store.run / "shards").glob("*.parquet")
    data = bytearray(path.read_bytes())
    for at in range(200, len(data) - 8 - int.from_bytes(data[-8:-4], "little"), 997):
        data[at] ^= 255
    path.write_bytes(data)
    fake_run.judge(store, 7, 200, keep=False, attempt=2)
    fake_run.run(stage, store.run)
    assert "what is missing is packed anew" in caplog.text
    assert len(list(open_shards(store.run / "shards").rows())) == 23


def test_rows_hold_what_the_tables_hold(store: Store) -> None:
    fake_run.run(Shards(), store.run)
    rows = {row["clip_id"]: row for row in open_shards(store.run / "shards").rows()}
    row = rows[fake_run.clip_id(3, 200)]
    assert row["person"] == 0
    assert row["start_seconds"] == 8.0
    assert (row["fps"], row["frames"]) == (25.0, fake_run.FRAMES)
    assert (row["source_width"], row["source_height"]) == (1280, 720)
    assert row["speech_type"] == "lecture"
    assert row["channel"] == "channel 1"
    assert row["yaw_degrees"] == 8.0
    assert row["speech_share"] == 0.8
    assert row["audio"] == fake_run.silence(fake_run.FRAMES)
    assert row["audio_features"] is None
    assert row["video"] == "clips/3-200.mp4"
    expected = fake_run.skeleton(3200)
    np.testing.assert_array_equal(np.isnan(row["keypoints"]), np.isnan(expected))
    assert np.nanmax(np.abs(row["keypoints"] - expected)) <= 1 / 128


def test_nothing_kept_writes_no_shard(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fake_run.add_video(store, 1)
    assert fake_run.run(Shards(), tmp_path) == []
    assert not (tmp_path / "shards").exists()
