"""Nets of a few nodes that tell how they were run, take down what runs them, or never end."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 4
TABLE = 100  # rows of `looks_up`'s table


def _save(path: Path, nodes: list[onnx.NodeProto], sides: list[int | str], weights: list[onnx.TensorProto]) -> Path:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in ("x", "y")]
    ends.append(helper.make_tensor_value_info("rows", TensorProto.FLOAT, [sides[0], 1]))
    graph = helper.make_graph(nodes, "little", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key="csg405.footage", value="theatre")
    onnx.save(model, path)
    return path


def _counted(weights: list[onnx.TensorProto]) -> list[onnx.NodeProto]:
    """Nodes by which output `rows` has in each row how many rows the net was given at once."""
    weights += [numpy_helper.from_array(np.array(value), name) for name, value in (("zero", [0]), ("one", [1]))]
    return [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "one"], ["count"]),
        helper.make_node("Cast", ["count"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["x", "one"], ["sums"], keepdims=1),
        helper.make_node("Sub", ["sums", "sums"], ["zeros"]),
        helper.make_node("Add", ["zeros", "number"], ["rows"]),
    ]


def doubles(path: Path, rows: int | str = "N") -> Path:
    """y = 2 x + 1 for x (N, 4)."""
    weights = [numpy_helper.from_array(np.array(value, np.float32), f"w{value:g}") for value in (2.0, 1.0)]
    nodes = [helper.make_node("Mul", ["x", "w2"], ["z"]), helper.make_node("Add", ["z", "w1"], ["y"])]
    return _save(path, nodes + _counted(weights), [rows, WIDTH], weights)


def looks_up(path: Path) -> Path:
    """y = table[x], where a row with a number over 99 is an error of the whole batch."""
    weights = [numpy_helper.from_array(np.arange(TABLE, dtype=np.float32) * 2 + 1, "table")]
    nodes = [
        helper.make_node("Cast", ["x"], ["places"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "places"], ["y"]),
    ]
    return _save(path, nodes + _counted(weights), ["N", WIDTH], weights)


def narrow(path: Path, most: int) -> Path:
    """y = 2 x + 1 for at most so many rows at once; more are an error."""
    weights = [numpy_helper.from_array(np.array(value, np.float32), f"w{value:g}") for value in (2.0, 1.0)]
    weights.append(numpy_helper.from_array(np.zeros(most + 1, np.float32), "table"))
    nodes = [
        helper.make_node("Gather", ["table", "count"], ["nothing"]),
        helper.make_node("Mul", ["x", "w2"], ["z"]),
        helper.make_node("Add", ["z", "w1"], ["v"]),
        helper.make_node("Add", ["v", "nothing"], ["y"]),
    ]
    counted = _counted(weights)
    return _save(path, counted[:2] + nodes + counted[2:], ["N", WIDTH], weights)


def loops(path: Path) -> Path:
    """y = 2 x + 1, after as many turns of a loop as the largest number of x says."""
    ends = [helper.make_tensor_value_info("turns", TensorProto.INT64, [])]
    flags = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("on", "still")]
    state = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("was", "is")]
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Neg", ["was"], ["is"])],
        "turn",
        [*ends, flags[0], state[0]],
        [flags[1], state[1]],
    )
    weights = [numpy_helper.from_array(np.array(value, np.float32), f"w{value:g}") for value in (2.0, 1.0)]
    weights.append(numpy_helper.from_array(np.array(True), "yes"))
    weights.append(numpy_helper.from_array(np.array([0.0], np.float32), "begin"))
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["count_of_turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["count_of_turns", "yes", "begin"], ["end"], body=body),
        helper.make_node("Mul", ["x", "w2"], ["z"]),
        helper.make_node("Add", ["z", "w1"], ["v"]),
        helper.make_node("Mul", ["end", "begin"], ["nothing"]),
        helper.make_node("Add", ["v", "nothing"], ["y"]),
    ]
    return _save(path, nodes + _counted(weights), ["N", WIDTH], weights)
