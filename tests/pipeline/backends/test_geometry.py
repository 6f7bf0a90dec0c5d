"""Where a film's view lies, that picture and skeleton are cut alike, and motions at other rates."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pipeline.backends.geometry import at_rate, cover_box, cut_view, frames_at, hands_outside, into_view
from pipeline.backends.job import Job, Options, View
from pipeline.backends.run import BACKENDS, backend
from pipeline.skeleton import layout
from tests.pipeline.backends.fakes import job


def within(width: int, height: int, x: float, y: float, scale: float = 1.0) -> Job:
    """The puppet in a picture of another size, its neck at x, y."""
    made = job(30)
    neck = made.reference[[5, 6]].mean(0)
    motion, reference = ((points - neck) * scale + [x, y] for points in (made.keypoints, made.reference))
    return replace(made, keypoints=motion, reference=reference, picture=np.zeros((height, width, 3), np.uint8))


@pytest.mark.parametrize(
    ("size", "picture", "neck", "box"),
    [
        ((512, 512), (512, 512), (256, 200), (0, 0, 512, 512)),
        ((512, 512), (1280, 720), (640, 300), (280, 0, 1000, 720)),
        ((512, 512), (1280, 720), (100, 300), (0, 0, 720, 720)),
        ((512, 512), (1280, 720), (1250, 300), (560, 0, 1280, 720)),
        ((1024, 576), (1280, 720), (640, 300), (0, 0, 1280, 720)),
        ((576, 1024), (1080, 1920), (540, 900), (0, 0, 1080, 1920)),
    ],
)
def test_the_largest_part_that_fits_centred_on_the_person(
    size: tuple[int, int], picture: tuple[int, int], neck: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    found = cover_box(within(*picture, *neck), size)
    assert (found[2] - found[0], found[3] - found[1]) == (box[2] - box[0], box[3] - box[1])
    np.testing.assert_allclose(found, box, atol=5)  # people sway


def test_a_head_is_not_cut_off() -> None:
    """A square out of an upright picture, and a person taller than it."""
    work = within(400, 1200, 200, 500, 1.5)
    _, top, _, bottom = cover_box(work, (512, 512))
    face = work.keypoints[:, layout.FACE, 1]
    hair = 0.75 * (np.nanmax(face) - np.nanmin(face))
    assert bottom - top == 400 and top == pytest.approx(np.nanmin(face) - hair, abs=10)


def test_nobody_seen_gives_the_middle() -> None:
    work = job(5)
    nobody = replace(work, scores=work.scores * 0, reference_scores=work.reference_scores * 0)
    assert cover_box(replace(nobody, picture=np.zeros((200, 400, 3), np.uint8)), (512, 512)) == (100, 0, 300, 200)


@pytest.mark.parametrize(
    ("name", "picture", "size"),
    [
        ("stableanimator", (512, 512), (512, 512)),
        ("stableanimator", (1280, 720), (512, 512)),
        ("stableanimator", (720, 1280), (576, 1024)),
        ("mimicmotion", (512, 512), (576, 576)),
        ("mimicmotion", (1280, 720), (1024, 576)),
        ("mimicmotion", (720, 1280), (576, 1024)),
        ("mimicmotion", (640, 480), (768, 576)),
        ("mimicmotion", (400, 2000), (576, 1024)),
        ("echomimicv2", (1280, 720), (768, 768)),
        ("skeleton", (641, 359), (642, 360)),
    ],
)
def test_sizes_follow_the_picture(name: str, picture: tuple[int, int], size: tuple[int, int]) -> None:
    view = backend(name).view(within(*picture, picture[0] / 2, picture[1] / 3), Options())
    assert view.size == size


@pytest.mark.parametrize(
    ("box", "size"), [((10, 20, 74, 84), (128, 128)), ((-30, -10, 98, 86), (64, 48)), ((5, 5, 95, 95), (45, 45))]
)
def test_picture_and_skeleton_are_cut_alike(box: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    view = View(box, size, Fraction(25), 1, 1)
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[58:63, 48:53] = 255
    cut = cut_view(picture, view)
    assert cut.shape == (size[1], size[0], 3)
    weight = cut[..., 0].astype(float)
    ys, xs = np.mgrid[: size[1], : size[0]]
    centre = [(weight * xs).sum() / weight.sum(), (weight * ys).sum() / weight.sum()]
    np.testing.assert_allclose(centre, into_view(np.array([50.0, 60.0]), view), atol=0.1)
    if box[0] < 0:
        bright = cut_view(np.full_like(picture, 255), view)
        assert not bright[:, : -box[0] * size[0] // (box[2] - box[0]) - 1].any(), "outside is black"


@pytest.mark.parametrize(("fps", "frames"), [(15, 45), (24, 72), (25, 75), (30, 90)])
def test_another_rate_keeps_the_time(fps: int, frames: int) -> None:
    points = np.arange(75.0)[:, None, None] * np.ones((75, layout.K, 2))
    assert frames_at(75, Fraction(fps)) == frames
    view = View((0, 0, 1, 1), (2, 2), Fraction(fps), frames, frames + 5)
    found, scores = at_rate(points, np.ones((75, layout.K)), view)
    assert len(found) == len(scores) == frames + 5
    np.testing.assert_allclose(found[:, 0, 0], np.minimum(np.arange(frames + 5) * 25 / fps, 74), atol=1e-9)


def test_between_a_seen_and_an_unseen_frame_the_nearer_one_counts() -> None:
    points, scores = np.zeros((3, layout.K, 2)), np.full((3, layout.K), 0.8)
    points[1, 5], scores[1, 5] = np.nan, 0.0
    view = View((0, 0, 1, 1), (2, 2), Fraction(100), 12, 12)
    found, found_scores = at_rate(points, scores, view)
    assert layout.seen(found[:, 5]).tolist() == [True, True, *[False] * 4, *[True] * 6]
    assert found_scores[1, 5] == pytest.approx(0.8) and found_scores[3, 5] == 0
    assert layout.seen(found[:, 6]).all()


def test_hands_that_leave_the_film() -> None:
    work = job(10)
    view = View((0, 0, 512, 512), (256, 256), Fraction(25), 10, 10)
    assert hands_outside(work, view) == 0
    work.keypoints[:4, layout.LEFT_HAND] = [600, 100]
    work.keypoints[3:6, layout.RIGHT_HAND] = np.nan
    assert hands_outside(work, view) == pytest.approx(0.4)


def test_echomimics_square_goes_by_face_and_arms() -> None:
    work = job(30)
    view = backend("echomimicv2").view(work, Options())
    x1, y1, x2, y2 = view.box
    face, arms = work.keypoints[:, layout.FACE], work.keypoints[:, :11]
    top, bottom = np.nanmin(face[..., 1]), np.nanmax(arms[..., 1])
    high = bottom - top
    assert x2 - x1 == y2 - y1 == pytest.approx(high * (1 + 0.25 * 1.15), abs=1)
    assert y1 == pytest.approx(top - 0.65 * 0.25 * high, abs=1)
    assert (x1 + x2) / 2 == pytest.approx(np.nanmean(work.keypoints[:, [5, 6], 0]), abs=1)


def test_echomimics_square_ends_where_the_picture_ends() -> None:
    work = job(30)
    work.keypoints[7, layout.LEFT_SHOULDER + 2 : layout.LEFT_SHOULDER + 4, 1] = 9000  # elbows, in one frame
    work.keypoints[9, layout.FACE, 1] -= 400
    x1, y1, x2, y2 = backend("echomimicv2").view(work, Options()).box
    assert (y1, y2) == (0, 512) and x2 - x1 == 512


@pytest.mark.parametrize("aside", [-200, 0, 200])
def test_echomimics_square_moves_into_the_picture(aside: int) -> None:
    work = job(30)
    work.keypoints[..., 0] += aside
    work.keypoints[:, :5, 1] += 60  # and smaller than the picture
    work.keypoints[:, layout.FACE, 1] += 60
    x1, y1, x2, y2 = backend("echomimicv2").view(work, Options()).box
    neck = np.nanmean(work.keypoints[:, [5, 6], 0])
    assert 0 <= x1 < neck < x2 <= 512 and x2 - x1 == y2 - y1 < 512
    assert (x1 == 0) == (aside < 0) and (x2 == 512) == (aside > 0)


def test_echomimics_square_stays_about_the_neck_of_a_narrow_picture() -> None:
    work = replace(job(30), picture=np.zeros((512, 300, 3), np.uint8))
    x1, _, x2, _ = backend("echomimicv2").view(work, Options()).box
    assert (x1 + x2) / 2 == pytest.approx(np.nanmean(work.keypoints[:, [5, 6], 0]), abs=1)


def test_every_adapter_can_be_made() -> None:
    assert [backend(name).name for name in BACKENDS] == list(BACKENDS)
