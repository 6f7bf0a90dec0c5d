"""Similarities that bring a reference into the model's frame, the letterbox, and what is said of a reference that is off."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.skeleton import layout
from pipeline.skeleton.align import (
    INLIER,
    NEEDED,
    SLACK,
    STABLE,
    Similarity,
    align_motion,
    check,
    compare,
    fit,
    letterbox,
)
from pipeline.skeleton.crop import map_points
from pipeline.theatre import planted
from tests.pipeline.skeleton.people import person

WIDTH, NECK = 117.0, (256.0, 230.0)
FRAMING = np.array([[95.0, WIDTH, 140.0], [240.0, 256.0, 272.0], [215.0, 230.0, 245.0]])

similarities = st.builds(
    Similarity,
    st.floats(0.1, 10),
    st.floats(-np.pi, np.pi),
    st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000)),
)


def body(width: float = WIDTH, x: float = NECK[0], y: float = NECK[1], tilt_degrees: float = 0.0) -> np.ndarray:
    """(133, 2) of somebody upright, turned in the picture about the neck, clockwise."""
    points = person(1, width, x, y)[0][0]
    cos, sin = np.cos(np.radians(tilt_degrees)), np.sin(np.radians(tilt_degrees))
    return (points - [x, y]) @ np.array([[cos, sin], [-sin, cos]]) + [x, y]


def scattered(seed: int = 0) -> np.ndarray:
    """(133, 2) without any symmetry."""
    return np.random.default_rng(seed).uniform(0, 512, (layout.K, 2))


def test_a_quarter_turn_is_clockwise_in_a_picture() -> None:
    quarter = Similarity(2.0, np.pi / 2, (10.0, 20.0))
    np.testing.assert_allclose(quarter.apply(np.array([[1.0, 0.0], [0.0, 1.0]])), [[10, 22], [8, 20]], atol=1e-12)


@given(similarities, st.integers(0, 1000))
def test_a_similarity_is_a_complex_number_and_its_inverse_undoes_it(there: Similarity, seed: int) -> None:
    points = scattered(seed)
    plane = there.scale * np.exp(1j * there.angle) * (points @ [1, 1j]) + complex(*there.shift)
    np.testing.assert_allclose(there.apply(points) @ [1, 1j], plane, atol=1e-6)
    np.testing.assert_allclose(there.inverse().apply(there.apply(points)), points, atol=1e-6)
    np.testing.assert_allclose(there.apply(there.inverse().apply(points)), points, atol=1e-6)


def test_points_that_are_not_seen_stay_unseen() -> None:
    points = np.array([[1.0, np.nan], [3.0, 4.0]])
    found = Similarity(2.0, 0.0, (1.0, 1.0)).apply(points)
    assert not layout.seen(found)[0]
    np.testing.assert_allclose(found[1], [7, 9])


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (512, 512), (333, 1000), (40, 31)])
def test_the_letterbox_maps_centre_and_corners(size: tuple[int, int]) -> None:
    """Pixel x covers [x - 0.5, x + 0.5] of these coordinates, so a picture reaches from -0.5 to its side less 0.5."""
    width, height = size
    into = letterbox(width, height)
    scale = 512 / max(size)
    left, top = (512 - scale * width) / 2, (512 - scale * height) / 2
    picture = np.array([[(width - 1) / 2, (height - 1) / 2], [-0.5, -0.5], [width - 0.5, height - 0.5]])
    square = [[255.5, 255.5], [left - 0.5, top - 0.5], [511.5 - left, 511.5 - top]]
    np.testing.assert_allclose(into.apply(picture), square, atol=1e-9)


def test_the_letterbox_is_that_of_the_training_crops() -> None:
    points = scattered() * 2
    for width, height in ((1280, 720), (600, 1000)):
        np.testing.assert_allclose(
            letterbox(width, height).apply(points), map_points(points, (0, 0, width, height)), atol=1e-9
        )


PLANTED = [Similarity(0.7, 0.0, (0.0, 0.0)), Similarity(2.6, 0.3, (-400.0, 90.0)), Similarity(0.2, -2.0, (700.0, 33.0))]


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("wrong", [(), (layout.LEFT_HIP, layout.RIGHT_HIP), (layout.NOSE, layout.RIGHT_SHOULDER)])
def test_a_planted_similarity_is_found_exactly_whatever_two_points_say(
    planted: Similarity, wrong: tuple[int, ...]
) -> None:
    target = body()
    points = planted.inverse().apply(target)
    for number, k in enumerate(wrong):
        points[k] += np.array([3.0, -2.0 - number]) * WIDTH / planted.scale
    points[layout.LEFT_HAND] += 1000  # hands, elbows and wrists gesture: they take no part
    points[7:11] -= 500
    found = fit(points, target)
    assert found is not None
    assert found.scale == pytest.approx(planted.scale, rel=1e-6)
    assert np.angle(np.exp(1j * (found.angle - planted.angle))) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(found.shift, planted.shift, atol=1e-3)


def test_the_fit_is_the_best_in_least_squares_over_the_points_that_agree() -> None:
    target = body()
    points = target + np.random.default_rng(1).normal(0, 2, target.shape)
    points[layout.LEFT_HIP] += 5 * INLIER * WIDTH
    found = fit(points, target)
    assert found is not None
    agreeing = [k for k in STABLE if k != layout.LEFT_HIP]

    def cost(there: Similarity) -> float:
        """The five points of the head have one say together."""
        errors = ((there.apply(points[agreeing]) - target[agreeing]) ** 2).sum(-1)
        return float(errors[:5].sum() / 5 + errors[5:].sum())

    least = cost(found)
    assert 0 < least < 100
    for turned in (-1e-3, 0, 1e-3):
        for grown in (-1e-3, 0, 1e-3):
            for x, y in ((0, 0), (0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05)):
                other = Similarity(
                    found.scale * (1 + grown), found.angle + turned, (found.shift[0] + x, found.shift[1] + y)
                )
                assert cost(other) >= least


def test_a_leaning_head_is_fitted_by_the_body() -> None:
    """Speakers of other proportions, heads that wander: shoulders and neck come to where the mean of others has them."""
    others = np.concatenate([planted.pair(planted.speaker(n), 5, [n]).keypoints for n in range(12)])
    others -= others[:, [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]].mean(1, keepdims=True)
    target = others.mean(0) + NECK
    wide = np.linalg.norm(target[layout.LEFT_SHOULDER] - target[layout.RIGHT_SHOULDER])
    for number in range(12, 32):
        for points in planted.pair(planted.speaker(number), 5, [number]).keypoints[::40]:
            found = fit(points * 1.7 + [150, -40], target)
            assert found is not None
            left, right = found.apply(points * 1.7 + [150, -40])[[layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]]
            assert np.linalg.norm(left - right) == pytest.approx(wide, rel=0.15)
            assert np.linalg.norm((left + right) / 2 - NECK) < 0.15 * wide
            assert abs(np.degrees(found.angle)) < 6


@pytest.mark.parametrize("lacking", ["points", "target"])
def test_fewer_than_four_stable_points_are_no_fit(lacking: str) -> None:
    given = {"points": body() * 1.5, "target": body()}
    order = [5, 6, 0, 11, 12, 1, 2, 3, 4]  # shoulders stay longest
    given[lacking][order[NEEDED:]] = np.nan
    found = fit(given["points"], given["target"])
    assert found is not None and found.scale == pytest.approx(1 / 1.5, rel=1e-6)
    given[lacking][order[NEEDED - 1]] = np.nan
    assert fit(given["points"], given["target"]) is None


def test_an_ordinary_reference_is_not_warned_of() -> None:
    found = check(body(), FRAMING)
    assert found.warnings == ()
    assert found.shoulders == pytest.approx(WIDTH) and found.neck == pytest.approx(NECK)
    assert found.scale == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("points", "said", "scale"),
    [
        (body(0.7 * WIDTH), "shoulder width 82 px, in training 95 to 140", 0.7),
        (body(1.4 * WIDTH), "shoulder width 164 px, in training 95 to 140", 1.4),
        (body(x=406), "neck x 406 px, in training 240 to 272", 1.0),
        (body(x=106), "neck x 106 px, in training 240 to 272", 1.0),
        (body(y=380), "neck y 380 px, in training 215 to 245", 1.0),
        (body(y=80), "neck y 80 px, in training 215 to 245", 1.0),
        (body(tilt_degrees=25), "shoulders tilted by 25 degrees", 1.0),
        (body(tilt_degrees=-40), "shoulders tilted by 40 degrees", 1.0),
        (body()[layout.MIRROR], "left and right shoulder are swapped: seen from behind, or mirrored", 1.0),
    ],
)
def test_what_is_off_is_told_with_numbers(points: np.ndarray, said: str, scale: float) -> None:
    found = check(points, FRAMING)
    assert found.warnings == (said,)
    assert found.scale == pytest.approx(scale)


def test_everything_that_is_off_is_told_at_once() -> None:
    assert len(check(body(0.7 * WIDTH, 406, 80, 25), FRAMING).warnings) == 4


@pytest.mark.parametrize(("beyond", "warned"), [(0.9 * SLACK, 0), (1.1 * SLACK, 1)])
def test_a_little_beyond_training_passes(beyond: float, warned: int) -> None:
    """The slack is a share of the usual shoulder width, for width and places alike."""
    for points in (
        body(95 - beyond * WIDTH),
        body(140 + beyond * WIDTH),
        body(x=272 + beyond * WIDTH),
        body(y=215 - beyond * WIDTH),
        body()[layout.MIRROR] if warned else body(tilt_degrees=15),
    ):
        assert len(check(points, FRAMING).warnings) == warned


@pytest.mark.parametrize("shoulder", [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER])
def test_without_a_shoulder_there_is_no_saying_how_large_a_body_is(shoulder: int) -> None:
    points = body()
    points[shoulder] = np.nan
    with pytest.raises(ValueError, match="no shoulders: take a picture of the upper body"):
        check(points, FRAMING)


def moving(seed: int = 1) -> np.ndarray:
    """(F, 133, 2) of somebody speaking."""
    return planted.pair(planted.speaker(seed), 5.0, [seed]).keypoints.astype(float)


def placed(points: np.ndarray, scale: float, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
    return (points - NECK) * scale + NECK + [dx, dy]


def test_a_motion_that_lies_on_the_person_is_passed() -> None:
    motion = moving()
    found = compare(motion, motion[0])
    assert found.warnings == () and found.frame == 0
    assert found.scale == pytest.approx(1) and found.distance == pytest.approx(0)
    assert compare(motion, motion[60]).warnings == (), "another moment of the same clip is no misplacement"


@pytest.mark.parametrize(
    ("scale", "dx", "dy", "said"),
    [
        (0.7, 0, 0, "0.70 times the size"),
        (1.4, 0, 0, "1.40 times the size"),
        (1.0, 150, 0, "shoulder widths away from the person in the picture, +150 px in x, +0 px in y"),
        (1.0, 0, -90, "+0 px in x, -90 px in y"),
        (0.7, 60, 40, "0.70 times the size"),
        (1.05, 5, 5, ""),
    ],
)
def test_a_motion_that_is_off_is_told_and_mended(scale: float, dx: float, dy: float, said: str) -> None:
    motion = moving()
    off = placed(motion, scale, dx, dy)
    found = compare(off, motion[0])
    assert (said in " ".join(found.warnings)) if said else found.warnings == ()
    assert found.scale == pytest.approx(scale, abs=1e-6)
    mended, applied = align_motion(off, motion[0])
    assert applied is not None and applied.scale == pytest.approx(1 / scale) and applied.angle == 0
    np.testing.assert_allclose(mended, motion, atol=1e-6)
    assert compare(mended, motion[0]).warnings == ()


def test_mending_does_not_lean_a_motion_over() -> None:
    tilted = body(tilt_degrees=12)
    _, applied = align_motion(np.tile(body(0.7 * WIDTH), (3, 1, 1)), tilted)
    assert applied is not None and applied.angle == 0
    assert applied.scale == pytest.approx(1 / 0.7, rel=0.05)


def test_an_arm_over_the_head_or_a_lost_hip_does_not_misplace_a_motion() -> None:
    motion = moving()
    off = placed(motion, 0.7, 30, 10)
    off[:, layout.LEFT_WRIST] -= [0, 200]
    off[:, layout.LEFT_HIP] += [80, 40]
    mended, _ = align_motion(off, motion[0])
    kept = [k for k in range(layout.K) if k not in (layout.LEFT_WRIST, layout.LEFT_HIP)]
    np.testing.assert_allclose(mended[:, kept], motion[:, kept], atol=6)


def test_a_head_alone_cannot_be_fitted_and_says_so() -> None:
    motion = moving()
    head = motion[0].copy()
    head[layout.LEFT_SHOULDER : layout.FACE.start] = np.nan
    found = compare(motion, head)
    assert len(found.warnings) == 1 and "no shoulders" in found.warnings[0] and np.isnan(found.scale)
    same, applied = align_motion(motion, head)
    assert applied is None and same is motion


def test_the_first_frame_that_shows_shoulders_counts() -> None:
    motion = moving()
    motion[:4, layout.RIGHT_SHOULDER] = np.nan
    assert compare(motion, motion[10]).frame == 4
    motion[:, layout.RIGHT_SHOULDER] = np.nan
    found = compare(motion, body())
    assert found.frame == -1 and "both shoulders" in found.warnings[0]
    assert align_motion(motion, body())[1] is None
