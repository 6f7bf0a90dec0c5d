"""Half precision as a GPU has it, computed by a processor: what a net in half precision hands over is rounded, node by node.

onnxruntime runs such a net on a processor in single precision, and drops the casts between its nodes: there only weights are
rounded, and results are nearer than on a GPU. Here each value is rounded by arithmetic that nobody takes out. Values under 6e-5,
which a half has with fewer digits, keep theirs.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.nets.pose.half.graph import PREFIX

_DIGITS = 13  # that single precision has more, bits
_LARGEST = 65504.0


def rounded(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A model of `pipeline.nets.pose.half.graph.halved`, in single precision and with the numbers of half precision."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    for one in graph.initializer:
        if one.data_type == TensorProto.FLOAT16:
            one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one).astype(np.float32), one.name))
    constants = {"factor": 2.0**_DIGITS + 1, "largest": _LARGEST, "infinite": np.inf}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), f"rounding_{name}"))
    nodes: list[onnx.NodeProto] = []
    for node in list(model.graph.node):
        if node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT16:
            nodes += _rounding(node.input[0], node.output[0])
            continue
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        nodes.append(kept)
        for place, name in enumerate(node.output):
            if name.startswith(PREFIX):
                kept.output[place] = f"whole_{name}"
                nodes += _rounding(f"whole_{name}", name)
    del graph.node[:]
    graph.node.extend(nodes)
    return made


def _rounding(source: str, target: str) -> list[onnx.NodeProto]:
    """To eleven digits, as Veltkamp splits a number: c = f x, then c - (c - x); infinite beyond the largest half."""
    part = f"rounding_{target}_"
    return [
        helper.make_node("Mul", [source, "rounding_factor"], [f"{part}c"]),
        helper.make_node("Sub", [f"{part}c", source], [f"{part}rest"]),
        helper.make_node("Sub", [f"{part}c", f"{part}rest"], [f"{part}near"]),
        helper.make_node("Abs", [f"{part}near"], [f"{part}size"]),
        helper.make_node("Greater", [f"{part}size", "rounding_largest"], [f"{part}over"]),
        helper.make_node("Where", [f"{part}over", "rounding_infinite", f"{part}near"], [target]),
    ]
