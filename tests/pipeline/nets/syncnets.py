"""SyncNets with random weights, for what must be right whatever the weights are."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from pipeline.nets.syncnet import SyncNet, to_onnx


@lru_cache(maxsize=2)
def reference(seed: int = 0) -> Any:
    """The authors' model with random weights and statistics; skips where syncnet-python is not installed."""
    torch = pytest.importorskip("torch", reason="the reference runs on torch")
    pytest.importorskip("onnx", reason="the ONNX form is written with onnx")
    model = pytest.importorskip("syncnet_python.SyncNetModel", reason="needs syncnet-python")
    torch.manual_seed(seed)
    net = model.S().eval()
    with torch.no_grad():
        for name, buffer in net.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
        for value in net.parameters():
            value.mul_(1.6)  # layers as they are at the start of training shrink what passes
        for last in (net.netfclip[3], net.netfcaud[3]):
            last.weight.mul_(0.2)  # distances like those of the trained net, about ten
    return net


def random_net(seed: int = 0, batch: int = 16) -> SyncNet:
    """Our form of the same."""
    from pipeline.nets.session import open_session

    state = {name: value.numpy() for name, value in reference(seed).state_dict().items()}
    return SyncNet(open_session(to_onnx(state), "cpu", 2), batch)


def moving_crops(frames: int, seed: int = 0) -> np.ndarray:
    """(frames, 224, 224, 3) smooth colours that change from picture to picture."""
    import cv2

    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (frames, 7, 7, 3), dtype=np.uint8)
    return np.stack([cv2.resize(picture, (224, 224), interpolation=cv2.INTER_CUBIC) for picture in small])


def noisy_wave(frames: int, seed: int = 0) -> np.ndarray:
    """(frames x 640,) noise whose loudness changes from frame to frame, -1..1."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0.01, 0.5, frames), 640)
    return (rng.uniform(-1, 1, frames * 640) * loud).astype(np.float32)
