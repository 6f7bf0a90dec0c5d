"""Released poses: what they hold is found out and mapped back to the pixel, or refused with a reason."""

import numpy as np
import pytest

from pipeline.skeleton import layout
from pipeline.skeleton.crop import square as whole_square
from pipeline.skeleton.released import ORDERS, boxes_of, frame_offset, shifted, unpack
from pipeline.skeleton.released_space import SPACES, Picture, UnfitPoses, square
from tests.stages.planted_poses import BOX, released, truth

HD = Picture(1280, 720, BOX)


def poses_of(*people: np.ndarray) -> np.ndarray:
    return np.stack(people, 1)


def assert_is_truth(found: np.ndarray, points: np.ndarray, *, px: float = 1e-3) -> None:
    np.testing.assert_array_equal(np.isnan(found), np.isnan(points))
    np.testing.assert_allclose(found, points, atol=px, rtol=0)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("space", SPACES)
def test_every_space_and_order_is_found_and_mapped_back(space: str, order: str) -> None:
    points, scores = truth()
    found = unpack(poses_of(released(points, scores, space, order)), HD)
    assert (found.space, found.order) == (space, order)
    assert_is_truth(found.keypoints[0], points)
    np.testing.assert_allclose(found.scores[0], scores, atol=1e-6)


@pytest.mark.parametrize(
    "box", [(400, 100, 900, 600), (500, 40, 1001, 720), (300, 0, 700, 719), (10, 50, 731, 700), (200, -40, 960, 720)]
)
@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (854, 480), (960, 720)])
def test_boxes_of_any_shape_in_videos_of_any_size(box: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    points, scores = truth(box=box)
    scale = np.array(size) / [1280, 720]
    fetched = Picture(*size, tuple(np.array(box) * np.tile(scale, 2)))
    found = unpack(poses_of(released(points, scores, box=box)), fetched)
    assert found.space == "crop_signed"
    assert_is_truth(found.keypoints[0], (points + 0.5) * scale - 0.5)


def test_single_precision_costs_less_than_a_hundredth_of_a_pixel() -> None:
    points, scores = truth()
    for dtype, px in ((np.float32, 0.01), (np.float16, 0.5)):
        found = unpack(poses_of(released(points, scores).astype(dtype)), HD)
        assert_is_truth(found.keypoints[0], points, px=px)


def test_the_one_whom_the_crop_was_made_for_tells_the_space_for_all() -> None:
    points, scores = truth()
    far = points + np.array([-420.0, 60.0])  # a listener, mostly outside the crop
    found = unpack(poses_of(released(far, scores), released(points, scores)), HD)
    assert found.space == "crop_signed"
    assert_is_truth(found.keypoints[0], far)
    assert_is_truth(found.keypoints[1], points)


def test_missing_is_confidence_zero_not_a_number_or_the_place_of_missing_points() -> None:
    points, scores = truth()
    poses = released(points, scores)
    poses[3, 1 + layout.NOSE, 2] = 0
    poses[4, 1 + layout.NOSE, :2] = np.nan
    poses[5, 1 + layout.NOSE, :2] = -1
    poses[6, 1 + layout.NOSE, :2] = 0  # the middle of the crop: a place like any other
    poses[7, 1 + layout.NOSE, 2] = np.nan
    found = unpack(poses_of(poses), HD)
    assert np.isnan(found.keypoints[0, [3, 4, 5, 7], layout.NOSE]).all()
    assert (found.scores[0, [3, 4, 5, 7], layout.NOSE] == 0).all()
    np.testing.assert_allclose(found.keypoints[0, 6, layout.NOSE], [640.2, 360.2], atol=0.01)
    pixels = released(points, scores, "crop_pixels")
    pixels[6, 1 + layout.NOSE, :2] = 0
    assert np.isnan(unpack(poses_of(pixels), HD).keypoints[0, 6, layout.NOSE]).all()


def test_two_spaces_that_fit_are_refused_and_a_setting_decides() -> None:
    box = (0, 0, 720, 720)  # at the picture's left edge: pixels of crop and picture look alike
    points, scores = truth(box=box)
    points = points * 0.75 + [38, 20]
    poses = poses_of(released(points, scores, "source_pixels", box=box))
    with pytest.raises(UnfitPoses, match=r"ambiguous.*crop_pixels.*source_pixels.*set `space`"):
        unpack(poses, Picture(1280, 720, box))
    found = unpack(poses, Picture(1280, 720, box), space="source_pixels")
    assert_is_truth(found.keypoints[0], points)


@pytest.mark.parametrize("space", ["crop_unit", "source_unit"])
def test_without_a_face_nothing_tells_a_stretched_picture(space: str) -> None:
    points, scores = truth()
    scores[:, layout.CHIN] = 0.2
    with pytest.raises(UnfitPoses, match=r"ambiguous.*crop_unit.*source_unit"):
        unpack(poses_of(released(points, scores, space)), HD)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 5.0), (0.02, 0.0), (40.0, 0.0), (1.0, 0.8)])
def test_what_no_space_explains_is_refused(scale: float, shift: float) -> None:
    points, scores = truth()
    poses = released(points, scores)
    poses[..., :2] = poses[..., :2] * scale + shift
    with pytest.raises(UnfitPoses, match="no known space"):
        unpack(poses_of(poses), HD)


def test_a_space_that_is_told_must_put_somebody_into_the_crop() -> None:
    points, scores = truth()
    with pytest.raises(UnfitPoses, match="source_pixels puts nobody into the crop"):
        unpack(poses_of(released(points, scores)), HD, space="source_pixels")


def test_without_a_box_only_source_pixels_can_be_told() -> None:
    points, scores = truth()
    found = unpack(poses_of(released(points, scores, "source_pixels")), Picture(1920, 1080))
    assert_is_truth(found.keypoints[0], (points + 0.5) * 1.5 - 0.5)
    for space in ("crop_signed", "crop_unit", "crop_pixels", "source_unit"):
        with pytest.raises(UnfitPoses, match="no crop box"):
            unpack(poses_of(released(points, scores, space)), Picture(1280, 720))
    with pytest.raises(UnfitPoses, match="no crop box to map crop_signed"):
        unpack(poses_of(released(points, scores)), Picture(1280, 720), space="crop_signed")
    assert unpack(poses_of(released(points, scores, "source_unit")), Picture(1280, 720), space="source_unit").space


def test_an_order_that_cannot_be_told_is_refused() -> None:
    points, scores = truth()
    poses = released(points, scores)
    shuffled = poses[:, np.random.default_rng(1).permutation(134)]
    with pytest.raises(UnfitPoses, match="the order cannot be told"):
        unpack(poses_of(shuffled), HD)
    hidden = poses.copy()
    hidden[:, 0, 2] = hidden[:, 1, 2] = 0
    with pytest.raises(UnfitPoses, match="no frame shows a neck"):
        unpack(poses_of(hidden), HD)


def test_other_shapes_confidences_and_nobody_are_refused() -> None:
    points, scores = truth()
    poses = poses_of(released(points, scores))
    for wrong in (poses[0], poses[:, :, :133], poses[..., :2], poses[:0], poses[:, :0]):
        with pytest.raises(UnfitPoses, match="shape"):
            unpack(wrong, HD)
    percent = poses.copy()
    percent[..., 2] *= 100
    with pytest.raises(UnfitPoses, match="confidences up to"):
        unpack(percent, HD)
    with pytest.raises(UnfitPoses, match="no point has a confidence"):
        unpack(np.zeros_like(poses), HD)


@pytest.mark.parametrize(
    ("frames", "start", "first", "empty", "offset"),
    [
        (30, 0.42, 10, None, 0),  # grid place 10.5
        (29, 0.40, 10, None, 0),  # on the grid: the last is missing
        (29, 0.412, 10, None, 1),  # 10.3: the release began at 11
        (29, 0.428, 11, None, 0),  # 10.7
        (31, 0.40, 10, None, 0),
        (31, 0.428, 11, None, -1),  # 10.7: the release began at 10
        (31, 0.428, 11, -1, 0),  # nobody in the last: that is the surplus one
        (31, 0.40, 10, 0, -1),
    ],
)
def test_frames_within_one(frames: int, start: float, first: int, empty: int | None, offset: int) -> None:
    poses = poses_of(released(*truth(frames)))
    if empty is not None:
        poses[empty] = 0
    assert frame_offset(poses, 30, first, start) == offset
    numbers = np.arange(frames, dtype=np.float32)[None]
    moved = shifted(numbers, offset, 30, np.nan)[0]
    known = np.flatnonzero(np.isfinite(moved))
    assert len(moved) == 30 and len(known) >= 29
    np.testing.assert_array_equal(moved[known], known - offset)


@pytest.mark.parametrize("frames", [28, 32, 1])
def test_more_than_one_frame_is_another_clip(frames: int) -> None:
    with pytest.raises(UnfitPoses, match=f"poses of {frames} frames for a clip of 30"):
        frame_offset(poses_of(released(*truth(frames))), 30, 10, 0.4)


def test_boxes_hold_the_sure_points() -> None:
    points, scores = truth(4)
    scores[0] = np.where(scores[0] > 0, 0.1, 0)
    scores[1, layout.RIGHT_WRIST] = 0.1
    points[1, layout.RIGHT_WRIST] = [5000, 5000]
    points[2], scores[2] = np.nan, 0
    boxes = boxes_of(points, scores)
    assert np.isnan(boxes[2]).all() and boxes[1].max() < 1280
    np.testing.assert_allclose(boxes[0], [*np.nanmin(points[0], 0), *np.nanmax(points[0], 0)], rtol=1e-6)


@pytest.mark.parametrize("box", [(0, 0, 7, 4), (3, 5, 8, 20), (-3, 0, 2, 2), (1, 1, 4, 4)])
def test_the_letterbox_is_that_of_the_crop(box: tuple[int, int, int, int]) -> None:
    assert square(box) == whole_square(box)
