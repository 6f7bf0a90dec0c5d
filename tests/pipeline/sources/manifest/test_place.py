"""Where a row lies in the video that was fetched."""

import pytest

from pipeline.base.reasons import Reason
from pipeline.sources.manifest import ManifestRow, Problem, place

ROW = ManifestRow(7, "name", "yt:YqnhRPq2Hq0", None, 4.0, 14.0, 100, 250, (300.0, 0.0, 1020.0, 720.0))


def video(frames: int = 1000, width: int = 1280, height: int = 720) -> dict[str, int]:
    return {"grid_frames": frames, "width": width, "height": height}


def test_a_row_within_its_video() -> None:
    assert place(ROW, video()) == {
        "clip_id": "yt:YqnhRPq2Hq0/100+250",
        "video_id": "yt:YqnhRPq2Hq0",
        "first_frame": 100,
        "frames": 250,
        "start_seconds": 4.0,
        "end_seconds": 14.0,
        "manifest_crop_box": [300.0, 0.0, 1020.0, 720.0],
        "manifest_line": 7,
        "manifest_name": "name",
    }


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((1920, 1080), [450, 0, 1530, 1080]),
        ((854, 480), [200.15625, 0, 680.53125, 480]),
        ((960, 720), [225, 0, 765, 720]),
        ((720, 1280), [168.75, 0, 573.75, 1280]),
    ],
)
def test_boxes_are_scaled_on_each_axis(size: tuple[int, int], box: list[float]) -> None:
    found = place(ROW, video(1000, *size))
    assert not isinstance(found, Problem) and found["manifest_crop_box"] == box


def test_no_box_is_null() -> None:
    found = place(ROW._replace(crop_box=None), video())
    assert not isinstance(found, Problem) and found["manifest_crop_box"] is None


@pytest.mark.parametrize(("frames", "kept"), [(351, 250), (350, 250), (349, 249), (348, 248)])
def test_up_to_two_frames_over_the_end_are_lost(frames: int, kept: int) -> None:
    found = place(ROW, video(frames))
    assert not isinstance(found, Problem)
    assert (found["frames"], found["clip_id"], found["end_seconds"]) == (kept, f"yt:YqnhRPq2Hq0/100+{kept}", 14.0)


@pytest.mark.parametrize("frames", [347, 101, 100, 50, 0])
def test_a_row_further_over_the_end_is_a_problem(frames: int) -> None:
    detail = f"frames 100 to 350, and the video has {frames}"
    assert place(ROW, video(frames)) == Problem(Reason.OUT_OF_VIDEO, detail)
