"""Changes of an ONNX graph from outside: what must hold first, and the nodes that are put before and behind it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.base.arrays import Floats32

if TYPE_CHECKING:
    import onnx

PREFIX = "csg405_"  # of every name that is added
PIXELS = f"{PREFIX}pixels"  # the input of a prepared net: N x H x W x 3 bytes, RGB or BGR as the net was trained
_OLDEST_OPSET = 11  # from which on every operator that is added means what it does here


class NotUnderstood(ValueError):
    """Raised for a graph that these changes might break; the message says what is in the way."""


def opened(content: bytes) -> "onnx.ModelProto":
    """The model, of which nothing stands in the way of added nodes.

    Raises:
        NotUnderstood: functions, an operator set that is too old, several inputs, or names that would be taken twice.
    """
    model = onnx.ModelProto()
    model.ParseFromString(content)
    graph = model.graph
    opsets = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    if len(opsets) != 1 or opsets[0] < _OLDEST_OPSET:
        raise NotUnderstood(f"operator sets {opsets}, of which {_OLDEST_OPSET} is the oldest that will do")
    if model.functions or graph.sparse_initializer or model.training_info:
        raise NotUnderstood("functions, sparse weights or a training graph")
    weights = {one.name for one in graph.initializer}
    if len(graph.input) != 1 or graph.input[0].name in weights:
        raise NotUnderstood(f"{len(graph.input)} inputs, not one")
    names = {*weights, graph.input[0].name, *(name for node in graph.node for name in node.output)}
    if any(name.startswith(PREFIX) for name in names):
        raise NotUnderstood(f"names that begin with {PREFIX}")
    return model


def sides_of(value: "onnx.ValueInfoProto") -> list[int | str]:
    """The declared shape of an input or output of floats; a name, or "", where a side is open."""
    tensor = value.type.tensor_type
    if tensor.elem_type != 1:  # TensorProto.FLOAT
        raise NotUnderstood(f"{value.name} does not hold floats")
    return [one.dim_value if one.HasField("dim_value") else one.dim_param for one in tensor.shape.dim]


def constant(model: "onnx.ModelProto", name: str, value: NDArray[Any]) -> str:
    """Add a constant; returns its name."""
    model.graph.initializer.append(numpy_helper.from_array(value, PREFIX + name))
    return PREFIX + name


def takes_bytes(model: "onnx.ModelProto", sides: Sequence[int | str], levels: Floats32 | None = None) -> None:
    """Have the model take N x H x W x 3 bytes in place of its N x 3 x H x W floats.

    Args:
        sides: N, H and W: a number or a name each.
        levels: (256, 3) what the model takes for each byte, by channel, to the bit; None for 0..255.
    """
    graph = model.graph
    floats, planes = graph.input[0].name, f"{PREFIX}planes"
    nodes = [helper.make_node("Transpose", [PIXELS], [planes], perm=[0, 3, 1, 2])]
    if levels is None:
        nodes.append(helper.make_node("Cast", [planes], [floats], to=TensorProto.FLOAT))
    else:
        table = constant(model, "levels", levels.T.ravel())
        starts = constant(model, "starts", np.array([0, 256, 512], np.int32).reshape(1, 3, 1, 1))
        nodes.append(helper.make_node("Cast", [planes], [f"{PREFIX}bytes"], to=TensorProto.INT32))
        nodes.append(helper.make_node("Add", [f"{PREFIX}bytes", starts], [f"{PREFIX}places"]))
        nodes.append(helper.make_node("Gather", [table, f"{PREFIX}places"], [floats]))
    before = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes, *before])
    graph.input.append(helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, [*sides, 3]))


def note(model: "onnx.ModelProto", key: str, value: str) -> None:
    """Write an entry of the model's metadata, in place of what stood there."""
    kept = [one for one in model.metadata_props if one.key != key]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=key, value=value)
