"""Prepared nets: what they see is what the released ones see, and a file that is not understood is left alone."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.nets.pose import prepare, simcc
from pipeline.nets.pose.dwpose import PoseNet
from pipeline.nets.pose.factory import open_pose
from pipeline.nets.pose.prepare import detectors, poses
from pipeline.nets.pose.prepare.graph import NotUnderstood
from pipeline.nets.pose.rtmlib_pose import RtmlibPose
from pipeline.nets.pose.yolox import Detector, iou
from pipeline.nets.session import open_session
from pipeline.skeleton.layout import K
from tests.bench.big_nets import PERSON, build_detector
from tests.pipeline.nets.fakes import asset
from tests.pipeline.nets.heat_map_net import with_heat_maps

SIDE = 640
WIDTH, HEIGHT, FEATURES = 36, 48, 8  # of the little pose net's input, and what it makes of it


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A little net of YOLOX's form as released, and prepared."""
    folder = tmp_path_factory.mktemp("nets")
    released = build_detector(folder / "released.onnx", 0.05, (8, 8, 16, 16), SIDE)
    assert detectors.write(released, folder / "prepared.onnx") == ""
    return released, folder / "prepared.onnx"


def little_pose_net(path: Path, batch: int | str = "N", ratio: int = 2) -> Path:
    """Rows that depend on every pixel: products of the crop's planes and random numbers."""
    rng = np.random.default_rng(405)
    size = 3 * HEIGHT * WIDTH
    bins = {"x": WIDTH * ratio, "y": HEIGHT * ratio}
    weights = [numpy_helper.from_array(np.array([0, 1, size], np.int64), "flat")]
    weights.append(numpy_helper.from_array(rng.normal(size=(size, FEATURES)).astype(np.float32), "features"))
    nodes = [
        helper.make_node("Reshape", ["input", "flat"], ["long"]),
        helper.make_node("MatMul", ["long", "features"], ["row"]),
    ]
    outputs = []
    for axis, count in bins.items():
        weights.append(numpy_helper.from_array(rng.normal(size=(FEATURES, K * count)).astype(np.float32), f"w_{axis}"))
        weights.append(numpy_helper.from_array(np.array([0, K, count], np.int64), f"shape_{axis}"))
        nodes.append(helper.make_node("MatMul", ["row", f"w_{axis}"], [f"long_{axis}"]))
        nodes.append(helper.make_node("Reshape", [f"long_{axis}", f"shape_{axis}"], [f"simcc_{axis}"]))
        outputs.append(helper.make_tensor_value_info(f"simcc_{axis}", TensorProto.FLOAT, [batch, K, count]))
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, HEIGHT, WIDTH])
    graph = helper.make_graph(nodes, "little", [source], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), path)
    return path


def pictures(count: int, height: int, width: int) -> list[np.ndarray]:
    return list(np.random.default_rng(3).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("size", "canvas"),
    [
        ((720, 1280), (384, 640)),
        ((1080, 1920), (384, 640)),
        ((1920, 1080), (640, 384)),
        ((600, 600), (640, 640)),
        ((90, 1000), (64, 640)),
        ((576, 720), (512, 640)),
    ],
)
def test_the_canvas_is_the_least_that_holds_the_picture(
    little: tuple[Path, Path], size: tuple[int, int], canvas: tuple[int, int]
) -> None:
    released, prepared = (Detector(open_session(path, threads=1)) for path in little)
    assert prepared.canvas(size) == canvas
    assert released.canvas(size) == (SIDE, SIDE)


@pytest.mark.parametrize("size", [(720, 1280), (640, 640), (800, 600)])
def test_a_prepared_detector_sees_what_the_released_one_sees(little: tuple[Path, Path], size: tuple[int, int]) -> None:
    found = [Detector(open_session(path, threads=1)).detect(pictures(3, *size)) for path in little]
    ratio = min(SIDE / size[0], SIDE / size[1])
    x, y, width, height = (value / ratio for value in PERSON)
    expected = np.clip([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 0, [*size[::-1]] * 2)
    for released, prepared in zip(*found, strict=True):
        np.testing.assert_allclose(released[:, :4], [expected], atol=0.01)
        np.testing.assert_allclose(prepared, released, atol=0.01)


def test_a_prepared_detector_takes_batches_of_one_canvas_each(little: tuple[Path, Path]) -> None:
    net = Detector(open_session(little[1], threads=1), batch=2)
    shapes = []
    run = net._session.run
    net._session = type(
        "Watched",
        (),
        {"run": lambda _, names, feed: shapes.append(next(iter(feed.values())).shape) or run(names, feed)},
    )()
    mixed = [*pictures(3, 360, 640), *pictures(1, 640, 360), *pictures(1, 360, 640)]
    assert [len(boxes) for boxes in net.detect(mixed)] == [1] * 5
    assert shapes == [(2, 384, 640, 3), (1, 384, 640, 3), (1, 640, 384, 3), (1, 384, 640, 3)]


def test_on_a_gpu_batches_are_filled_up(little: tuple[Path, Path], tmp_path: Path) -> None:
    detector = Detector(open_session(little[1], threads=1), batch=8)
    pose_path = tmp_path / "pose.onnx"
    assert poses.write(little_pose_net(tmp_path / "released.onnx"), pose_path) == ""
    pose = PoseNet(open_session(pose_path, threads=1), batch=6)
    alone = [net_result(detector, pose, count) for count in (1, 3, 5)]
    detector._padded = pose._padded = True
    for before, (count, after) in zip(alone, ((n, net_result(detector, pose, n)) for n in (1, 3, 5)), strict=True):
        np.testing.assert_allclose(after[0], before[0], atol=1e-4)
        np.testing.assert_array_equal(after[1], before[1])
        assert len(after[1]) == count


def net_result(detector: Detector, pose: PoseNet, count: int) -> tuple[np.ndarray, np.ndarray]:
    boxes = detector.detect(pictures(count, 360, 640))
    crops = [pose.prepare_crop(picture, (10 * n, 5, 90, 200)) for n, picture in enumerate(pictures(count, 300, 300))]
    return np.concatenate(boxes), pose.run(crops)[0]


def test_the_nano_net_sees_the_same_person_on_a_smaller_canvas(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    released = asset("models/yolox_nano_416.onnx")
    assert detectors.write(released, tmp_path / "nano.onnx") == ""
    with av.open(str(asset("clips/latentsync_demo3.mp4"))) as film:
        picture = next(film.decode(video=0)).to_ndarray(format="rgb24")
    before, after = (Detector(open_session(path)) for path in (released, tmp_path / "nano.onnx"))
    assert after.canvas(picture.shape[:2]) == (416, 256) and after.head == before.head == "raw"
    (old,), (new,) = before.detect([picture]), after.detect([picture])
    assert len(old) == len(new) == 1
    assert iou(old, new)[0, 0] > 0.95
    square = np.ascontiguousarray(picture[400:1480])
    np.testing.assert_allclose(after.detect([square])[0], before.detect([square])[0], atol=0.05)


def test_a_net_whose_size_is_part_of_it_is_left_alone(little: tuple[Path, Path], tmp_path: Path) -> None:
    """Such as the boxes' places on the canvas, which exports with decoded boxes hold."""
    model = onnx.load(little[0])
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 8400, 1), np.float32), "places"))
    model.graph.node[-1].input[0], last = "placed", model.graph.node[-1].input[0]
    model.graph.node.insert(len(model.graph.node) - 1, helper.make_node("Add", [last, "places"], ["placed"]))
    onnx.save(model, tmp_path / "net.onnx")
    reason = detectors.write(tmp_path / "net.onnx", tmp_path / "made.onnx")
    assert "it does not run on" in reason and not (tmp_path / "made.onnx").exists()


def whole_picture(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "GlobalAveragePool"


def endless(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["never"], body=body))


def taken_name(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["images"], ["csg405_pixels"]))


def old(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 10


def huge(model: onnx.ModelProto) -> None:
    for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_value = 1 << 20


def baked(model: onnx.ModelProto) -> None:
    shape = next(node.input[1] for node in model.graph.node if node.op_type == "Reshape")
    tensor = next(one for one in model.graph.initializer if one.name == shape)
    tensor.CopyFrom(numpy_helper.from_array(np.array([1, -1, 85], np.int64), shape))


def two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (whole_picture, "GlobalAveragePool"),
        (endless, "Loop"),
        (taken_name, "names that begin with csg405_"),
        (old, "operator sets"),
        (huge, "a canvas of 1048576"),
        (baked, "Reshape"),
        (two_inputs, "2 inputs"),
    ],
)
def test_what_is_not_understood_is_not_changed(
    little: tuple[Path, Path], change: Callable[[onnx.ModelProto], None], why: str
) -> None:
    model = onnx.load(little[0])
    change(model)
    with pytest.raises(NotUnderstood, match=why):
        detectors.freed(model.SerializeToString())


@pytest.mark.parametrize("canvas", ["", "640", "0x0", "9999x9999", "641x640", "640x640x3", "-32x640"])
def test_a_file_that_lies_about_its_canvas_is_refused(little: tuple[Path, Path], canvas: str) -> None:
    model = onnx.load(little[1])
    [entry] = model.metadata_props
    entry.value = canvas
    with pytest.raises(ValueError, match="a canvas of"):
        Detector(open_session(model.SerializeToString(), threads=1))


@pytest.mark.parametrize(("batch", "ratio"), [("N", 2), ("N", 3), (2, 2)])
def test_a_prepared_pose_net_gives_the_same_points_to_the_bit(tmp_path: Path, batch: int | str, ratio: int) -> None:
    released = little_pose_net(tmp_path / "released.onnx", batch, ratio)
    assert poses.write(released, tmp_path / "prepared.onnx") == ""
    before, after = (PoseNet(open_session(path, threads=1)) for path in (released, tmp_path / "prepared.onnx"))
    boxes = [np.array([[10, 20, 110, 190], [-40, 30, 300, 280]]), np.empty((0, 4)), np.array([[5, 5, 45, 40]])]
    old, new = (net.estimate(pictures(3, 200, 260), boxes) for net in (before, after))
    for (points, scores), (expected, known) in zip(new, old, strict=True):
        np.testing.assert_array_equal(points, expected)
        np.testing.assert_array_equal(scores, known)
    crop, _ = after.prepare_crop(pictures(1, 200, 260)[0], boxes[0][0])
    assert crop.dtype == np.uint8 and crop.shape == (HEIGHT, WIDTH, 3)
    [output] = after._session.get_outputs()
    assert output.shape[1:] == [K, simcc.PEAK_NUMBERS]


def test_the_small_real_pose_net_gives_the_same_points_to_the_bit(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    released = asset("models/lite133.onnx")
    assert prepare.pose(released, tmp_path / "lite133.onnx") == ""
    with av.open(str(asset("clips/csgpage_demo1.mp4"))) as film:
        picture = next(film.decode(video=0)).to_ndarray(format="rgb24")
    before, after = (PoseNet(open_session(path)) for path in (released, tmp_path / "lite133.onnx"))
    boxes = np.array([[29, 21, 478, 495.3], [200, 100, 300, 300]])
    (old,), (new,) = before.estimate([picture], [boxes]), after.estimate([picture], [boxes])
    np.testing.assert_array_equal(new[0], old[0])
    np.testing.assert_array_equal(new[1], old[1])


def test_rows_of_every_kind_have_the_same_peaks_in_the_graph(tmp_path: Path) -> None:
    """Edges, plateaus, flat rows and nothing, through the nodes alone."""
    bins = {"x": 2 * WIDTH, "y": 2 * HEIGHT}
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, HEIGHT, WIDTH])
    rng = np.random.default_rng(1)
    answers = {axis: np.round(rng.normal(size=(1, K, count)), 0).astype(np.float32) for axis, count in bins.items()}
    for axis in bins:
        answers[axis][0, 0] = 0.5
        answers[axis][0, 1, [0, -1]] = 9, 8
        answers[axis][0, 2, [0, -1]] = 8, 9
        answers[axis][0, 3] = -0.3
        answers[axis][0, 4, [0, 1]] = 9
        answers[axis][0, 5, [-2, -1]] = 9
    weights = [numpy_helper.from_array(value, f"answer_{axis}") for axis, value in answers.items()]
    weights.append(numpy_helper.from_array(np.array(0, np.float32), "nothing"))
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Unsqueeze", ["zero"], ["zeros"], axes=[1, 2]),
        *(helper.make_node("Add", ["zeros", f"answer_{axis}"], [f"simcc_{axis}"]) for axis in bins),
    ]
    outputs = [helper.make_tensor_value_info(f"simcc_{a}", TensorProto.FLOAT, ["N", K, n]) for a, n in bins.items()]
    graph = helper.make_graph(nodes, "rows", [source], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    made, _ = poses.with_peaks(model.SerializeToString())
    session = open_session(made.SerializeToString(), threads=1)
    [peaks] = session.run(None, {"csg405_pixels": np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)})
    points, scores = simcc.decode_peaks(peaks)
    expected, known = simcc.decode_simcc(answers["x"], answers["y"])
    np.testing.assert_array_equal(points, expected)
    np.testing.assert_array_equal(scores, known)
    assert points[0, 1].tolist() == [0, 0] and points[0, 2].tolist() == [WIDTH - 0.5, HEIGHT - 0.5]


def test_heat_maps_and_other_outputs_are_left_alone(tmp_path: Path) -> None:
    from pipeline.theatre import build_nets

    nets = build_nets(tmp_path)
    heat = with_heat_maps(nets["pose"], tmp_path / "heat.onnx")
    reason = poses.write(heat, tmp_path / "made.onnx")
    assert reason.startswith("outputs of") and not (tmp_path / "made.onnx").exists()
    uneven = onnx.load(little_pose_net(tmp_path / "pose.onnx"))
    uneven.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 77
    with pytest.raises(NotUnderstood, match="bins for 36 x 48 pixels"):
        poses.with_peaks(uneven.SerializeToString())


def never_done(source: Path, target: Path) -> str:
    """In place of `poses.write`, where the net that it runs does not end."""
    time.sleep(600)
    return f"{source} {target}"


def test_a_net_that_takes_too_long_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The net is run to be compared, in a process that is ended in time."""
    monkeypatch.setattr(prepare.poses, "write", never_done)
    source = little_pose_net(tmp_path / "net.onnx")
    assert prepare.pose(source, tmp_path / "made.onnx", seconds=0.01).startswith("stopped after 0.01 s")


def test_files_that_are_no_nets_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no net")
    assert "not an ONNX model" in prepare.detector(tmp_path / "net.onnx", tmp_path / "made.onnx")


def test_rtmlib_gets_the_released_file(tmp_path: Path) -> None:
    pytest.importorskip("rtmlib")
    released = little_pose_net(tmp_path / "released.onnx")
    assert poses.write(released, tmp_path / "prepared.onnx") == ""
    net = open_pose(tmp_path / "prepared.onnx", threads=1, backend="rtmlib", released=released)
    assert isinstance(net, RtmlibPose)
    points, _ = net.run([net.prepare_crop(pictures(1, 200, 260)[0], (10, 20, 110, 190))])
    assert points.shape == (1, K, 2)
