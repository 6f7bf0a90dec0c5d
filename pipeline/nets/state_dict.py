"""Nets that come as a state dict of torch, written as ONNX files once: the dict, and nodes and constants of the graph.

`onnx` and `torch` are imported where they are used: they are needed once a net, not once a run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pipeline.base.arrays import Floats32

State = Mapping[str, Floats32]

_OPSET, _IR_VERSION = 17, 8


def read(source: Path) -> dict[str, Floats32]:
    """{name: array} of a state dict that torch pickled; it is read with weights only, so that nothing in it is run.

    Raises ImportError where there is no torch, or no onnx to write the result with.
    """
    import onnx  # noqa: F401 - before torch, which is slow to import and might be for nothing
    import torch

    loaded = torch.load(source, map_location="cpu", weights_only=True)
    return {name: value.float().numpy() for name, value in loaded.items()}


class GraphWriter:
    """Nodes and constants of a graph, with weights taken from a state dict.

    Args:
        net: its name, for errors.
        state: the weights.
    """

    def __init__(self, net: str, state: State) -> None:
        self._net, self._state = net, state
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def weight(self, name: str) -> Floats32:
        """An array of the state dict. Raises ValueError where it has none of this name."""
        if name not in self._state:
            raise ValueError(f"this is not {self._net}: it has no {name}")
        return np.asarray(self._state[name], np.float32)

    def op(self, kind: str, *inputs: "str | NDArray[Any]", outputs: int = 1, **attributes: Any) -> str:
        """Add a node; arrays among the inputs become constants. Its first output's name; others count on from it."""
        result = f"{kind.lower()}_{len(self._nodes)}"
        self._add(kind, inputs, [result, *(f"{result}_{k}" for k in range(1, outputs))], attributes)
        return result

    def result(self, name: str, kind: str, *inputs: "str | NDArray[Any]") -> None:
        """Add a node whose output is one of the graph's."""
        self._add(kind, inputs, [name], {})

    def model(
        self, name: str, inputs: Sequence["onnx.ValueInfoProto"], outputs: Sequence["onnx.ValueInfoProto"]
    ) -> bytes:
        """The finished model, checked. Raises ValueError, in onnx's words, for a layer of another shape."""
        graph = helper.make_graph(self._nodes, name, inputs, outputs, self._constants)
        opset = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opset, producer_name="csg405")
        model.ir_version = _IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

    def _add(
        self,
        kind: str,
        inputs: Sequence["str | NDArray[Any]"],
        results: Sequence[str],
        attributes: Mapping[str, Any],
    ) -> None:
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        self._nodes.append(helper.make_node(kind, names, results, **attributes))

    def _constant(self, value: NDArray[Any]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name
