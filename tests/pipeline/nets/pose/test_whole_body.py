import weakref
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from pipeline.nets.pose.dwpose import PoseNet
from pipeline.nets.pose.whole_body import AnnotationSettings, annotate_frames, face_sharpness
from pipeline.nets.pose.yolox import Detector
from pipeline.nets.session import open_session
from pipeline.skeleton import layout
from pipeline.skeleton.layout import K
from tests.pipeline.nets.fakes import asset, upper_body

SIZE = 60
Path = dict[int, tuple[float, float]]


class Stage:
    """A stage whose people are known: it makes the frames, and plays both nets, which read the frame's number from a pixel."""

    def __init__(self, people: list[Path], batch: int = 4, blind: set[tuple[int, int]] | None = None) -> None:
        self.people, self.batch, self.blind = people, batch, blind or set()
        self.lanes = 1
        self.batches: list[int] = []
        self.posed: list[int] = []

    def frames(self, count: int) -> Iterator[tuple[int, np.ndarray]]:
        for n in range(count):
            picture = np.full((200, 400, 3), 80, np.uint8)
            picture[0, 0] = (*divmod(n, 256), 0)
            yield n, picture

    @staticmethod
    def number(picture: np.ndarray) -> int:
        return int(picture[0, 0, 0]) * 256 + int(picture[0, 0, 1])

    def detect(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        found = []
        for picture in pictures:
            n = self.number(picture)
            here = [p[n] for i, p in enumerate(self.people) if n in p and (i, n) not in self.blind]
            rows = [[x - SIZE / 2, y - SIZE, x + SIZE / 2, y + SIZE, 0.9] for x, y in here]
            found.append(np.array(rows, np.float32).reshape(-1, 5))
        return found

    def prepare_crop(self, picture: np.ndarray, box: np.ndarray):
        return np.array([self.number(picture), *box[:4]]), None

    def run(self, crops: list) -> tuple[np.ndarray, np.ndarray]:
        self.batches.append(len(crops))
        points, scores = np.full((len(crops), K, 2), np.nan, np.float32), np.zeros((len(crops), K), np.float32)
        for row, (crop, _) in enumerate(crops):
            n, middle = int(crop[0]), (crop[1] + crop[3]) / 2
            self.posed.append(n)
            near = [p[n] for p in self.people if n in p and abs(p[n][0] - middle) < SIZE / 2]
            if near:
                x, y = min(near, key=lambda place: abs(place[0] - middle))
                points[row], scores[row] = upper_body(x, y, SIZE), 0.9
        return points, scores


def walk(first: int, stop: int, x: float, speed: float = 0.0, y: float = 100) -> Path:
    return {n: (x + speed * (n - first), y) for n in range(first, stop)}


def test_everybody_is_found_in_every_frame() -> None:
    stage = Stage([walk(0, 57, 300, -2), walk(0, 57, 60, 1.5)])
    people = annotate_frames(stage.frames(57), stage, stage)
    assert [p.person for p in people] == [0, 1]
    for person, path in zip(people, stage.people[::-1], strict=True):
        assert person.seen.all()
        expected = np.stack([upper_body(*path[n], SIZE) for n in range(57)])
        np.testing.assert_allclose(person.keypoints, expected, atol=1e-3)
        np.testing.assert_allclose(person.boxes[:, 0], expected[:, 0, 0] - SIZE / 2, atol=0.01)
        assert person.scores.dtype == person.keypoints.dtype == np.float32


class Holds(Stage):
    """A stage that shows a picture as long as its frames repeat it, and people where they were when it was taken."""

    def __init__(self, people: list[Path], repeats: set[int]) -> None:
        super().__init__(people)
        self.repeats = repeats

    def shown(self, n: int) -> int:
        return n if n not in self.repeats else self.shown(n - 1)

    def frames(self, count: int) -> Iterator[tuple[int, np.ndarray]]:
        pictures = dict(super().frames(count))
        yield from ((n, pictures[self.shown(n)]) for n in range(count))


def test_frames_of_one_picture_have_one_box_and_one_pose() -> None:
    stage = Holds([walk(0, 41, 100, 2, y=150)], {1, 3, 4, 16, 22})  # people are looked for in 16
    (person,) = annotate_frames(stage.frames(41), stage, stage, repeats=stage.repeats)
    truth = np.stack([upper_body(100 + 2 * stage.shown(n), 150, SIZE) for n in range(41)])
    np.testing.assert_allclose(person.keypoints, truth, atol=1e-3)
    np.testing.assert_allclose(person.boxes[:, 0], [100 + 2 * stage.shown(n) - SIZE / 2 for n in range(41)], atol=0.01)
    assert person.seen.all() and sorted(stage.posed) == sorted({stage.shown(n) for n in range(41)})


@pytest.mark.parametrize(("held", "step"), [(2, 5), (5, 15), (5, 20), (8, 30), (12, 30), (25, 30)])
def test_somebody_who_jumps_from_picture_to_picture_has_the_pose_of_each(held: int, step: int) -> None:
    """Slow films: a box between two pictures lies where nobody is, so pictures in which people were looked for have theirs."""
    walks = {n: (100.0 + abs(step * (n // held) % 240 - 120), 150.0) for n in range(100)}
    stage = Holds([walks], {n for n in range(100) if n % held})
    (person,) = annotate_frames(stage.frames(100), stage, stage, repeats=stage.repeats)
    truth = np.stack([upper_body(*walks[n], SIZE) for n in range(100)])
    looked_for = {stage.shown(n) for n in (*range(0, 100, 8), 99)}
    sure = [n for n in range(100) if stage.shown(n) in looked_for]
    np.testing.assert_allclose(person.keypoints[sure], truth[sure], atol=1e-3)
    assert len(stage.posed) == len({stage.shown(n) for n in range(100)})


def test_who_comes_or_goes_within_a_held_picture() -> None:
    """The one who is undetected in the first look at a picture is not looked for again while it is held."""
    stage = Holds([walk(0, 60, 100), walk(20, 60, 300)], set(range(21, 45)))
    first, second = annotate_frames(stage.frames(60), stage, stage, repeats=stage.repeats)
    assert first.seen.all() and not second.seen[:20].any() and second.seen[24:].all()


def test_several_lanes_change_nothing() -> None:
    results = []
    for lanes in (1, 3):
        stage = Stage([walk(0, 90, 300, -2), walk(13, 70, 60, 1.5)], batch=3)
        stage.lanes = lanes
        results.append(annotate_frames(stage.frames(90), stage, stage, workers=3))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        np.testing.assert_array_equal(a.boxes, b.boxes)


@pytest.mark.parametrize("count", [1, 2, 5, 6, 20, 21, 22, 41])
def test_any_number_of_frames(count: int) -> None:
    stage = Stage([walk(0, count, 100)])
    (person,) = annotate_frames(stage.frames(count), stage, stage)
    assert person.keypoints.shape == (count, K, 2) and person.seen.all()
    assert sorted(stage.posed) == list(range(count)), "each frame once"


def test_nobody_no_skeleton() -> None:
    stage = Stage([])
    assert annotate_frames(stage.frames(30), stage, stage) == []
    assert annotate_frames(stage.frames(0), stage, stage) == []
    assert stage.posed == []


def test_arrivals_and_leavings_are_nan_elsewhere() -> None:
    stage = Stage([walk(0, 60, 100), walk(20, 41, 300)])
    people = annotate_frames(stage.frames(60), stage, stage, AnnotationSettings(detect_every=5))
    assert np.flatnonzero(people[1].seen).tolist() == list(range(20, 41))
    assert np.isnan(people[1].keypoints[~people[1].seen]).all()
    assert (people[1].scores[~people[1].seen] == 0).all()


def test_missed_detections_are_bridged_by_the_pose_across_groups() -> None:
    blind = {(0, n) for n in range(11, 29)}
    stage = Stage([walk(0, 60, 100, 0.5)], blind=blind)
    (person,) = annotate_frames(stage.frames(60), stage, stage)
    assert person.seen.all()
    gone = Stage([{n: p for n, p in walk(0, 60, 100).items() if not 11 <= n < 29}])
    (person,) = annotate_frames(gone.frames(60), gone, gone)
    assert not person.seen[12:28].any(), "where the pose finds nobody either, nobody is"


def test_crossing_people_stay_themselves() -> None:
    stage = Stage([walk(0, 81, 40, 4), walk(0, 81, 362, -4, y=112)], batch=3)
    people = annotate_frames(stage.frames(81), stage, stage)
    assert len(people) == 2
    assert people[0].keypoints[80, 0, 0] > 300 and people[1].keypoints[80, 0, 0] < 100
    both = people[0].seen & people[1].seen
    assert not (np.abs(people[0].keypoints[both, 0] - people[1].keypoints[both, 0]).max(-1) < 1).any()


def test_batches_are_full() -> None:
    stage = Stage([walk(0, 121, 100), walk(0, 121, 300)], batch=8)
    annotate_frames(stage.frames(121), stage, stage, AnnotationSettings(detect_every=5))
    assert sum(stage.batches) == 242
    # Only the first group, which has one frame to offer, and the last are allowed to fall short.
    assert sum(size < 8 for size in stage.batches) <= 2


def test_a_single_false_alarm_is_nobody() -> None:
    stage = Stage([walk(0, 60, 100), {25: (300, 100)}])
    assert len(annotate_frames(stage.frames(60), stage, stage)) == 1


def test_a_crowd_is_bounded() -> None:
    stage = Stage([walk(0, 11, 30 + 40 * i) for i in range(9)])
    people = annotate_frames(stage.frames(11), stage, stage, AnnotationSettings(max_persons=3))
    assert len(people) == 3


def test_frames_are_let_go_of() -> None:
    alive: set[int] = set()
    most = 0

    def frames() -> Iterator[tuple[int, np.ndarray]]:
        nonlocal most
        for n, picture in stage.frames(300):
            alive.add(n)
            weakref.finalize(picture, alive.discard, n)
            most = max(most, len(alive))
            yield n, picture

    stage = Stage([walk(0, 300, 100), walk(0, 33, 300)])
    annotate_frames(frames(), stage, stage)
    assert most <= 20 + 20 + 25 + 5


def test_errors_come_through() -> None:
    stage = Stage([walk(0, 90, 100)])
    with pytest.raises(ValueError, match="frame 3"):
        annotate_frames(((n + 3, p) for n, p in stage.frames(9)), stage, stage)

    def broken(crops: list) -> None:
        raise RuntimeError("the net broke")

    stage.run = broken
    with pytest.raises(RuntimeError, match="the net broke"):
        annotate_frames(stage.frames(90), stage, stage)


def test_sharpness_falls_with_blur_and_not_with_size() -> None:
    rng = np.random.default_rng(0)
    face = cv2.resize(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8), (192, 192), interpolation=cv2.INTER_CUBIC)
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[100:292, 100:292] = face
    keypoints, scores = np.full((K, 2), np.nan, np.float32), np.ones(K, np.float32)
    keypoints[layout.FACE] = rng.uniform(100, 291, (68, 2))
    keypoints[23:25] = [[100, 100], [291, 291]]
    sharp = face_sharpness(picture, keypoints, scores)
    blurred = face_sharpness(cv2.GaussianBlur(picture, (0, 0), 6), keypoints, scores)
    small = face_sharpness(
        cv2.resize(picture, (200, 200), interpolation=cv2.INTER_AREA), (keypoints + 0.5) / 2 - 0.5, scores
    )
    assert blurred < 0.2 * sharp
    assert small == pytest.approx(sharp, rel=0.4)
    assert np.isnan(face_sharpness(picture, keypoints, scores * 0.1))


def test_real_nets_on_a_real_speaker() -> None:
    av = pytest.importorskip("av")
    detector = Detector(open_session(asset("models/yolox_nano_416.onnx")))
    pose = PoseNet(open_session(asset("models/lite133.onnx")), batch=8)

    def frames() -> Iterator[tuple[int, np.ndarray]]:
        with av.open(str(asset("clips/csgpage_demo1.mp4"))) as container:
            for n, frame in zip(range(12), container.decode(video=0), strict=False):
                yield n, frame.to_ndarray(format="rgb24")

    (person,) = annotate_frames(frames(), detector, pose)
    assert person.seen.all()
    assert np.median(person.scores[:, layout.LEFT_HAND]) > 0.5
    assert np.abs(np.diff(person.keypoints[:, layout.NOSE], axis=0)).max() < 15
    assert (person.face_sharpness > 50).all()
