"""A net's inner convolutions in half precision; what goes in, what comes out and the heads stay as they are.

A convolution is inner where another one follows it through nothing but operators that keep maps as they are laid out. So the last
convolution of every path stays in single precision, with all that turns its maps into places: a place of 400 pixels has steps of
0.25 in half precision. The weights are rounded once, values that are handed over are cast, and the graph's own inputs and outputs
keep their types.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

PREFIX = "csg405_half_"  # of every name that is added
_MAPS = frozenset(
    {"Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "Div", "Elu", "Exp", "GlobalAveragePool"}
    | {"HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "MaxPool", "Mul", "Pad", "PRelu", "ReduceMean", "Relu"}
    | {"Resize", "Sigmoid", "Slice", "Softplus", "Split", "Sub", "Tanh"}
)  # which take and give half precision, in all operator sets from 11 on
_SINGLE = {"Resize": {1, 2}}  # inputs by operator that have a type of their own: regions and scales
_LARGEST = float(np.finfo(np.float16).max)
_OLDEST_OPSET = 11


class NotHalved(ValueError):
    """Raised for a graph that has nothing to be halved, or holds what these changes might break; the message says what."""


def halved(content: bytes) -> "onnx.ModelProto":
    """The model with its inner convolutions in half precision. Raises NotHalved."""
    model = onnx.ModelProto()
    model.ParseFromString(content)
    _check(model)
    floats = _floats(model)
    body = _body(list(model.graph.node))
    if not any(model.graph.node[number].op_type == "Conv" for number in body):
        raise NotHalved("no convolution that another one follows")
    _Halves(model, body, floats).change()
    del model.graph.value_info[:]
    return model


def _check(model: "onnx.ModelProto") -> None:
    graph = model.graph
    opsets = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    if len(opsets) != 1 or opsets[0] < _OLDEST_OPSET:
        raise NotHalved(f"operator sets {opsets}, of which {_OLDEST_OPSET} is the oldest that will do")
    if model.functions or graph.sparse_initializer or model.training_info:
        raise NotHalved("functions, sparse weights or a training graph")
    if any(one.HasField("g") or one.graphs for node in graph.node for one in node.attribute):
        raise NotHalved("graphs within the graph")
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    if any(name.startswith(PREFIX) for name in names):
        raise NotHalved("it was halved before")


def _floats(model: "onnx.ModelProto") -> set[str]:
    """Names of all values that are known to be single precision."""
    try:
        known = shape_inference.infer_shapes(model).graph
    except Exception as error:
        raise NotHalved(f"its types cannot be told: {error}") from error
    values = (*known.input, *known.output, *known.value_info)
    found = {one.name for one in values if one.type.tensor_type.elem_type == TensorProto.FLOAT}
    return found | {one.name for one in known.initializer if one.data_type == TensorProto.FLOAT}


def _body(nodes: "list[onnx.NodeProto]") -> set[int]:
    """Numbers of the nodes that a convolution comes before, or that are one, and another comes after, with maps all the way."""
    after: set[int] = set()
    maps: set[str] = set()
    for number, node in enumerate(nodes):  # an ONNX graph is sorted: what a node takes was made before
        if node.domain not in ("", "ai.onnx") or node.op_type not in _MAPS:
            continue
        if node.op_type == "Conv" or not maps.isdisjoint(node.input):
            after.add(number)
            maps.update(filter(None, node.output))
    wanted: set[str] = set()  # maps that a later convolution takes, directly or through others
    body: set[int] = set()
    for number in sorted(after, reverse=True):
        node = nodes[number]
        inner = not wanted.isdisjoint(node.output)
        if inner:
            body.add(number)
        if node.op_type == "Conv":
            wanted.add(node.input[0])
        elif inner:
            wanted.update(node.input)
    return body


class _Halves:
    """The changes of one graph.

    Args:
        model: is changed.
        body: numbers of the nodes that are to run in half precision.
        floats: names of all values of single precision.
    """

    def __init__(self, model: "onnx.ModelProto", body: Iterable[int], floats: set[str]) -> None:
        self._graph, self._body, self._floats = model.graph, set(body), floats
        self._weights = {one.name: one for one in model.graph.initializer}
        self._nodes: list[onnx.NodeProto] = []
        self._half: dict[str, str] = {}  # a value's name in half precision

    def change(self) -> None:
        """Rewrite the nodes, and drop weights that nothing takes any more."""
        outside = self._taken_outside()
        for number, node in enumerate(list(self._graph.node)):
            changed = onnx.NodeProto()
            changed.CopyFrom(node)
            if number not in self._body:
                self._nodes.append(changed)
                continue
            for place, name in enumerate(node.input):
                if name in self._floats and place not in _SINGLE.get(node.op_type, ()):
                    changed.input[place] = self._halved(name)
            self._nodes.append(changed)
            for place, name in enumerate(node.output):
                if name in self._floats:
                    changed.output[place] = self._half[name] = f"{PREFIX}{name}"
                    if name in outside:
                        self._nodes.append(helper.make_node("Cast", [self._half[name]], [name], to=TensorProto.FLOAT))
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        self._drop_unused()

    def _taken_outside(self) -> set[str]:
        """Values that nodes outside take, or the graph gives."""
        taken = {one.name for one in self._graph.output}
        for number, node in enumerate(self._graph.node):
            places = () if number not in self._body else _SINGLE.get(node.op_type, ())
            taken.update(name for place, name in enumerate(node.input) if number not in self._body or place in places)
        return taken

    def _halved(self, name: str) -> str:
        """The name of a value in half precision, which is made where it is not there yet."""
        if name not in self._half:
            self._half[name] = f"{PREFIX}{name}"
            if name in self._weights:
                self._graph.initializer.append(_rounded(self._weights[name], self._half[name]))
            else:
                self._nodes.append(helper.make_node("Cast", [name], [self._half[name]], to=TensorProto.FLOAT16))
        return self._half[name]

    def _drop_unused(self) -> None:
        used = {name for node in self._graph.node for name in node.input} | {one.name for one in self._graph.output}
        kept = [one for one in self._graph.initializer if one.name in used]
        dropped = {one.name for one in self._graph.initializer} - used
        inputs = [one for one in self._graph.input if one.name not in dropped]
        del self._graph.initializer[:], self._graph.input[:]
        self._graph.initializer.extend(kept)
        self._graph.input.extend(inputs)


def _rounded(weights: "onnx.TensorProto", name: str) -> "onnx.TensorProto":
    values = numpy_helper.to_array(weights)
    if not np.all(np.isfinite(values)) or np.abs(values).max(initial=0) > _LARGEST:
        raise NotHalved(f"weights beyond {_LARGEST:.0f}")
    return numpy_helper.from_array(values.astype(np.float16), name)


def share_of(model: "onnx.ModelProto") -> Mapping[str, int]:
    """Convolutions by the type that they compute in: {"half": n, "single": m}."""
    counts = {"half": 0, "single": 0}
    for node in model.graph.node:
        if node.op_type == "Conv":
            counts["half" if node.input[0].startswith(PREFIX) else "single"] += 1
    return counts
