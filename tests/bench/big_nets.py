"""Stand-ins of the size of the nets that people use: stacks of convolutions with random weights and planted answers.

They have the signatures of YOLOX-l and DWPose-l and about their arithmetic, and always see the same person: enough to time
every line of the annotation path without a download.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.skeleton.layout import K

Array = NDArray[Any]

DETECTOR_GFLOPS, DETECTOR_SIDE, STRIDES, CLASSES = 155.6, 640, (8, 16, 32), 80
POSE_GFLOPS, POSE_WIDTH, POSE_HEIGHT = 10.1, 288, 384
BINS = 2  # a pixel
PERSON = (180.0, 180.0, 200.0, 340.0)  # centre and size in the detector's pixels: inside any picture up to 16:9
WHISPER = 1e-6  # what the random net adds to the planted answer: its work cannot be left out, and changes nothing


class Stack:
    """Convolutions with SiLU, as in both nets; counts two operations a multiply-add.

    Args:
        source: name of the input, N x 3 x height x width.
    """

    def __init__(self, source: str, height: int, width: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.operations = 0.0
        self.at, self.channels, self.height, self.width = source, 3, height, width
        self._rng = np.random.default_rng(405)

    def const(self, value: Array) -> str:
        name = f"const_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(self, channels: int, kernel: int, stride: int = 1, *, silu: bool = True) -> None:
        spread = np.float32(0.5 / np.sqrt(self.channels * kernel**2))  # small, so that sums of many blocks stay so
        shape = (channels, self.channels, kernel, kernel)
        weights = self.const(self._rng.standard_normal(shape, np.float32) * spread)
        self.at = self.op(
            "Conv", self.at, weights, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4
        )
        if silu:
            self.at = self.op("Mul", self.at, self.op("Sigmoid", self.at))
        self.height, self.width = self.height // stride, self.width // stride
        self.operations += 2.0 * channels * self.channels * kernel**2 * self.height * self.width
        self.channels = channels

    def bottlenecks(self, operations: float) -> None:
        """As many residual blocks (1 x 1, then 3 x 3) as come nearest to so much work."""
        each = 2.0 * 5 * self.channels**2 * self.height * self.width
        for _ in range(max(1, round(operations / each))):
            before, channels = self.at, self.channels
            self.conv(channels // 2, 1)
            self.conv(channels, 3)
            self.at = self.op("Add", self.at, before)

    def planted(self, noise: str, answer: Array) -> str:
        """The answer, and the net's own word at a whisper."""
        scaled = self.op("Mul", noise, self.const(np.array(WHISPER, np.float32)))
        return self.op("Add", scaled, self.const(answer.astype(np.float32)))

    def save(self, path: Path, source: tuple[str, list[Any]], answers: dict[str, tuple[str, list[Any]]]) -> Path:
        nodes = [*self.nodes, *(helper.make_node("Identity", [at], [name]) for name, (at, _) in answers.items())]

        def value(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        outputs = [value(name, shape) for name, (_, shape) in answers.items()]
        graph = helper.make_graph(nodes, "stand-in", [value(*source)], outputs, self.weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path


def build_detector(
    path: Path,
    gflops: float = DETECTOR_GFLOPS,
    widths: Sequence[int] = (128, 256, 512, 1024),
    side: int = DETECTOR_SIDE,
) -> Path:
    """A net of YOLOX-l's size and signature: 1 x 3 x 640 x 640 -> 1 x 8400 x 85, raw head, one person on any canvas.

    Args:
        gflops: its work, 10^9 operations on its own canvas.
        widths: channels at strides 4, 8, 16 and 32.
        side: of its canvas, pixels.
    """
    stack = Stack("images", side, side)
    target = gflops * 1e9
    stack.conv(widths[0] // 2, 3, 2)
    heads = []
    for left, channels in zip((4, 3, 2, 1), widths, strict=True):
        stack.conv(channels, 3, 2)
        coming = sum(
            2.0 * 9 * 2 * (channels * 2**i) ** 2 / 4 * stack.height * stack.width / 4**i for i in range(1, left)
        )
        stack.bottlenecks((target - stack.operations - coming) / left)
        if left < 4:
            trunk = stack.at
            person = _one_person(stack) if left == 1 else ""
            stack.conv(5 + CLASSES, 1, silu=False)
            head = stack.op("Mul", stack.at, stack.const(np.array(WHISPER, np.float32)))
            head = stack.op("Add", head, person) if person else head
            shape = stack.const(np.array([1, 5 + CLASSES, -1], np.int64))
            heads.append(stack.op("Transpose", stack.op("Reshape", head, shape), perm=[0, 2, 1]))
            stack.at, stack.channels = trunk, channels
    rows = stack.op("Concat", *heads, axis=1)
    if widths[-1] == 1024:
        _check(stack, target)
    anchors = sum((side // stride) ** 2 for stride in STRIDES)
    return stack.save(path, ("images", [1, 3, side, side]), {"output": (rows, [1, anchors, 5 + CLASSES])})


def _one_person(stack: Stack) -> str:
    """Maps (N, 85, h, w) of a raw head of stride 32 in which a single cell is a person.

    Where a cell lies is counted from the edges, as a convolution sees them: by the zeros with which its input is padded. So this
    holds on any canvas.
    """
    x, y, width, height = (value / STRIDES[-1] for value in PERSON)
    still = np.zeros((1, stack.channels, 1, 1), np.float32)
    half = stack.op("Sigmoid", stack.op("Conv", stack.at, stack.const(still), kernel_shape=[1, 1]))  # 0.5 everywhere
    there = [_at(stack, half, int(place), across) for place, across in ((x, True), (y, False))]
    row = np.zeros((1, 5 + CLASSES, 1, 1), np.float32)
    row[0, :6, 0, 0] = x - int(x), y - int(y), np.log(width), np.log(height), 0.95, 0.95
    return stack.op("Mul", stack.op("Mul", *there), stack.const(row))


def _at(stack: Stack, half: str, place: int, across: bool) -> str:
    """Maps that are 1 in the column (across) or row of this number, and 0 elsewhere; `half` is 0.5 everywhere."""
    reach = place + 2  # cells that are counted before a cell: enough to tell this place from those behind it
    kernel = np.zeros((1, 1, 1, 2 * reach + 1), np.float32)
    kernel[..., :reach] = 2
    pads = [0, reach, 0, reach]
    if not across:
        kernel, pads = kernel.transpose(0, 1, 3, 2), [reach, 0, reach, 0]
    count = stack.op("Conv", half, stack.const(kernel), kernel_shape=list(kernel.shape[2:]), pads=pads)
    steps = []
    for edge in (place - 0.5, place + 0.5):
        away = stack.op("Sub", count, stack.const(np.array(edge, np.float32)))
        steps.append(stack.op("Sigmoid", stack.op("Mul", away, stack.const(np.array(100, np.float32)))))
    return stack.op("Sub", *steps)


def build_pose_net(path: Path, gflops: float = POSE_GFLOPS, widths: Sequence[int] = (128, 256, 512, 1024)) -> Path:
    """A net of DWPose-l's size and signature: N x 3 x 384 x 288 -> SimCC N x 133 x 576 and 768, the same pose in any box.

    Args:
        gflops: its work, 10^9 operations a person.
        widths: channels at strides 4, 8, 16 and 32.
    """
    stack = Stack("input", POSE_HEIGHT, POSE_WIDTH)
    target = gflops * 1e9
    stack.conv(widths[0] // 2, 3, 2)
    last = 2.0 * K * widths[-1] * 49 * (POSE_HEIGHT // 32) * (POSE_WIDTH // 32)  # its last convolution is 7 x 7
    for left, channels in zip((4, 3, 2, 1), widths, strict=True):
        stack.conv(channels, 3, 2)
        coming = sum(
            2.0 * 9 * 2 * (channels * 2**i) ** 2 / 4 * stack.height * stack.width / 4**i for i in range(1, left)
        )
        stack.bottlenecks((target - stack.operations - coming - last) / left)
    stack.conv(K, 7, silu=False)
    cells = stack.height * stack.width
    features = stack.op("Reshape", stack.at, stack.const(np.array([0, K, cells], np.int64)))
    answers = {}
    place = np.random.default_rng(133).uniform(0.2, 0.8, (2, K))
    for axis, (name, size) in enumerate((("simcc_x", POSE_WIDTH), ("simcc_y", POSE_HEIGHT))):
        bins = size * BINS
        out = stack.op("MatMul", features, stack.const(np.full((cells, bins), 1 / cells, np.float32)))
        stack.operations += 2.0 * K * cells * bins
        away = np.arange(bins) - place[axis][:, None] * bins
        answers[name] = (stack.planted(out, 0.9 * np.exp(-((away / 6) ** 2))[None]), ["N", K, bins])
    if widths[-1] == 1024:
        _check(stack, target)
    return stack.save(path, ("input", ["N", 3, POSE_HEIGHT, POSE_WIDTH]), answers)


def _check(stack: Stack, target: float) -> None:
    assert abs(stack.operations / target - 1) < 0.06, f"{stack.operations / 1e9:.1f} GFLOPs, not {target / 1e9:.1f}"


def build_corner(path: Path) -> Path:
    """A net that takes crops (N, 384, 288, 3), bytes, and gives their first pixels (N, 3): no work but to be handed over."""
    source = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", POSE_HEIGHT, POSE_WIDTH, 3])
    target = helper.make_tensor_value_info("corner", TensorProto.UINT8, ["N", 3])
    weights = [
        numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in (("first", [0, 0]), ("stop", [1, 1]), ("sides", [1, 2]))
    ]
    nodes = [
        helper.make_node("Slice", ["crops", "first", "stop", "sides"], ["pixel"]),
        helper.make_node("Squeeze", ["pixel", "sides"], ["corner"]),
    ]
    graph = helper.make_graph(nodes, "corner", [source], [target], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
