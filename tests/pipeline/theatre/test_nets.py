"""What the nets find in encoded puppets, against truth, through the pipeline's own detector and pose code."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from pipeline.media.video import GridReader
from pipeline.nets.pose.dwpose import PoseNet
from pipeline.nets.pose.yolox import Detector
from pipeline.nets.session import open_session
from pipeline.theatre import Film, Truth, build_nets, take_named
from pipeline.theatre.coding import write_film

REGIONS = {"body": slice(0, 13), "face": slice(23, 71), "mouth": slice(71, 91), "hands": slice(91, 133)}
SEEN = 0.3


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_nets(tmp_path_factory.mktemp("nets"))


@pytest.fixture(scope="session")
def detector(nets: dict[str, Path]) -> Detector:
    return Detector(open_session(nets["detector"], threads=1))


@pytest.fixture(scope="session")
def pose(nets: dict[str, Path]) -> PoseNet:
    return PoseNet(open_session(nets["pose"], threads=1))


def _decoded(name: str, seconds: float, folder: Path) -> tuple[list[np.ndarray], Truth]:
    """Pictures of the start of a take, after encoding, and their truth."""
    film = Film(take_named(name), seconds=seconds)
    path = folder / film.take.file
    write_film(film, path)
    with GridReader(path) as reader:
        return [frame.pixels for frame in reader], film.truth()


def test_signatures_and_footage(nets: dict[str, Path], detector: Detector, pose: PoseNet) -> None:
    assert detector.head == "raw" and detector.size == (640, 640)
    assert (pose.width, pose.height) == (288, 384)
    for path in nets.values():
        model = onnx.load(path)
        assert {item.key: item.value for item in model.metadata_props}["csg405.footage"] == "theatre"


def test_nets_are_the_same_every_time(nets: dict[str, Path], tmp_path: Path) -> None:
    again = build_nets(tmp_path)
    for kind, path in nets.items():
        assert path.read_bytes() == again[kind].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["talk-1", "talk-vfr"])
def test_precision_per_region(name: str, detector: Detector, pose: PoseNet, tmp_path: Path) -> None:
    pictures, truth = _decoded(name, 2.0, tmp_path)
    chosen = range(0, len(pictures), 4)
    boxes = detector.detect([pictures[n] for n in chosen])
    assert [len(found) for found in boxes] == [1] * len(boxes)
    found = pose.estimate([pictures[n] for n in chosen], boxes)
    points, scores = np.stack([f[0][0] for f in found]), np.stack([f[1][0] for f in found])
    to_crop = 512 / (3.3 * truth.unit[0, list(chosen)])[:, None]
    error = np.linalg.norm(points - truth.keypoints[0, list(chosen)], axis=-1) * to_crop
    for region, part in REGIONS.items():
        good = scores[:, part] > SEEN
        assert good.mean() > 0.95, region
        assert np.median(error[:, part][good]) <= 0.4, region
        assert np.percentile(error[:, part][good], 95) <= 1.0, region


def test_two_people_are_kept_apart(detector: Detector, pose: PoseNet, tmp_path: Path) -> None:
    pictures, truth = _decoded("duo", 1.2, tmp_path)
    for n in range(0, len(pictures), 5):
        boxes = detector.detect([pictures[n]])[0]
        assert len(boxes) == 2
        boxes = boxes[np.argsort(boxes[:, 0])]
        points, scores = pose.estimate([pictures[n]], [boxes])[0]
        error = np.linalg.norm(points - truth.keypoints[:, n], axis=-1)
        assert error[scores > SEEN].max() < 12
        assert (scores[:, :13] > SEEN).mean() > 0.9


def test_boxes_enclose_the_upper_body(detector: Detector) -> None:
    film = Film(take_named("shots"))
    truth = film.truth()
    for n in (0, 60, 200, 400):
        x1, y1, x2, y2 = detector.detect([film.picture(n)[..., ::-1]])[0][0, :4]
        person = int(np.flatnonzero(np.isfinite(truth.keypoints[:, n, 0, 0]))[0])
        body = np.delete(truth.keypoints[person, n], np.r_[13:23], axis=0)
        assert x1 < body[:, 0].min() and x2 > body[:, 0].max()
        assert y1 < body[:, 1].min() and y2 > body[:, 1].max()


@pytest.mark.parametrize("room", ["empty", "talk-1", "mute", "silent", "hands-out"])
def test_an_empty_room_holds_nobody(room: str, detector: Detector) -> None:
    from pipeline.theatre.backdrop import backdrop

    assert len(detector.detect([backdrop(take_named(room).shots[0].room)[..., ::-1]])[0]) == 0


def test_no_person_no_score(pose: PoseNet) -> None:
    grey = np.full((720, 1280, 3), 128, np.uint8)
    _, scores = pose.estimate([grey], [[[400, 100, 800, 700]]])[0]
    assert scores.max() < 0.1


def test_from_behind_there_is_no_face(detector: Detector, pose: PoseNet) -> None:
    picture = Film(take_named("back"), seconds=0.2).picture(2)[..., ::-1]
    points, scores = pose.estimate([picture], detector.detect([picture]))[0]
    assert scores[0, 23:91].max() < 0.1 and scores[0, 0] < 0.1
    assert scores[0, 5:7].min() > SEEN
    assert points[0, 5, 0] < points[0, 6, 0]


def test_outputs_have_sub_pixel_tops(nets: dict[str, Path]) -> None:
    session = open_session(nets["pose"], threads=1)
    film = Film(take_named("talk-1"), seconds=0.2)
    picture = np.ascontiguousarray(film.picture(1)[..., ::-1])
    crop, _ = PoseNet(session).prepare_crop(picture, [400, 90, 880, 690])
    simcc_x, simcc_y = session.run(None, {"input": np.stack([crop, crop])})
    assert simcc_x.shape == (2, 133, 576) and simcc_y.shape == (2, 133, 768)
    row = simcc_x[0, 5]
    top = int(row.argmax())
    assert 3 < (row > 0).sum() < 18 and row[top] > 0.9 and row[top - 1] > 0.8
