"""Half precision between convolutions, and single precision everywhere else: against products by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.nets.pose.half.graph import NotHalved, halved, share_of
from pipeline.nets.session import open_session
from tests.bench.rounded import rounded

X = np.array([1.0, 2.0, -3.0], np.float32).reshape(1, 3, 1, 1)
FIRST = np.array([[1.0001, 1.0, 0.0], [0.0, 1.0001, -2.0]], np.float32)  # 1.0001 is 1 in half precision
LAST = np.array([[1.0001, 0.5]], np.float32)
EXACT = {"rtol": 0, "atol": 2e-6}


def net(
    nodes: Sequence[onnx.NodeProto], outputs: Sequence[str] = ("y",), opset: int = 17, **weights: np.ndarray
) -> bytes:
    """A net of these nodes that takes x, N x 3 x h x w."""
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "h", "w"])
    targets = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "net", [source], targets, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(made.SerializeToString())


def conv(source: str, weights: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weights], [target], kernel_shape=[1, 1])


def plain(**more: Any) -> bytes:
    """Two convolutions with a ReLU between them."""
    nodes = [conv("x", "first", "a"), helper.make_node("Relu", ["a"], ["b"]), conv("b", "last", "y")]
    return net(nodes, first=FIRST[..., None, None], last=LAST[..., None, None], **more)


def run(content: bytes, x: np.ndarray = X) -> list[np.ndarray]:
    return list(open_session(content, "cpu", 1).run(None, {"x": x}))


def test_the_inner_convolution_alone_is_rounded() -> None:
    single = LAST @ np.maximum(FIRST @ X.reshape(3, 1), 0)
    half = LAST @ np.maximum(FIRST.astype(np.float16).astype(np.float32) @ X.reshape(3, 1), 0)
    assert abs(float(single[0, 0]) - float(half[0, 0])) > 1e-4, "or nothing is shown"
    model = halved(plain())
    assert share_of(model) == {"half": 1, "single": 1}
    np.testing.assert_allclose(run(plain())[0].ravel(), single.ravel(), **EXACT)
    [found] = run(model.SerializeToString())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.ravel(), half.ravel(), **EXACT)
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_what_is_taken_outside_too_is_handed_over() -> None:
    """The ReLU's map goes on to a convolution, and out; of the first one's weights nothing single is kept."""
    nodes = [conv("x", "first", "a"), helper.make_node("Relu", ["a"], ["b"]), conv("b", "last", "y")]
    content = net(nodes, ("y", "b"), first=FIRST[..., None, None], last=LAST[..., None, None])
    model = halved(content)
    y, b = run(model.SerializeToString())
    np.testing.assert_allclose(b.ravel(), [3.0, 8.0], **EXACT)
    np.testing.assert_allclose(y.ravel(), LAST @ b.reshape(2, 1).ravel(), **EXACT)
    kinds = {one.name: one.data_type for one in model.graph.initializer}
    assert sorted(kinds.values()) == [TensorProto.FLOAT, TensorProto.FLOAT16] and "first" not in kinds


def test_places_are_computed_in_single_precision() -> None:
    """A map that is flattened between two convolutions is no map any more: here numbers up to 3001 that half precision lacks."""
    weights = np.full((1, 3, 1, 1), 1000.2, np.float32)
    nodes = [
        conv("x", "first", "a"),
        helper.make_node("Reshape", ["a", "flat"], ["b"]),
        helper.make_node("Reshape", ["b", "back"], ["c"]),
        conv("c", "one", "y"),
    ]
    sides = {"flat": np.array([0, -1], np.int64), "back": np.array([0, 1, 1, 1], np.int64)}
    content = net(nodes, first=weights, one=np.ones((1, 1, 1, 1), np.float32), **sides)
    with pytest.raises(NotHalved, match="no convolution that another one follows"):
        halved(content)


def test_a_resize_keeps_its_scales() -> None:
    nodes = [
        conv("x", "first", "a"),
        helper.make_node("Resize", ["a", "", "scales"], ["b"], mode="nearest"),
        conv("b", "last", "y"),
    ]
    scales = np.array([1, 1, 2, 3], np.float32)
    content = net(nodes, first=FIRST[..., None, None], last=LAST[..., None, None], scales=scales)
    model = halved(content)
    [found] = run(model.SerializeToString())
    assert found.shape == (1, 1, 2, 3)
    half = LAST @ (FIRST.astype(np.float16).astype(np.float32) @ X.reshape(3, 1))
    np.testing.assert_allclose(found, np.full((1, 1, 2, 3), half[0, 0]), **EXACT)
    assert share_of(model) == {"half": 1, "single": 1}


def test_rounded_is_what_a_gpu_does() -> None:
    """On a processor onnxruntime drops the casts between nodes; `rounded` keeps what they do: to numpy's float16, beyond it inf."""
    rng = np.random.default_rng(405)
    x = np.concatenate([rng.normal(0, 10.0 ** np.arange(-3, 6)[:, None], (9, 400)).ravel(), [65504, 65519, -7e4, 0]])
    one = np.eye(3, dtype=np.float32)[..., None, None]
    content = net([conv("x", "a", "b"), conv("b", "c", "y")], a=one, c=one)
    picture = np.tile(x.astype(np.float32), (1, 3, 1, 1)).transpose(0, 1, 2, 3)
    with np.errstate(over="ignore"):
        expected = picture.astype(np.float16).astype(np.float32)
    finite = np.isfinite(expected)
    [found] = run(rounded(halved(content)).SerializeToString(), picture)
    assert finite.sum() > 9000 and not finite.all()
    np.testing.assert_array_equal(
        found[finite & (np.abs(expected) > 1e-4)], expected[finite & (np.abs(expected) > 1e-4)]
    )
    assert not np.isfinite(found[~finite]).any()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (plain(opset=9), "operator sets"),
        (net([conv("x", "first", "y")], first=FIRST[..., None, None]), "no convolution that another one follows"),
        (
            net(
                [conv("x", "first", "a"), conv("a", "last", "y")],
                first=np.full((2, 3, 1, 1), 7e4, np.float32),
                last=LAST[..., None, None],
            ),
            "weights beyond 65504",
        ),
        (halved(plain()).SerializeToString(), "it was halved before"),
    ],
)
def test_what_is_not_halved(content: bytes, words: str) -> None:
    with pytest.raises(NotHalved, match=words):
        halved(content)


def test_graphs_within_the_graph_are_left_alone() -> None:
    inner = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["z"])],
        "inner",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    nodes = [
        conv("x", "first", "a"),
        helper.make_node("If", ["yes"], ["b"], then_branch=inner, else_branch=inner),
        conv("b", "last", "y"),
    ]
    content = net(nodes, first=FIRST[..., None, None], last=LAST[..., None, None], yes=np.array(True))
    with pytest.raises(NotHalved, match="graphs within the graph"):
        halved(content)
