import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.units import Box
from pipeline.skeleton import crop, layout

BOXES = st.tuples(st.integers(-300, 1500), st.integers(-300, 900), st.integers(1, 1500), st.integers(1, 1500)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


def speaker(frames: int = 60, width: float = 120, x: float = 640, y: float = 300) -> np.ndarray:
    """A still upper body whose shoulders are `width` px apart."""
    p = np.full((frames, layout.K, 2), np.nan)
    p[:, :5] = [[x, y - width], [x + 9, y - width], [x - 9, y - width], [x + 20, y - width], [x - 20, y - width]]
    p[:, 5:11, 0] = x + width * np.array([0.5, -0.5, 0.7, -0.7, 0.6, -0.6])
    p[:, 5:11, 1] = y + width * np.array([0, 0, 0.8, 0.8, 1.4, 1.4])
    p[:, 11:13] = [[x + 0.3 * width, y + 1.5 * width], [x - 0.3 * width, y + 1.5 * width]]
    p[:, 13:23] = [x, y + 4 * width]
    p[:, layout.FACE] = [x, y - width]
    p[:, layout.CHIN] = [x, y - 0.5 * width]
    p[:, layout.RIGHT_BROW.start : layout.LEFT_BROW.stop, 1] = y - 1.1 * width
    for hand, wrist in ((layout.LEFT_HAND, 9), (layout.RIGHT_HAND, 10)):
        p[:, hand] = p[:, wrist, None] + [0, 0.3 * width]
    return p


@settings(max_examples=100, deadline=None)
@given(BOXES, st.sampled_from([64, 512, 768]))
def test_map_points_inverts(box: Box, side: int) -> None:
    points = np.random.default_rng(0).uniform(-1000, 3000, (20, 2))
    np.testing.assert_allclose(crop.unmap_points(crop.map_points(points, box, side), box, side), points, atol=1e-6)


def test_map_points_is_the_stated_formula() -> None:
    box = (100, 50, 400, 350)
    x, y = crop.map_points(np.array([123.25, 77.0]), box)
    assert x == pytest.approx((123.25 + 0.5 - 100) * 512 / 300 - 0.5)
    assert y == pytest.approx((77 + 0.5 - 50) * 512 / 300 - 0.5)
    assert crop.map_points(np.zeros((3, 2), np.float32), box).dtype == np.float32


@pytest.mark.parametrize(
    "box", [(100, 40, 400, 340), (101, 33, 812, 744), (-50, -70, 601, 581), (200, 100, 500, 601), (100, 90, 651, 500)]
)
def test_cut_and_map_points_agree_on_a_dot_between_pixels(box: Box) -> None:
    yy, xx = np.mgrid[:720, :1280].astype(float)
    dot = np.array([333.3, 222.2])
    blob = 255 * np.exp(-((xx - dot[0]) ** 2 + (yy - dot[1]) ** 2) / (2 * 4.0**2))
    picture = np.repeat(np.round(blob)[..., None], 3, -1).astype(np.uint8)
    small = crop.cut(picture, box)[..., 1].astype(float)
    yy, xx = np.mgrid[:512, :512]
    centre = np.array([(small * xx).sum(), (small * yy).sum()]) / small.sum()
    np.testing.assert_allclose(centre, crop.map_points(dot, box), atol=0.05)


def test_cut_keeps_pixels_when_the_side_fits_and_pads_black() -> None:
    picture = np.random.default_rng(0).integers(1, 255, (300, 400, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop.cut(picture, (11, 7, 139, 135), 128), picture[7:135, 11:139])
    outside = crop.cut(picture, (-28, 200, 100, 328), 128)
    assert not outside[:, :28].any() and not outside[100:].any()
    np.testing.assert_array_equal(outside[:100, 28:], picture[200:300, :100])
    assert not crop.cut(picture, (500, 500, 600, 600), 128).any()


def test_released_boxes_that_are_not_square_are_letterboxed() -> None:
    picture = np.full((300, 400, 3), 200, np.uint8)
    out = crop.cut(picture, (100, 50, 200, 250), 200)
    assert (out[:, 50:150] == 200).all() and not out[:, :50].any() and not out[:, 150:].any()
    np.testing.assert_allclose(crop.map_points(np.array([100.0, 50.0]), (100, 50, 200, 250), 200), [50, 0])


@pytest.mark.parametrize("box", [(), (1, 2, 1, 5), (0, 0, 10, -1), (1, 2, 3)])
def test_empty_boxes_are_refused(box: tuple) -> None:
    with pytest.raises(ValueError, match="box"):
        crop.square(box)


def test_crop_box_frames_the_upper_body_around_the_speaker() -> None:
    points = speaker()
    x1, y1, x2, y2 = crop.crop_box(points, np.ones(points.shape[:2]), 1280, 720)
    assert x2 - x1 == y2 - y1
    assert abs((x1 + x2) / 2 - 640) <= 1
    assert y1 < 300 - 1.1 * 120 - 30, "the head reaches above the brows"
    assert 300 + 1.7 * 120 < y2 < 300 + 2.2 * 120, "from the lowest hand, not from the knees"
    assert x1 >= 0 and x2 <= 1280 and y1 >= 0 and y2 <= 720


def test_lone_spikes_and_low_scores_do_not_widen_the_box() -> None:
    points = speaker()
    scores = np.ones(points.shape[:2])
    calm = crop.crop_box(points, scores, 1280, 720)
    points[20:22, layout.LEFT_HAND] = [1200, 700]
    points[40, layout.NOSE] = [5, 5]
    points[:, 112] = [3, 3]
    scores[:, 112] = 0.1
    assert crop.crop_box(points, scores, 1280, 720) == calm
    points[30:40, layout.LEFT_HAND] = [900, 480]  # a real gesture of 0.4 s
    assert crop.crop_box(points, scores, 1280, 720)[2] > 900


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(1280, 720), (720, 1280), (333, 251)]))
def test_crop_box_is_square_and_wastes_no_picture(seed: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    points = speaker(20, rng.uniform(10, 400), rng.uniform(0, size[0]), rng.uniform(0, size[1]))
    x1, y1, x2, y2 = crop.crop_box(points, np.ones(points.shape[:2]), *size)
    assert x2 - x1 == y2 - y1 > 0
    assert (x2 - x1) % 2 == 0 or x2 - x1 in size, "an odd side cannot stay in planes"
    for low, high, length in ((x1, x2, size[0]), (y1, y2, size[1])):
        assert (low >= 0 and high <= length) or (low <= 0 and high >= length)


def test_nobody_to_crop() -> None:
    with pytest.raises(ValueError, match="nothing to crop"):
        crop.crop_box(np.full((4, layout.K, 2), np.nan), np.zeros((4, layout.K)), 640, 480)


def test_cut_shrinks_without_aliasing() -> None:
    picture = np.zeros((1024, 1024, 3), np.uint8)
    picture[::2] = 255
    assert np.ptp(crop.cut(picture, (0, 0, 1024, 1024)).astype(int)) <= 2
