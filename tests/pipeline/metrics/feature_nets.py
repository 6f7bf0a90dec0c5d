"""Tiny nets of the signatures of Inception and I3D, in both forms: weighted means of what each sees after its own preparation."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")


def ramp(side: int) -> np.ndarray:
    """(side, side) weights that differ everywhere, so that a picture prepared otherwise has another mean."""
    y, x = np.mgrid[:side, :side] / side
    return np.asarray(np.sin(9 * x + 2) * np.cos(7 * y * y) + x, np.float32)


def spread(width: int, weight: float) -> np.ndarray:
    """(3, width): every feature is one of the three channels' means."""
    return np.asarray((np.arange(3)[:, None] == np.arange(width) % 3).astype(np.float32) * np.float32(weight))


class InceptionLike(torch.nn.Module):
    """Prepares pictures as NVlabs' inception-2015-12-05.pt does."""

    ramp: torch.Tensor
    spread: torch.Tensor

    def __init__(self, width: int, weight: float) -> None:
        super().__init__()
        self.register_buffer("ramp", torch.from_numpy(ramp(299)))
        self.register_buffer("spread", torch.from_numpy(spread(width, weight)))

    def forward(self, img: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert return_features
        count, _, height, width = img.shape
        theta = torch.eye(2, 3)
        theta[0, 2] += theta[0, 0] / width - theta[0, 0] / 299
        theta[1, 2] += theta[1, 1] / height - theta[1, 1] / 299
        grid = torch.nn.functional.affine_grid(theta[None].repeat([count, 1, 1]), [count, 3, 299, 299], False)
        x = torch.nn.functional.grid_sample(img, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return ((x - 128) / 128 * self.ramp).mean([2, 3]) @ self.spread


class I3DLike(torch.nn.Module):
    """Prepares clips as StyleGAN-V's i3d_torchscript.pt is called to do."""

    ramp: torch.Tensor
    spread: torch.Tensor

    def __init__(self, width: int, weight: float) -> None:
        super().__init__()
        self.register_buffer("ramp", torch.from_numpy(ramp(224)))
        self.register_buffer("spread", torch.from_numpy(spread(width, weight)))

    def forward(
        self, x: torch.Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> torch.Tensor:
        assert rescale and resize and return_features
        size = [x.shape[2], 224, 224]
        x = torch.nn.functional.interpolate(2 * x / 255 - 1, size, mode="trilinear", align_corners=False)
        return (x * self.ramp).mean([2, 3, 4]) @ self.spread


def script(target: Path, net: Any, width: int, weight: float = 1.0) -> Path:
    """The TorchScript form of one of these."""
    torch.jit.script(net(width, weight)).save(str(target))
    return target


def as_onnx(target: Path, shape: tuple[Any, ...], width: int, weight: float = 1.0) -> Path:
    """The ONNX form, for prepared pictures or clips of this shape."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "ramp"], ["weighted"]),
            helper.make_node("ReduceMean", ["weighted"], ["means"], axes=list(range(2, len(shape))), keepdims=0),
            helper.make_node("MatMul", ["means", "spread"], ["features"]),
        ],
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", width])],
        [
            numpy_helper.from_array(ramp(shape[-1]), "ramp"),
            numpy_helper.from_array(spread(width, weight), "spread"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    target.write_bytes(model.SerializeToString())
    return target
