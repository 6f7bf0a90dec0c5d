"""The memory-mapped cache holds what the shards hold, and refuses what cannot be trained on."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.model.training import cache, integrity
from pipeline.model.training.cache import FRAME_BYTES, open_cache
from pipeline.model.training.integrity import CacheError, DamagedCache
from pipeline.model.training.windows import Windows
from pipeline.shards.format import ShardError
from pipeline.skeleton import layout
from pipeline.skeleton.local import from_local, rooted
from tests.pipeline.model.training.small import shard_rows, unseen, without_features, write_shards

ROWS = shard_rows(4)
BUILDER = """
import sys
from pathlib import Path
from pipeline.model.training import cache, integrity
build = cache._build
def slowly(opened, folder, *given):
    (folder / "audio.raw").write_bytes(b"begun")
    print("building", flush=True)
    sys.stdin.readline()
    build(opened, folder, *given)
cache._build = slowly
print(cache.open_cache(Path(sys.argv[1]), "train", Path(sys.argv[2])).folder, flush=True)
"""
STEP_PX = 1 / 16  # the largest step of a float16 below 128 px


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", {"train": ROWS})


def test_every_frame_comes_back_within_a_step(shards: Path, tmp_path: Path) -> None:
    found = open_cache(shards, "train", tmp_path / "cache")
    assert len(found) == len(ROWS)
    for clip, row in enumerate(ROWS):
        points = from_local(found.local(clip).astype(float), found.neck[_span(found, clip)].astype(float))
        seen = layout.seen(row["keypoints"])
        assert found.ids[clip] == f"{row['clip_id']}#0"
        assert np.abs(points - row["keypoints"])[seen].max() < STEP_PX
        assert not np.isfinite(points[~seen]).any()
        np.testing.assert_array_equal(found.audio[_span(found, clip)], row["audio_features"])


def test_points_scored_low_and_points_without_a_root_do_not_count(tmp_path: Path) -> None:
    row = unseen(ROWS[0], layout.LEFT_ELBOW, slice(3, 9))
    points = np.array(row["keypoints"])
    points[20:30, layout.NOSE] = np.nan
    shards = write_shards(tmp_path / "shards", {"train": [{**row, "keypoints": points}]})
    found = open_cache(shards, "train", tmp_path / "cache", min_score=0.7)
    assert np.flatnonzero(~found.valid[:, layout.LEFT_ELBOW]).tolist() == list(range(3, 9))
    assert not found.valid[20:30, layout.FACE].any()
    assert found.valid[30, layout.FACE].all()
    assert found.valid[20:30, layout.LEFT_WRIST].all()


def test_statistics_are_those_of_the_frames_that_count(shards: Path, tmp_path: Path) -> None:
    found = open_cache(shards, "train", tmp_path / "cache").statistics
    local = np.concatenate([_local(row) for row in ROWS])
    counted = np.where(rooted(local)[..., None], local, np.nan)
    assert found.seen.tolist() == rooted(local).mean(0).tolist()
    known = found.seen > 0
    np.testing.assert_allclose(found.mean[known], np.nanmean(counted[:, known], 0), atol=1e-3)
    np.testing.assert_allclose(found.std[known], np.nanstd(counted[:, known], 0), atol=1e-3)
    picture = np.concatenate([row["keypoints"] for row in ROWS])
    np.testing.assert_allclose(found.picture_mean[known], np.nanmean(picture[:, known], 0), atol=1e-2)
    np.testing.assert_allclose(found.picture_std[known], np.nanstd(picture[:, known], 0), atol=1e-2)
    wide = [np.median(np.linalg.norm(row["keypoints"][:, 5] - row["keypoints"][:, 6], axis=-1)) for row in ROWS]
    assert found.shoulders[1] == pytest.approx(np.median(wide), abs=0.1)


def test_a_face_is_where_its_nose_is_sure_or_not(tmp_path: Path) -> None:
    """Statistics of the picture go through the root, whose own score says nothing of what is measured from it."""
    sure, unsure = ({"train": [row]} for row in (ROWS[0], unseen(ROWS[0], layout.NOSE, slice(0, 90))))
    known, found = (
        open_cache(write_shards(tmp_path / name, split), "train", tmp_path / "cache")
        for name, split in (("sure", sure), ("unsure", unsure))
    )
    assert not found.valid[:90, layout.NOSE].any() and found.valid[:, layout.FACE].all()
    for name in ("picture_mean", "picture_std"):
        ours, truth = (getattr(cache.statistics, name)[layout.FACE] for cache in (found, known))
        np.testing.assert_allclose(ours, truth, atol=1e-3)


def test_size_is_as_stated(shards: Path, tmp_path: Path) -> None:
    found = open_cache(shards, "train", tmp_path / "cache")
    raw = sum(path.stat().st_size for path in found.folder.glob("*.raw"))
    assert raw == found.bytes == sum(row["frames"] for row in ROWS) * FRAME_BYTES


def test_it_is_built_once_and_anew_for_other_shards(shards: Path, tmp_path: Path, monkeypatch: Any) -> None:
    built: list[Path] = []
    real = cache._build
    monkeypatch.setattr(cache, "_build", lambda *given: (built.append(given[1]), real(*given)))
    first = open_cache(shards, "train", tmp_path / "cache").folder
    assert open_cache(shards, "train", tmp_path / "cache").folder == first
    assert len(built) == 1
    other = write_shards(tmp_path / "other", {"train": ROWS[:2]})
    assert open_cache(other, "train", tmp_path / "cache").folder != first
    assert open_cache(shards, "train", tmp_path / "cache", min_score=0.3).folder != first
    assert len(built) == 3


def test_clips_without_features_are_left_out_and_counted(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", {"train": [without_features(ROWS[0]), *ROWS[1:]]})
    found = open_cache(shards, "train", tmp_path / "cache")
    assert found.index["left_out_without_features"] == 1
    assert found.ids.tolist() == [f"{row['clip_id']}#0" for row in ROWS[1:]]


def test_features_of_two_kinds_are_refused(tmp_path: Path) -> None:
    mixed = [ROWS[0], {**ROWS[1], "audio_features_of": "wav2vec2-base-960h/12"}]
    shards = write_shards(tmp_path / "shards", {"train": mixed})
    with pytest.raises(CacheError, match=r"logmel768 and wav2vec2-base-960h/12, cannot be mixed"):
        open_cache(shards, "train", tmp_path / "cache")
    assert not _folders(tmp_path / "cache")


def test_no_features_at_all_says_what_to_run(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", {"train": [without_features(row) for row in ROWS]})
    with pytest.raises(
        CacheError,
        match=r"no clip in the split train .* \(4 without\).*make filter SET=audio_features.features=logmel768",
    ):
        open_cache(shards, "train", tmp_path / "cache")


def test_a_file_cut_short_is_told(shards: Path, tmp_path: Path) -> None:
    folder = open_cache(shards, "train", tmp_path / "cache").folder
    path = folder / "audio.raw"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(CacheError, match=r"audio\.raw has \d+ bytes, not \d+: delete"):
        open_cache(shards, "train", tmp_path / "cache")


def flip(path: Path, at: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 16
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["index.json", "clips.npz"])
def test_a_flip_in_what_describes_the_frames_is_told_at_once(name: str, shards: Path, tmp_path: Path) -> None:
    folder = open_cache(shards, "train", tmp_path / "cache").folder
    flip(folder / name)
    with pytest.raises(DamagedCache, match=rf"{name} is not .* was written.*: delete {folder}"):
        open_cache(shards, "train", tmp_path / "cache")


@pytest.mark.parametrize("name", [*cache.ARRAYS])
def test_a_flip_in_a_clip_is_told_before_it_is_trained_on(name: str, shards: Path, tmp_path: Path) -> None:
    folder = open_cache(shards, "train", tmp_path / "cache").folder
    flip(folder / f"{name}.raw", 0.6)  # of the third clip of four
    found = Windows(open_cache(shards, "train", tmp_path / "cache"), 20, still=True)
    assert len([found[number] for number in (0, 1, 3)]) == 3
    with pytest.raises(DamagedCache, match=rf"other frames of {found.cache.ids[2]}".replace("+", r"\+")):
        found[2]


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "[" * 100_000])
def test_an_index_of_garbage_is_written_anew(text: str, shards: Path, tmp_path: Path) -> None:
    """As one that was made before checksums were: what is derived may be derived again."""
    folder, lines = open_cache(shards, "train", tmp_path / "cache").folder, list[str]()
    (folder / "index.json").write_text(text)
    assert len(open_cache(shards, "train", tmp_path / "cache", say=lines.append)) == len(ROWS)
    assert len(lines) == 1 and lines[0].startswith(f"writing {folder} again")


def test_shards_that_hold_other_bytes_by_now_are_told(shards: Path, tmp_path: Path) -> None:
    open_cache(shards, "train", tmp_path / "cache")
    [path] = shards.glob("train-*")
    flip(path)
    with pytest.raises(DamagedCache, match=rf"{path.name} holds other bytes than when"):
        open_cache(shards, "train", tmp_path / "cache")
    flip(path)  # back again
    assert len(open_cache(shards, "train", tmp_path / "cache")) == len(ROWS)


def test_shards_that_were_copied_are_read_once_more_and_no_oftener(
    shards: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    open_cache(shards, "train", tmp_path / "cache")
    shutil.copytree(shards, tmp_path / "copy")
    read: list[Path] = []
    real = integrity.sha256_of
    monkeypatch.setattr(integrity, "sha256_of", lambda path: (read.append(path), real(path))[1])
    for _ in range(2):
        open_cache(tmp_path / "copy", "train", tmp_path / "cache")
    assert read == list((tmp_path / "copy").glob("train-*"))


def test_a_cache_that_may_not_be_written_is_read_all_the_same(shards: Path, tmp_path: Path, monkeypatch: Any) -> None:
    open_cache(shards, "train", tmp_path / "cache")
    shutil.copytree(shards, tmp_path / "copy")
    refused: list[Path] = []

    def read_only(path: Path, text: str) -> None:
        refused.append(path)
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(integrity.files, "write_text", read_only)
    assert len(open_cache(tmp_path / "copy", "train", tmp_path / "cache")) == len(ROWS)
    assert refused


def test_flipped_shards_are_not_cached(shards: Path, tmp_path: Path) -> None:
    [path] = shards.glob("train-*")
    flip(path)
    with pytest.raises(ShardError, match=path.name):
        open_cache(shards, "train", tmp_path / "cache")
    assert not _folders(tmp_path / "cache")


def test_a_full_disk_is_told_before_anything_is_written(shards: Path, tmp_path: Path, monkeypatch: Any) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(CacheError, match=r"takes .* GiB, and .* has 0\.0: choose another folder with train\.cache"):
        open_cache(shards, "train", tmp_path / "cache")


@contextmanager
def _builder(shards: Path, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that is in the middle of building the cache of the split train, until it is given a line."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", BUILDER, str(shards), str(folder)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[4]) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "building\n"
            yield process
        finally:
            process.kill()


class _Waiting(threading.Thread):
    """Somebody who wants a cache that another process builds; `found` when the thread has ended."""

    def __init__(self, shards: Path, folder: Path) -> None:
        super().__init__(daemon=True)
        self.shards, self.folder, self.lines, self.waits = shards, folder, list[str](), threading.Event()
        self.start()
        assert self.waits.wait(30)

    def run(self) -> None:
        self.found = open_cache(self.shards, "train", self.folder, say=self._say)

    def _say(self, line: str) -> None:
        self.lines.append(line)
        self.waits.set()


def test_who_wants_what_another_process_builds_waits_and_takes_it(
    shards: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(cache, "_build", lambda *_: pytest.fail("built twice"))
    with _builder(shards, tmp_path / "cache") as process:
        waiting = _Waiting(shards, tmp_path / "cache")
        assert waiting.is_alive()
        said, _ = process.communicate("go on\n", timeout=60)
    waiting.join(60)
    assert str(waiting.found.folder) == said.strip()
    assert len(waiting.found) == len(ROWS)
    assert waiting.lines == [f"another process is building {waiting.found.folder}: waiting for it"]
    assert _folders(tmp_path / "cache") == [waiting.found.folder.name]


def test_when_the_builder_is_killed_who_waits_builds(shards: Path, tmp_path: Path) -> None:
    with _builder(shards, tmp_path / "cache") as process:
        waiting = _Waiting(shards, tmp_path / "cache")
        process.kill()
        waiting.join(60)
    assert len(waiting.found) == len(ROWS)
    assert _folders(tmp_path / "cache") == [waiting.found.folder.name]


def test_what_a_killed_builder_left_is_removed_and_that_of_a_live_one_is_not(shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    (folder / ".writing-0123456789ab").mkdir(parents=True)  # not a builder's of caches
    other = open_cache(shards, "train", folder, min_score=0.3).folder
    with _builder(shards, folder) as process:
        assert open_cache(shards, "train", folder, min_score=0.3).folder == other
        assert len(_folders(folder)) == 3
        process.kill()
        process.wait()
        assert len(_folders(folder)) == 3
        open_cache(shards, "train", folder, min_score=0.3)  # opened, not built
    assert _folders(folder) == [".writing-0123456789ab", other.name]


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _span(found: cache.Cache, clip: int) -> slice:
    return slice(found.first[clip], found.first[clip] + found.frames[clip])


def _local(row: dict[str, Any]) -> np.ndarray:
    from pipeline.shards.write import quantise

    return quantise(np.asarray(row["keypoints"], np.float32), np.asarray(row["neck"], np.float32))[1]
