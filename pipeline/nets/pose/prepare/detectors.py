"""YOLOX detectors whose canvas and batch are free.

The released files were exported for one picture of 640 x 640, but a stack of convolutions does not care: only the sizes written
into its `Reshape` nodes do. Footage of 16:9 fills 360 of the 640 rows, so a canvas of 384 x 640 costs 0.6 of the work.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.base.arrays import Floats32
from pipeline.nets.pose.prepare.graph import PIXELS, NotUnderstood, constant, note, opened, sides_of, takes_bytes
from pipeline.nets.pose.yolox import CANVAS_KEY, LARGEST_SIDE, STRIDES, anchors, head_of
from pipeline.nets.session import check_model, open_session

if TYPE_CHECKING:
    import onnx
    import onnxruntime

# Each gives for every place what it finds around it, wherever that place lies and however large the picture is.
_LOCAL = frozenset(
    {"Add", "BatchNormalization", "Clip", "Concat", "Constant", "Conv", "Div", "Exp", "HardSigmoid", "HardSwish", "Identity"}
    | {"LeakyRelu", "MaxPool", "Mul", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Softplus", "Split", "Sub", "Tanh"}
    | {"Transpose", "Upsample"}
)  # fmt: skip
_SHARES = ((0.6, 1.0), (1.0, 0.6))  # of the sides, on which the result is tried: pictures that lie and that stand
_NEAR = 1e-3  # of values of about 1: other shapes add up in another order


def write(source: Path, target: Path) -> str:
    """As `pipeline.nets.pose.prepare.detector`, in this process."""
    content = source.read_bytes()
    check_model(content, str(source))
    try:
        model, size = freed(content)
        made = model.SerializeToString()
        _compare(content, made, size)
    except NotUnderstood as reason:
        return str(reason)
    target.write_bytes(made)
    return ""


def freed(content: bytes) -> "tuple[onnx.ModelProto, tuple[int, int]]":
    """The net with free batch and canvas, taking bytes, and its own canvas (height, width). Raises NotUnderstood."""
    model = opened(content)
    graph = model.graph
    sides = sides_of(graph.input[0])
    if len(sides) != 4 or sides[1] != 3 or not all(isinstance(side, int) for side in sides[2:]):
        raise NotUnderstood(f"an input of {sides}, not N x 3 x a height x a width")
    height, width = (int(side) for side in sides[2:])
    if min(height, width) < STRIDES[-1] or max(height, width) > LARGEST_SIDE or height % 32 or width % 32:
        raise NotUnderstood(f"a canvas of {height} x {width}")
    for node in graph.node:
        if node.op_type not in _LOCAL or node.domain not in ("", "ai.onnx"):
            raise NotUnderstood(f"an operator {node.op_type}, which may look at the whole picture")
    _free_shapes(model, sides[0] if isinstance(sides[0], int) else None)
    _free_output(graph)
    takes_bytes(model, ["N", "height", "width"])
    note(model, CANVAS_KEY, f"{height}x{width}")
    return model, (height, width)


def _free_shapes(model: "onnx.ModelProto", batch: int | None) -> None:
    """Let every Reshape that flattens maps (N, C, h, w) into (N, C, h w) do so for any N, h and w; forget all other sizes."""
    graph = model.graph
    known = _constants(graph)
    for number, node in enumerate(graph.node):
        if node.op_type != "Reshape":
            continue
        sides = known.get(node.input[1])
        flat = sides is not None and len(sides) == 3 and sides[0] in {0, batch} and sides[1] > 0
        if not flat or any(one.name == "allowzero" and one.i for one in node.attribute):
            raise NotUnderstood("a Reshape that does more than to flatten maps")
        assert sides is not None, "else it is not flat"
        node.input[1] = constant(model, f"flat_{number}", np.array([0, sides[1], -1], np.int64))
    del graph.value_info[:]


def _constants(graph: "onnx.GraphProto") -> Mapping[str, NDArray[np.int64]]:
    """Constants of whole numbers, by name."""
    tensors = {one.name: one for one in graph.initializer}
    for node in graph.node:
        for one in node.attribute:
            if node.op_type == "Constant" and one.name == "value":
                tensors[node.output[0]] = one.t
    return {n: numpy_helper.to_array(t).ravel() for n, t in tensors.items() if t.data_type == TensorProto.INT64}


def _free_output(graph: "onnx.GraphProto") -> None:
    if len(graph.output) != 1:
        raise NotUnderstood(f"{len(graph.output)} outputs, not YOLOX's one")
    sides = sides_of(graph.output[0])
    if len(sides) != 3 or not isinstance(sides[2], int) or sides[2] < 6:
        raise NotUnderstood(f"an output of {sides}, not N x anchors x (5 + classes)")
    freed_output = helper.make_tensor_value_info(graph.output[0].name, TensorProto.FLOAT, ["N", "anchors", sides[2]])
    del graph.output[:]
    graph.output.append(freed_output)


def _compare(released: bytes, made: bytes, size: tuple[int, int]) -> None:
    """Run both nets. Raises NotUnderstood where the freed one says anything else, or takes no other canvas."""
    before, after = open_session(released), open_session(made)
    rng = np.random.default_rng(405)
    picture = rng.integers(0, 256, (1, *size, 3), dtype=np.uint8)
    floats = np.ascontiguousarray(picture.transpose(0, 3, 1, 2), np.float32)
    declared = before.get_inputs()[0].shape[0]
    if isinstance(declared, int):
        floats = np.repeat(floats, declared, 0)
    rows = before.run(None, {before.get_inputs()[0].name: floats})[0][:1]
    grid, stride = anchors(*size)
    if rows.ndim != 3 or rows.shape[1] != len(grid) or head_of(rows, grid, stride) != "raw":
        raise NotUnderstood("its output is no raw head of YOLOX")
    _same(_run(after, picture), rows, "on its own canvas")
    for down, along in _SHARES:
        canvas = tuple(
            max(STRIDES[-1], int(side * share) // 32 * 32) for side, share in zip(size, (down, along), strict=True)
        )
        pair = rng.integers(0, 256, (2, *canvas, 3), dtype=np.uint8)
        both = _run(after, pair)
        if both.shape[1] != len(anchors(*canvas)[0]):
            raise NotUnderstood(f"{both.shape[1]} rows on a canvas of {canvas}")
        for number in range(2):
            _same(_run(after, pair[number : number + 1]), both[number : number + 1], "in a batch")


def _run(session: "onnxruntime.InferenceSession", pictures: NDArray[np.uint8]) -> Floats32:
    try:
        found = session.run(None, {PIXELS: pictures})[0]
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise NotUnderstood(f"it does not run on {pictures.shape}: {error}") from error
    return np.asarray(found, np.float32)


def _same(a: Floats32, b: Floats32, where: str) -> None:
    if a.shape != b.shape or not np.allclose(a, b, rtol=_NEAR, atol=_NEAR):
        raise NotUnderstood(f"its results change {where}")
