"""Pose nets that take crops as bytes and find the peaks of their SimCC rows themselves: 5 kB a person come out, not 715.

What comes out for each point and axis is the highest bin and four of the heights around it: `pipeline.nets.pose.simcc` goes on from
there as it does from whole rows.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from pipeline.nets.pose.dwpose import LEVELS
from pipeline.nets.pose.prepare.graph import (
    PIXELS,
    PREFIX,
    NotUnderstood,
    constant,
    note,
    opened,
    sides_of,
    takes_bytes,
)
from pipeline.nets.pose.simcc import RATIO_KEY, decode_peaks, decode_simcc
from pipeline.nets.session import check_model, open_session
from pipeline.skeleton.layout import K

if TYPE_CHECKING:
    import onnx
    import onnxruntime

_LARGEST_SIDE = 1024  # of a crop, pixels
_NEAR_PX, _SHARE = (
    0.01,
    0.95,
)  # of noise, in which two bins may be all but equally high, most points stay where they are
_FEWEST_BINS = 3


def write(source: Path, target: Path) -> str:
    """As `pipeline.nets.pose.prepare.pose`, in this process."""
    content = source.read_bytes()
    check_model(content, str(source))
    try:
        model, size = with_peaks(content)
        made = model.SerializeToString()
        _compare(open_session(content), open_session(made), size)
    except NotUnderstood as reason:
        return str(reason)
    target.write_bytes(made)
    return ""


def with_peaks(content: bytes) -> "tuple[onnx.ModelProto, tuple[int, int]]":
    """The net with crops as bytes and peaks for rows, and its input's (height, width). Raises NotUnderstood."""
    model = opened(content)
    graph = model.graph
    sides = sides_of(graph.input[0])
    if (
        len(sides) != 4
        or sides[1] != 3
        or not all(isinstance(side, int) and 0 < side <= _LARGEST_SIDE for side in sides[2:])
    ):
        raise NotUnderstood(f"an input of {sides}, not N x 3 x a height x a width")
    height, width = (int(side) for side in sides[2:])
    ratio = _ratio([sides_of(one) for one in graph.output], height, width)
    batch = sides[0] if isinstance(sides[0], int) else "N"
    takes_bytes(model, [batch, height, width], LEVELS)
    _add_peaks(model, batch)
    note(model, RATIO_KEY, f"{ratio}")
    return model, (height, width)


def _ratio(outputs: list[list[int | str]], height: int, width: int) -> int:
    """Bins a pixel, the same whole number over x and y."""
    if len(outputs) != 2 or any(len(sides) != 3 or sides[1] != K for sides in outputs):
        raise NotUnderstood(f"outputs of {outputs}, not the two of SimCC for {K} points")
    bins = [sides[2] for sides in outputs]
    ratio = bins[0] // width if isinstance(bins[0], int) else 0
    if ratio < 1 or bins != [ratio * width, ratio * height] or min(width, height) < _FEWEST_BINS:
        raise NotUnderstood(f"{bins} bins for {width} x {height} pixels")
    return ratio


def _add_peaks(model: "onnx.ModelProto", batch: int | str) -> None:
    """Put the nodes behind both outputs that give (N, K, 10): for x, then y, the highest bin, its height, and those around it."""
    graph = model.graph
    parts = []
    around = constant(model, "around", np.array([-1, 0, 1], np.float32))
    first = constant(model, "first", np.array(1, np.float32))
    for axis, value in zip("xy", list(graph.output), strict=True):
        bins = value.type.tensor_type.shape.dim[2].dim_value
        last = constant(model, f"last_{axis}", np.array(bins - 2, np.float32))
        names = {part: f"{PREFIX}{part}_{axis}" for part in ("bin", "at", "inside", "near", "all", "index", "heights")}
        graph.node.extend(
            [
                helper.make_node("ArgMax", [value.name], [names["bin"]], axis=-1, keepdims=1),
                helper.make_node("Cast", [names["bin"]], [names["at"]], to=TensorProto.FLOAT),
                helper.make_node("Clip", [names["at"], first, last], [names["inside"]]),
                helper.make_node("Add", [names["inside"], around], [names["near"]]),
                helper.make_node("Concat", [names["at"], names["near"]], [names["all"]], axis=-1),
                helper.make_node("Cast", [names["all"]], [names["index"]], to=TensorProto.INT64),
                helper.make_node("GatherElements", [value.name, names["index"]], [names["heights"]], axis=-1),
            ]
        )
        parts += [names["at"], names["heights"]]
    graph.node.append(helper.make_node("Concat", parts, [f"{PREFIX}peaks"], axis=-1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(f"{PREFIX}peaks", TensorProto.FLOAT, [batch, K, 10]))


def _compare(
    before: "onnxruntime.InferenceSession", after: "onnxruntime.InferenceSession", size: tuple[int, int]
) -> None:
    """Run both nets. Raises NotUnderstood where the prepared one sees other points, or fails."""
    declared = before.get_inputs()[0].shape[0]
    count = declared if isinstance(declared, int) else 2
    crops = np.random.default_rng(405).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    planes = np.ascontiguousarray(LEVELS[crops, range(3)].transpose(0, 3, 1, 2))
    rows = before.run(None, {before.get_inputs()[0].name: planes})
    try:
        [peaks] = after.run(None, {PIXELS: crops})
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise NotUnderstood(f"it does not run: {error}") from error
    ratio = rows[0].shape[2] / size[1]
    (points, scores), (expected, known) = decode_peaks(peaks, ratio), decode_simcc(rows[0], rows[1], ratio)
    both = np.isfinite(points) & np.isfinite(expected)
    away = np.abs(np.where(both, points - expected, 0)).max(-1)
    same = (away < _NEAR_PX) & (np.isfinite(points).all(-1) == np.isfinite(expected).all(-1))
    if same.mean() < _SHARE or np.abs(scores - known).max() > _NEAR_PX:
        raise NotUnderstood(f"its results change: {1 - same.mean():.0%} of the points")
