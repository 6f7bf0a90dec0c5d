"""SyncNet v2 as one ONNX file, written from its state dict (Chung and Zisserman, "Out of time", ACCV-W 2016).

The net's only work in time is its first layer, which looks at five pictures at once. So that layer is written as a 2-D
convolution over five pictures' channels, and everything runs picture by picture: onnxruntime's 3-D convolutions take
1.4 times as long. The pictures go in as bytes, and each only once: windows are gathered inside. Batch norms are folded.

    lips  uint8   (N, T, 224, 224, 3), BGR          ->  lip    float32 (N, T - 4, 1024)
    mfcc  float32 (M, 1, 13, 20)                    ->  sound  float32 (M, 1024)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from pipeline.base.arrays import Floats32
from pipeline.nets import state_dict
from pipeline.nets.state_dict import GraphWriter, State

WINDOW = 5  # pictures that the first layer sees at once
SIDE = 224  # px of a face crop
CEPSTRA, STEPS = 13, 20  # of a sound window
WIDTH = 1024  # of both embeddings
LIPS, MFCC, LIP, SOUND = "lips", "mfcc", "lip", "sound"
_EPSILON = 1e-5  # torch's default of batch norms

# Layers of the state dict: (number in its sequence, strides, pads) of a convolution with its batch norm one further and a
# ReLU; ("pool", kernel, strides, pads). In two dimensions: of a picture, and of (cepstra, steps).
_LIP_LAYERS: tuple[tuple[Any, ...], ...] = (
    (0, (2, 2), (0, 0)), ("pool", (3, 3), (2, 2), (0, 0)),
    (4, (2, 2), (1, 1)), ("pool", (3, 3), (2, 2), (1, 1)),
    (8, (1, 1), (1, 1)), (11, (1, 1), (1, 1)), (14, (1, 1), (1, 1)), ("pool", (3, 3), (2, 2), (0, 0)),
    (18, (1, 1), (0, 0)),
)  # fmt: skip
_SOUND_LAYERS: tuple[tuple[Any, ...], ...] = (
    (0, (1, 1), (1, 1)),
    (4, (1, 1), (1, 1)), ("pool", (3, 3), (1, 2), (0, 0)),
    (8, (1, 1), (1, 1)), (11, (1, 1), (1, 1)), (14, (1, 1), (1, 1)), ("pool", (3, 3), (2, 2), (0, 0)),
    (18, (1, 1), (0, 0)),
)  # fmt: skip


def convert(source: Path, target: Path) -> None:
    """Turn `syncnet_v2.model`, a state dict pickled by torch, into the ONNX file `target`.

    The pickle is read with weights only: nothing in it is run.

    Raises:
        ImportError: there is no torch or no onnx.
        ValueError: the file is not SyncNet's.
    """
    target.write_bytes(to_onnx(state_dict.read(source)))


def to_onnx(state: State) -> bytes:
    """The ONNX model of a state dict {name: array}; ValueError when it lacks a layer or has one of another shape."""
    writer = _Writer(state)
    lip = writer.head("netfclip", writer.layers("netcnnlip", writer.windows(LIPS), _LIP_LAYERS))
    per_window = writer.op("Reshape", lip, writer.windows_shape(LIPS))
    sound = writer.head("netfcaud", writer.layers("netcnnaud", MFCC, _SOUND_LAYERS))
    for result, name in ((per_window, LIP), (sound, SOUND)):
        writer.result(name, "Identity", result)
    return writer.model(
        "syncnet_v2",
        [
            helper.make_tensor_value_info(LIPS, TensorProto.UINT8, ["N", "T", SIDE, SIDE, 3]),
            helper.make_tensor_value_info(MFCC, TensorProto.FLOAT, ["M", 1, CEPSTRA, STEPS]),
        ],
        [
            helper.make_tensor_value_info(LIP, TensorProto.FLOAT, ["N", "windows", WIDTH]),
            helper.make_tensor_value_info(SOUND, TensorProto.FLOAT, ["M", WIDTH]),
        ],
    )


class _Writer(GraphWriter):
    """The graph with SyncNet's layers."""

    def __init__(self, state: State) -> None:
        super().__init__("SyncNet v2", state)

    def windows(self, pictures: str) -> str:
        """(N, T, 224, 224, 3) bytes -> (N x (T - 4), 15, 224, 224) float32: the channels of five pictures in a row."""
        planes = self.op("Transpose", pictures, perm=[0, 1, 4, 2, 3])
        ends = [*range(1 - WINDOW, 0), np.iinfo(np.int64).max]
        shifted = [
            self.op("Slice", planes, np.array([first]), np.array([end]), np.array([1]))
            for first, end in enumerate(ends)
        ]
        gathered = self.op("Concat", *shifted, axis=2)
        flat = self.op("Reshape", gathered, np.array([-1, 3 * WINDOW, SIDE, SIDE]))
        return self.op("Cast", flat, to=TensorProto.FLOAT)

    def windows_shape(self, pictures: str) -> str:
        """(N, T - 4, 1024) as a shape."""
        batch = self.op("Slice", self.op("Shape", pictures), np.array([0]), np.array([2]))
        fewer = self.op("Sub", batch, np.array([0, WINDOW - 1]))
        return self.op("Concat", fewer, np.array([WIDTH]), axis=0)

    def layers(self, part: str, x: str, layers: Sequence[tuple[Any, ...]]) -> str:
        """Convolutions and pools of one of the two towers."""
        for kind, *numbers in layers:
            if kind == "pool":
                kernel, strides, pads = numbers
                x = self.op("MaxPool", x, kernel_shape=kernel, strides=strides, pads=[*pads, *pads])
            else:
                strides, pads = numbers
                weight, bias = self._folded(part, kind)
                x = self.op("Relu", self.op("Conv", x, weight, bias, strides=strides, pads=[*pads, *pads]))
        return x

    def head(self, part: str, x: str) -> str:
        """Two linear layers on the flattened tower: (B, 1024)."""
        weight, bias = self._folded(part, 0)
        x = self.op("Relu", self.op("Gemm", self.op("Flatten", x), weight, bias, transB=1))
        return self.op("Gemm", x, self.weight(f"{part}.3.weight"), self.weight(f"{part}.3.bias"), transB=1)

    def _folded(self, part: str, number: int) -> tuple[Floats32, Floats32]:
        """Weight and bias of a layer with the batch norm after it; a 3-D kernel's pictures become channels."""
        weight, bias = (self.weight(f"{part}.{number}.{name}") for name in ("weight", "bias"))
        norm = f"{part}.{number + 1}"
        scale = self.weight(f"{norm}.weight") / np.sqrt(self.weight(f"{norm}.running_var") + np.float32(_EPSILON))
        bias = (bias - self.weight(f"{norm}.running_mean")) * scale + self.weight(f"{norm}.bias")
        if weight.ndim == 5:  # out, in, pictures, height, width
            weight = weight.transpose(0, 2, 1, 3, 4).reshape(len(weight), -1, *weight.shape[3:])
        return weight * scale.reshape(-1, *(1,) * (weight.ndim - 1)), bias
