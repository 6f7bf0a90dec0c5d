"""A small ONNX graph writer: every call adds one node and returns the name of its result."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
OPSET, IR_VERSION = 17, 8
FOOTAGE_KEY, FOOTAGE = "csg405.footage", "theatre"  # so that nobody runs these nets on people


class Graph:
    """Nodes and constants of one model."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._count = 0

    def _fresh(self, kind: str) -> str:
        self._count += 1
        return f"{kind.lower()}_{self._count}"

    def const(self, value: Array | float | list[int] | list[float], kind: type = np.float32) -> str:
        """A constant; float32 unless told."""
        name = self._fresh("const")
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype=kind), name))
        return name

    def ints(self, *values: int) -> str:
        """A 1-d int64 constant: axes, shapes."""
        return self.const(list(values), np.int64)

    def op(self, kind: str, *inputs: str | float | Array, **attributes: Any) -> str:
        """Add a node; numbers and arrays among the inputs become float32 constants."""
        return self.many(kind, 1, *inputs, **attributes)[0]

    def many(self, kind: str, outputs: int, *inputs: str | float | Array, **attributes: Any) -> list[str]:
        """Add a node with several results."""
        names = [value if isinstance(value, str) else self.const(value) for value in inputs]
        results = [self._fresh(kind) for _ in range(outputs)]
        self._nodes.append(helper.make_node(kind, names, results, **attributes))
        return results

    def add(self, a: str | float | Array, b: str | float | Array) -> str:
        """a + b."""
        return self.op("Add", a, b)

    def sub(self, a: str | float | Array, b: str | float | Array) -> str:
        """a - b."""
        return self.op("Sub", a, b)

    def mul(self, a: str | float | Array, b: str | float | Array) -> str:
        """a * b."""
        return self.op("Mul", a, b)

    def div(self, a: str | float | Array, b: str | float | Array) -> str:
        """a / b."""
        return self.op("Div", a, b)

    def ramp(self, x: str, low: float, high: float) -> str:
        """0 below `low`, 1 above `high`, linear in between."""
        scale = 1.0 / (high - low)
        return self.op("Clip", self.add(self.mul(x, scale), -low * scale), 0.0, 1.0)

    def sum(self, x: str, *axes: int, keep: bool = True) -> str:
        """Sum over axes."""
        return self.op("ReduceSum", x, self.ints(*axes), keepdims=int(keep))

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps a dimension, -1 is inferred."""
        return self.op("Reshape", x, self.ints(*shape))

    def take(self, x: str, indices: list[int], axis: int) -> str:
        """The listed entries along an axis."""
        return self.op("Gather", x, self.const(indices, np.int64), axis=axis)

    def likeness(self, x: str, colours: Array, radius: float) -> str:
        """1 - (distance / radius)^2 of (N, 3, h, w) pixels to each of the colours (C, 3): (N, C, h, w), unclipped.

        Written as one convolution of the pixel and its squared length, because distances to many colours would cost
        many passes: |x - c|^2 = |x|^2 - 2 c.x + |c|^2.
        """
        count = len(colours)
        lifted = self.op("Concat", x, self.sum(self.mul(x, x), 1), axis=1)
        weights = np.concatenate([2.0 * colours, -np.ones((count, 1))], axis=1) / radius**2
        return self.op("Conv", lifted, weights.reshape(count, 4, 1, 1), 1.0 - (colours**2).sum(1) / radius**2)

    def save(
        self,
        path: Path,
        inputs: dict[str, list[int | str]],
        outputs: dict[str, tuple[str, list[int | str]]],
        kinds: dict[str, int] | None = None,
    ) -> Path:
        """Name the results (`outputs`: public name -> (node result, shape)), check and write the model.

        Inputs are float32; `kinds` holds the TensorProto types of others.
        """
        types = kinds or {}
        for public, (result, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [result], [public]))
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [
                helper.make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), shape)
                for name, shape in inputs.items()
            ],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, (_, shape) in outputs.items()],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="csg405")
        model.ir_version = IR_VERSION
        helper.set_model_props(model, {FOOTAGE_KEY: FOOTAGE})
        onnx.checker.check_model(model, full_check=True)
        partial = path.with_suffix(".part")
        onnx.save_model(model, str(partial))
        partial.replace(path)
        return path
