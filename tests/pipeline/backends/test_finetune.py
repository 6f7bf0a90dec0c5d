"""StableAnimator's training layout out of shards: what lies where, what is left out, going on after a kill, its own loader."""

import os
import random
import shlex
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.backends import finetune
from pipeline.backends.finetune import MIN_FRAMES, face_mask, write_layout
from pipeline.base.hashes import sha256_of
from pipeline.media.writer import write_clip
from pipeline.shards.index import build_index, write_index
from pipeline.shards.read import open_shards
from pipeline.shards.write import write_shard
from pipeline.skeleton import layout
from pipeline.skeleton.control import draw_control
from pipeline.theatre import planted
from tests.pipeline.backends.upstream import options, taken

LENGTHS = {"train": (20, MIN_FRAMES - 1, 18), "test": (17,)}


def picture(number: int, n: int) -> np.ndarray:
    made = np.full((512, 512, 3), 40 * number, np.uint8)
    made[:, : 20 * n] = 250
    return made


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with four short clips in two splits."""
    folder = tmp_path / "run" / "shards"
    folder.mkdir(parents=True)
    entries, number = [], 0
    for split, lengths in LENGTHS.items():
        rows: list[dict[str, Any]] = []
        for frames in lengths:
            number += 1
            row = planted.row(next(planted.clips(range(number, number + 1), 5.0)))
            name = f"clips/{number}.mp4"
            (tmp_path / "run" / "clips").mkdir(exist_ok=True)
            write_clip(tmp_path / "run" / name, (picture(number, n) for n in range(frames)), None, size=(512, 512))
            for key in ("keypoints", "scores", "neck"):
                row[key] = row[key][:frames]
            video_sha256 = sha256_of(tmp_path / "run" / name)
            rows.append(
                {
                    **row,
                    "frames": frames,
                    "video": name,
                    "video_sha256": video_sha256,
                    "audio": None,
                    "audio_features": None,
                }
            )
        path = folder / f"{split}-00000-of-00001.parquet"
        write_shard(path, rows)
        seconds = sum(lengths) / 25
        entries.append(
            {"path": path.name, "split": split, "rows": len(rows), "seconds": seconds}
            | {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        )
    write_index(folder, build_index(entries, [], version="1.2"))
    return tmp_path / "run"


def laid_out(run: Path, **changed: Any) -> finetune.Layout:
    return write_layout(run / "shards", run, run.parent / "data", **changed)


def test_pictures_skeletons_and_masks_lie_frame_by_frame(run: Path) -> None:
    made = laid_out(run)
    listed = (made.folder / "video_rec_path.txt").read_text().splitlines()
    assert listed == [str(made.folder / "rec" / name) for name in ("00001", "00002")] and made.clips == made.made == 2
    assert len(made.skipped) == 1 and f"{MIN_FRAMES - 1} frames" in next(iter(made.skipped.values()))
    row = next(iter(open_shards(run / "shards", "train").rows()))
    clip = Path(listed[0])
    assert {folder.name: len(list(folder.iterdir())) for folder in clip.iterdir() if folder.is_dir()} == {
        "images": 20,
        "poses": 20,
        "faces": 20,
    }
    for n in (0, 10, 19):
        image, pose, face = (
            cv2.imread(str(clip / name / f"frame_{n}.png"), -1) for name in ("images", "poses", "faces")
        )
        assert np.abs(image[..., ::-1].astype(int) - picture(1, n)).mean() < 2
        np.testing.assert_array_equal(pose[..., ::-1], draw_control(row["keypoints"][n], row["scores"][n], (512, 512)))
        np.testing.assert_array_equal(face, face_mask(row["keypoints"][n], row["scores"][n]))
    assert len(list((made.folder / "validation" / "poses").iterdir())) == 16


def test_splits_and_a_limit(run: Path) -> None:
    assert laid_out(run, splits=("train", "test"), limit=1).clips == 1
    assert laid_out(run, splits=("train", "test")).clips == 3
    assert laid_out(run, splits=("test",)).clips == 1


def test_a_run_that_was_cut_short_goes_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_png, written = finetune.write_png, 0

    def killed(path: Path, made: np.ndarray) -> None:
        nonlocal written
        written += 1
        if written == 3 * 20 + 7:
            raise KeyboardInterrupt
        write_png(path, made)

    monkeypatch.setattr(finetune, "write_png", killed)
    with pytest.raises(KeyboardInterrupt):
        laid_out(run)
    rec = run.parent / "data" / "rec"
    assert [folder.name for folder in rec.iterdir()] == ["00001"], "whole clips or none"
    (rec / ".writing-0123").mkdir()
    monkeypatch.setattr(finetune, "write_png", write_png)
    made = laid_out(run)
    assert made.clips == 2 and made.made == 1
    assert sorted(folder.name for folder in rec.iterdir()) == ["00001", "00002"]
    assert laid_out(run).made == 0


def test_videos_that_are_gone_others_or_elsewhere_are_left_out(run: Path) -> None:
    (run / "clips" / "1.mp4").unlink()
    made = laid_out(run)
    assert made.clips == 1 and "`make filter`" in " ".join(made.skipped.values())
    with (run / "clips" / "4.mp4").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match="not the file that the shards were made with"):
        laid_out(run, splits=("test",))
    row = {"video": "../secret.mp4", "video_sha256": ""}
    with pytest.raises(finetune.Reject, match="no file of the run"):
        finetune._video(row, run)


def test_a_face_mask_is_the_box_of_the_face_or_all_of_it() -> None:
    points, scores = np.full((layout.K, 2), np.nan), np.ones(layout.K)
    assert face_mask(points, scores).min() == 255
    points[layout.FACE] = np.linspace([100.5, 50], [200, 149.2], 68)
    mask = face_mask(points, scores)
    ys, xs = np.nonzero(mask)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (100, 200, 50, 150) and set(np.unique(mask)) == {0, 255}
    points[layout.FACE] += 1000
    assert not face_mask(points, scores).any()
    assert face_mask(points, 0.1 * scores).min() == 255


def test_their_training_takes_the_command(run: Path) -> None:
    given = {part.split("=")[0] for part in shlex.split(laid_out(run).command) if part.startswith("--")}
    assert given <= options("StableAnimator/train_single.py")


def test_their_loader_reads_the_layout(run: Path) -> None:
    """Its data set as it is, with a face net that sees nobody."""
    torch = pytest.importorskip("torch")
    rearrange = pytest.importorskip("einops").rearrange
    image = pytest.importorskip("PIL.Image")
    data = taken(
        "StableAnimator/animation/dataset/animation_dataset.py",
        os=os,
        osp=os.path,
        np=np,
        torch=torch,
        Image=image,
        cv2=cv2,
        random=random,
        Dataset=object,
        rearrange=rearrange,
        warnings=warnings,
    )["LargeScaleAnimationVideos"]
    nobody = SimpleNamespace(
        **{
            name: lambda *_, **__: None
            for name in ("clean_all", "read_image", "get_face_landmarks_5", "align_warp_face")
        },
        cropped_faces=[],
    )
    made = laid_out(run, splits=("train", "test"))
    clips = data(
        *(str(made.folder), str(made.folder / "video_rec_path.txt"), 512, 512, 16, 4),
        app=SimpleNamespace(get=lambda picture: []),
        face_helper=nobody,
    )
    assert len(clips) == 3
    sample = clips[2]  # the shortest
    assert sample["pixel_values"].shape == sample["pose_pixels"].shape == (16, 3, 512, 512)
    assert sample["tgt_face_masks"].shape == (16, 1, 512, 512)
    assert 0 < sample["tgt_face_masks"].mean() < 0.2, "its own fallback, ones, would be 1"
    assert sample["pose_pixels"].max() > 0.5
