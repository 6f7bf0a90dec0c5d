"""What may run in half precision: nets whose points stay where they are, on pictures that are always the same."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.nets import card
from pipeline.nets.pose import half
from pipeline.nets.pose.half import pictures, trial
from pipeline.nets.pose.half.trial import Kind, judged
from pipeline.nets.session import DeviceMissing
from pipeline.skeleton.layout import K
from tests.bench.big_nets import build_detector, build_pose_net

FEW = 6  # pictures, which are enough here


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "COUNT", FEW)
    monkeypatch.setattr(trial, "_FEWEST", {"detector": 2 * FEW, "pose": 400})


def unsteady(path: Path, shape: tuple[int, ...] = (0, 1, 1)) -> Path:
    """A pose net whose first convolution differs from 1 by less than half precision can say; the second one looks at that alone.

    `shape`: to which the means of its rows are brought, of which a wrong one is found at a run alone.
    """
    rng = np.random.default_rng(405)
    first = 1 + 1e-4 * rng.uniform(-1, 1, (2, 3, 1, 1))
    second = np.array([[1.0], [-1.0]]).reshape(1, 2, 1, 1) * 1e4
    bins = {"x": 32 * 2, "y": 48 * 2}
    weights = {"first": first, "second": second, "size": np.array(shape)}
    nodes = [
        helper.make_node("Conv", ["input", "first"], ["a"], kernel_shape=[1, 1]),
        helper.make_node("Conv", ["a", "second"], ["b"], kernel_shape=[1, 1]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Reshape", ["c", "size"], ["d"]),
    ]
    for axis, count in bins.items():
        weights |= {f"turn_{axis}": rng.normal(0, 5, (K, 1)), f"at_{axis}": np.linspace(-1, 1, count)[None, None]}
        nodes += [
            helper.make_node("Mul", ["d", f"turn_{axis}"], [f"m_{axis}"]),
            helper.make_node("Sin", [f"m_{axis}"], [f"place_{axis}"]),
            helper.make_node("Sub", [f"at_{axis}", f"place_{axis}"], [f"away_{axis}"]),
            helper.make_node("Abs", [f"away_{axis}"], [f"far_{axis}"]),
            helper.make_node("Sub", ["whole", f"far_{axis}"], [f"simcc_{axis}"]),
        ]
    weights["whole"] = np.array(1.0)
    tensors = [
        numpy_helper.from_array(value.astype(np.int64 if name == "size" else np.float32), name)
        for name, value in weights.items()
    ]
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 48, 32])
    targets = [helper.make_tensor_value_info(f"simcc_{a}", TensorProto.FLOAT, ["N", K, n]) for a, n in bins.items()]
    graph = helper.make_graph(nodes, "unsteady", [source], targets, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_the_pictures_are_always_the_same(few: None) -> None:
    first, again = pictures.pictures(), pictures.pictures()
    for ours, theirs in zip(first[0], again[0], strict=True):
        assert ours.shape == (720, 1280, 3) and ours.dtype == np.uint8
        np.testing.assert_array_equal(ours, theirs)
    assert len({hashlib.sha256(one.tobytes()).hexdigest() for one in first[0]}) == FEW
    for box in first[1]:
        assert box.shape == (1, 4) and (box >= 0).all() and (box[0] <= [1280, 720, 1280, 720]).all()


@pytest.mark.parametrize(
    ("near", "count", "refused"),
    [
        (95, 100, ""),
        (94, 100, "94.0 % of 100 points within 0.5 px on drawn pictures, of 95 % that are wanted"),
        (20, 20, "it sees 20 points in the pictures on which it is tried, of 24 that are wanted"),
        (0, 0, "it sees 0 points in the pictures on which it is tried, of 24 that are wanted"),
    ],
)
def test_the_verdict(near: int, count: int, refused: str) -> None:
    distances = np.concatenate(
        [np.full(near, 0.5), np.full((count - near + 1) // 2, 0.51), np.full((count - near) // 2, np.nan)]
    )
    verdict = judged("detector", distances)
    assert (verdict.points, verdict.refused) == (count, refused)
    assert verdict.near == (near / count if count else 0)


@pytest.mark.parametrize("kind", ["detector", "pose"])
def test_a_steady_net_is_halved(kind: Kind, tmp_path: Path, few: None) -> None:
    build = build_detector if kind == "detector" else build_pose_net
    released = build(tmp_path / "net.onnx", 0.05, (8, 8, 16, 16))
    verdict = trial.write(kind, released, tmp_path / "half.onnx", "cpu")
    assert (verdict.near, verdict.refused) == (1.0, "")
    assert verdict.points == (2 * FEW if kind == "detector" else K * FEW)
    assert verdict.words.startswith("100.0 % of ")
    kinds = {one.data_type for one in onnx.load(tmp_path / "half.onnx").graph.initializer}
    assert {TensorProto.FLOAT, TensorProto.FLOAT16} <= kinds


def test_an_unsteady_net_is_refused_with_its_figure(tmp_path: Path, few: None) -> None:
    verdict = half.pose(unsteady(tmp_path / "net.onnx"), tmp_path / "half.onnx", "cpu", 120)
    assert verdict.near < 0.5 and verdict.points > 400
    assert verdict.refused.startswith(f"{100 * verdict.near:.1f} % of {verdict.points} points within 0.5 px")
    assert not (tmp_path / "half.onnx").exists()


def test_nets_of_another_kind_are_refused(tmp_path: Path, few: None) -> None:
    detector = build_detector(tmp_path / "net.onnx", 0.05, (8, 8, 16, 16))
    verdict = trial.write("pose", detector, tmp_path / "half.onnx", "cpu")
    assert verdict.refused.startswith("it is no net of this kind: a pose net takes")
    (tmp_path / "broken.onnx").write_bytes(b"no net")
    assert "not an ONNX model" in half.detector(tmp_path / "broken.onnx", tmp_path / "half.onnx", "cpu").refused


def test_a_net_that_does_not_run_has_no_verdict(tmp_path: Path, few: None) -> None:
    net = unsteady(tmp_path / "net.onnx", (FEW + 1, 1, 1))
    verdict = half.pose(net, tmp_path / "half.onnx", "cpu", 120)
    assert verdict.failed and verdict.refused.startswith("it does not run: ") and "Reshape" in verdict.refused
    assert not (tmp_path / "half.onnx").exists()


def test_a_net_that_does_not_load_in_half_precision_has_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: None
) -> None:
    net = unsteady(tmp_path / "net.onnx")

    class Unknown:
        def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
            node = helper.make_node("NoSuchOperator", ["input"], ["simcc_x"])
            model = onnx.load(net)
            model.graph.node.append(node)
            return model.SerializeToString()

    monkeypatch.setattr(trial, "halved", lambda content: Unknown())
    verdict = trial.write("pose", net, tmp_path / "half.onnx", "cpu")
    assert verdict.failed and "cannot be loaded" in verdict.refused


def test_a_trial_that_is_stopped_has_no_verdict(tmp_path: Path) -> None:
    verdict = half.pose(unsteady(tmp_path / "net.onnx"), tmp_path / "half.onnx", "cpu", 0.01)
    assert verdict.failed and "stopped after 0.01 s" in verdict.refused


def test_what_a_verdict_holds_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "name", lambda: "Tesla T4 (16/GB)")
    version = onnxruntime.__version__
    assert half.runner("cpu") == f"cpu-onnxruntime-{version}"
    assert half.runner("cuda") == f"cuda-Tesla-T4-16-GB-onnxruntime-{version}"


def test_a_device_that_is_not_there_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: None) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    net = build_detector(tmp_path / "net.onnx", 0.05, (8, 8, 16, 16))
    with pytest.raises(DeviceMissing):
        trial.write("detector", net, tmp_path / "half.onnx", "cuda")
