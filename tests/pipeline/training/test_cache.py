"""The memory-mapped cache holds what the shards hold, and refuses what cannot be trained on."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.skeleton import layout
from pipeline.skeleton.local import from_local, rooted
from pipeline.training import cache
from pipeline.training.cache import FRAME_BYTES, CacheError, open_cache
from tests.pipeline.training.small import shard_rows, unseen, without_features, write_shards

ROWS = shard_rows(4)
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
    assert not list((tmp_path / "cache").iterdir())


def test_no_features_at_all_says_what_to_run(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", {"train": [without_features(row) for row in ROWS]})
    with pytest.raises(CacheError, match=r"no clip in the split train .* \(4 without\).*make filter"):
        open_cache(shards, "train", tmp_path / "cache")


def test_a_file_cut_short_is_told(shards: Path, tmp_path: Path) -> None:
    folder = open_cache(shards, "train", tmp_path / "cache").folder
    path = folder / "audio.raw"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(CacheError, match=r"audio\.raw has \d+ bytes, not \d+: delete"):
        open_cache(shards, "train", tmp_path / "cache")


def test_a_full_disk_is_told_before_anything_is_written(shards: Path, tmp_path: Path, monkeypatch: Any) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(CacheError, match=r"takes .* GiB, and .* has 0\.0: name another place with train\.cache"):
        open_cache(shards, "train", tmp_path / "cache")


def _span(found: cache.Cache, clip: int) -> slice:
    return slice(found.first[clip], found.first[clip] + found.frames[clip])


def _local(row: dict[str, Any]) -> np.ndarray:
    from pipeline.shard import quantise

    return quantise(np.asarray(row["keypoints"], np.float32), np.asarray(row["neck"], np.float32))[1]
