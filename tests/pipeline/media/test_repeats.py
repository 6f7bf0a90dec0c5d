"""What repeats the picture before: by luma, against what moves before and after."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.media.repeats import change_between, repeating
from pipeline.media.shots.finder import PIXEL_FORMAT, analysis_size
from pipeline.media.video import GridReader, probe
from tests.pipeline.media.footage import ffmpeg
from tests.stages.stage_assets import asset


def share_of(path: Path) -> float:
    """Share of the pictures that repeat the one before."""
    measured = probe(path)
    changes, before = [0.0], None
    size = analysis_size(measured.width, measured.height)
    with GridReader(path, size=size, pixel_format=PIXEL_FORMAT, reading=measured.reading) as reader:
        for frame in reader:
            grey = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY)
            if before is not None:
                changes.append(change_between(before, grey))
            before = grey
    return float(repeating(np.array(changes))[1:].mean())


@pytest.mark.parametrize("crf", [23, 30])
@pytest.mark.parametrize("clip", ["latentsync_demo1", "csgpage_demo1"])
def test_a_camera_of_twelve_pictures_a_second(tmp_path: Path, clip: str, crf: int) -> None:
    source, path = asset(f"clips/{clip}.mp4"), tmp_path / "doubled.mp4"
    scale = ["-t", 3, "-an", "-preset", "ultrafast"]
    ffmpeg("-i", source, "-vf", "fps=12,scale=320:-2,fps=25", *scale, "-crf", crf, path)
    assert share_of(path) == pytest.approx(0.52, abs=0.05)
    ffmpeg("-i", source, "-vf", "fps=25,scale=320:-2", *scale, "-crf", crf, path)
    assert share_of(path) < 0.05, "twenty-five are twenty-five"


def test_a_still_repeats_throughout(tmp_path: Path) -> None:
    ffmpeg("-i", asset("clips/csgpage_demo1.mp4"), "-frames:v", 1, tmp_path / "still.png")
    ffmpeg("-loop", 1, "-r", 25, "-t", 3, "-i", tmp_path / "still.png", "-pix_fmt", "yuv420p", tmp_path / "still.mp4")
    assert share_of(tmp_path / "still.mp4") > 0.95


def test_a_lone_keyframe_makes_no_repeats_of_its_neighbours() -> None:
    quiet = np.full(50, 2.0)
    quiet[25] = 40.0
    assert not repeating(quiet).any()
    assert repeating(np.zeros(0)).tolist() == [] and repeating(np.zeros(1)).tolist() == [False]


def test_one_small_place_that_moves_is_a_change() -> None:
    before = np.full((144, 256), 90, np.uint8)
    after = before.copy()
    after[60:68, 100:108] = 120  # a mouth
    assert change_between(before, after) == pytest.approx(30, abs=0.5)
    assert change_between(before, before) == 0
