import numpy as np
import pytest

from pipeline.nets.pose.tracker import Tracker, TrackerSettings, pose_similarity
from pipeline.skeleton.layout import K
from tests.pipeline.nets.fakes import upper_body

EVERY = 5


def sight(x: float, y: float = 300, size: float = 100) -> tuple[np.ndarray, np.ndarray]:
    return np.array([x - size / 2, y - size, x + size / 2, y + size, 0.9]), upper_body(x, y, size)


def track(paths: list[dict[int, tuple]], order: int = 1) -> list[list[int]]:
    """Numbers that each person got, in the order of the frames; `paths` maps frame -> (x, y, size)."""
    tracker = Tracker()
    got: list[list[int]] = [[] for _ in paths]
    for frame in sorted({f for p in paths for f in p}):
        who = [i for i, p in enumerate(paths) if frame in p][::order]
        boxes, points = (np.stack(v) for v in zip(*(sight(*paths[i][frame]) for i in who), strict=True))
        for i, number in zip(who, tracker.update(frame, boxes, points, np.ones((len(who), K))), strict=True):
            got[i].append(int(number))
    return got


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("speed", [2.0, 5.0, 9.0])
@pytest.mark.parametrize("gap", [0.0, 40.0])
def test_crossing_people_keep_their_numbers(speed: float, gap: float, order: int) -> None:
    frames = range(0, 200, EVERY)
    left = {f: (600 + speed * (f - 101), 300, 100) for f in frames}
    right = {f: (600 - speed * (f - 101), 300 + gap, 104) for f in frames}
    # Somebody whose skeleton coincides with another's cannot be seen there at all.
    if not gap:
        right = {f: p for f, p in right.items() if abs(p[0] - left[f][0]) > 30}
    a, b = track([left, right], order)
    assert len(set(a)) == len(set(b)) == 1
    assert a[0] != b[0]


@pytest.mark.parametrize(("away", "same"), [(20, True), (60, False)])
def test_short_disappearance(away: int, same: bool) -> None:
    frames = [f for f in range(0, 200, EVERY) if not 80 < f < 80 + away]
    (numbers,) = track([{f: (400 + f * 0.5, 300, 100) for f in frames}])
    assert (len(set(numbers)) == 1) == same


def test_out_of_sight_behind_somebody_and_back_elsewhere() -> None:
    still = dict.fromkeys(range(0, 150, EVERY), (600, 300, 120))
    passing = {f: (400 + 6 * f, 300, 100) for f in range(0, 150, EVERY) if not 25 < f < 45}
    a, b = track([still, passing])
    assert len(set(a)) == len(set(b)) == 1


def test_new_arrivals_and_an_empty_start() -> None:
    tracker = Tracker()
    assert tracker.update(0, np.empty((0, 5)), np.empty((0, K, 2)), np.empty((0, K))).size == 0
    a, b = track([dict.fromkeys(range(0, 100, 5), (200, 300, 100)), dict.fromkeys(range(50, 100, 5), (700, 300, 100))])
    assert set(a) == {0} and set(b) == {1}


def test_two_boxes_on_one_person_are_one() -> None:
    tracker = Tracker()
    box, points = sight(400)
    boxes = np.stack([box, box + np.array([-20, -60, 15, 10, -0.3]), sight(440)[0]])
    poses = np.stack([points, points + 2, sight(440)[1]])
    assert tracker.update(0, boxes, poses, np.ones((3, K))).tolist() == [0, -1, 1]


def test_two_tracks_that_collapse_do_not_both_survive() -> None:
    tracker = Tracker(TrackerSettings(max_gap=10))
    for frame in range(0, 60, 5):
        apart = max(0, 300 - 30 * frame)
        sights = [sight(400), sight(400 + apart)]
        boxes, points = (np.stack(v) for v in zip(*sights, strict=True))
        numbers = tracker.update(frame, boxes, points, np.ones((2, K)))
    assert sorted(numbers.tolist()) == [-1, 0]
    assert tracker.live(frame) == [0]


def test_gestures_do_not_drag_the_expectation_along() -> None:
    tracker = Tracker()
    for frame, wide in ((0, 0), (5, 60), (10, 120)):
        box, points = sight(400)
        box[2] += wide
        assert tracker.update(frame, box[None], points[None], np.ones((1, K))).tolist() == [0]
    assert np.abs(tracker._tracks[0].shift(20)).max() == 0


def test_frames_must_grow() -> None:
    tracker = Tracker()
    nobody = np.empty((0, 5)), np.empty((0, K, 2)), np.empty((0, K))
    tracker.update(5, *nobody)
    with pytest.raises(ValueError, match="frame 5"):
        tracker.update(5, *nobody)


def test_similarity_needs_points_to_compare() -> None:
    a, b = upper_body(0, 0, 100)[None], upper_body(10, 0, 100)[None]
    assert pose_similarity(a, a, np.array([100.0]))[0, 0] == pytest.approx(1)
    assert pose_similarity(a, b, np.array([100.0]))[0, 0] == pytest.approx(np.exp(-0.5))
    b[0, 3:] = np.nan
    assert np.isnan(pose_similarity(a, b, np.array([100.0]))[0, 0])
