"""Where faces are cut and which frames are looked at, on skeletons whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.media.patches import inside
from pipeline.nets.face.faces import TEMPLATE, Choice, aligned, aligned_area, candidates, face_square, upright
from pipeline.skeleton import layout
from tests.pipeline.nets.face.planted_face import face

SIZE = (512, 512)


def film(*faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    points = np.stack(faces)
    return points, np.where(np.isnan(points).any(-1), 0, 0.9)


@given(st.floats(120, 390), st.floats(120, 390), st.floats(0.5, 2), st.floats(-0.6, 0.6))
def test_alignment_undoes_place_size_and_roll(x: float, y: float, size: float, turn: float) -> None:
    picture = np.zeros((512, 512, 3), np.uint8)
    points = face(x, y, size, turn)
    yy, xx = np.mgrid[:512, :512]
    for channel, at in enumerate((points[53], points[layout.RIGHT_EYE], points[77])):
        picture[..., channel] = np.exp(-((xx - at[0]) ** 2 + (yy - at[1]) ** 2) / (2 * (5 * size) ** 2)) * 255
    found = aligned(picture, points).astype(float)
    yy, xx = np.mgrid[:112, :112]
    for channel, wanted in enumerate((TEMPLATE[2], TEMPLATE[0], TEMPLATE[4])):
        weight = found[..., channel] / found[..., channel].sum()
        assert [(weight * xx).sum(), (weight * yy).sum()] == pytest.approx(wanted, abs=1.0)


def test_a_large_face_is_shrunk_without_skipping_pixels() -> None:
    stripes = np.zeros((1536, 1536, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than the result can show: grey, not black or white
    found = aligned(stripes, face(768, 768, 10))
    assert 110 < found[20:90, 20:90].mean() < 145 and found[20:90, 20:90].std() < 20


def test_a_face_at_the_pictures_edge_is_black_outside_and_taken_only_when_its_points_are_inside() -> None:
    picture = np.full((512, 512, 3), 200, np.uint8)
    edge = face(40, 200)
    assert (aligned(picture, edge)[:, :10] == 0).all() and (aligned(picture, edge)[40:80, 56] == 200).all()
    assert (upright(picture, edge)[:, :5] == 0).all()
    points, scores = film(edge, face(10, 200))
    assert candidates(points, scores, SIZE, Choice(frames=1)) == [[0]]


def test_the_square_holds_the_face_and_a_margin() -> None:
    points = face()
    x1, y1, x2, y2 = face_square(points)
    seen = points[layout.FACE]
    assert x2 - x1 == y2 - y1
    assert (seen.min(0) > [x1 + 10, y1 + 10]).all() and (seen.max(0) < [x2 - 10, y2 - 1]).all()
    with pytest.raises(ValueError, match="no point of the face"):
        face_square(np.full((133, 2), np.nan))


def turned(yaw: float) -> np.ndarray:
    points = face()
    eyes = points[layout.LEFT_EYE] - points[layout.RIGHT_EYE]
    points[layout.NOSE] = (points[layout.LEFT_EYE] + points[layout.RIGHT_EYE]) / 2 + 0.55 * np.tan(yaw) * eyes
    return points


def test_frames_are_frontal_and_spread() -> None:
    yaws = np.full(100, 1.0)
    yaws[[5, 33, 34, 90]] = [0.1, 0.3, 0.0, 0.2]
    points, scores = film(*(turned(yaw) for yaw in yaws))
    assert candidates(points, scores, SIZE, Choice(frames=4)) == [[5], [34, 33], [90]]
    assert candidates(points, scores, SIZE, Choice(frames=4, candidates=1)) == [[5], [34], [90]]


@pytest.mark.parametrize("spoiled", ["profile", "small", "unsure", "gone", "back"])
def test_no_frame_will_do(spoiled: str) -> None:
    points, scores = film(*[face()] * 10)
    if spoiled == "profile":
        points, scores = film(*[turned(1.2)] * 10)
    elif spoiled == "small":
        points, scores = film(*[face(size=0.3)] * 10)
    elif spoiled == "unsure":
        scores[:, layout.FACE] = 0.1
    elif spoiled == "gone":
        points[:] = np.nan
    else:
        points[:, [layout.LEFT_EYE, layout.RIGHT_EYE]] = points[:, [layout.RIGHT_EYE, layout.LEFT_EYE]]
    assert candidates(points, scores, SIZE) == []


def test_no_frames_at_all() -> None:
    assert candidates(np.zeros((0, 133, 2)), np.zeros((0, 133)), SIZE) == []


def on_one_spot(points: np.ndarray) -> np.ndarray:
    """Eyes, nose and corners of the mouth in one place, as nets have them now and then; the rest as it is."""
    for where in (layout.RIGHT_EYE_RING, layout.LEFT_EYE_RING, 53, 71, 77):
        points[where] = [200, 300]
    return points


def test_of_points_on_one_spot_any_part_of_the_picture_may_be_seen() -> None:
    """No turn and scale makes a face of them, and `candidates` takes them where the other points are those of one."""
    points, scores = film(on_one_spot(face()))
    assert candidates(points, scores, SIZE, Choice(frames=1)) == [[0]]
    assert aligned_area(points[0], SIZE) == (0, 0, *SIZE)
    assert aligned(np.full((512, 512, 3), 200, np.uint8), points[0]).shape == (112, 112, 3)


@pytest.mark.parametrize("size", [(1280, 720), (1011, 777), (1279, 721), (130, 115)])
@pytest.mark.parametrize(("x", "y"), [(0.4, 0.5), (0.1, 0.1), (0.9, 0.95)])
@pytest.mark.parametrize("large", [0.3, 0.8, 1.7, 3.5, 8])
def test_of_the_rest_of_a_picture_nothing_is_seen(size: tuple[int, int], x: float, y: float, large: float) -> None:
    """However often it is halved on the way."""
    picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    points = face(x * size[0], y * size[1], large, 0.3)
    x1, y1, x2, y2 = inside(aligned_area(points, size), size)
    alone = np.zeros_like(picture)
    alone[y1:y2, x1:x2] = picture[y1:y2, x1:x2]
    assert np.array_equal(aligned(alone, points), aligned(picture, points))
    assert large > 1 or size[0] < 200 or (x2 - x1) * (y2 - y1) < size[0] * size[1] / 8, "it does not ask for everything"
