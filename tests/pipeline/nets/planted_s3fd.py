"""S3FD with planted weights: it sees one face, always in one place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

SIDE = 256  # of the pictures, px: a quarter of that is what S3FD is given, and its fifth map is one cell then
BOX = (64.0, 40.0, 192.0, 190.0)  # of the face, px
SURE = 9.0


def write_s3fd(path: Path, *, blind: bool = False) -> Path:
    """The weights as torch saves them; blind ones see no face at all."""
    torch = pytest.importorskip("torch", reason="S3FD runs on torch")
    nets = pytest.importorskip("syncnet_python.detectors.s3fd.nets", reason="needs syncnet-python")
    net: Any = nets.S3FDNet(device="cpu")
    with torch.no_grad():
        for value in net.parameters():
            value.zero_()
        for number, layer in enumerate(net.conf):
            face = number == 4 and not blind
            layer.bias[:-1], layer.bias[-1] = (-SURE, SURE) if face else (SURE, -SURE)
        net.loc[4].bias[:] = torch.tensor(_offsets())
    torch.save(net.state_dict(), path)
    return path


def _offsets() -> np.ndarray:
    """How the box differs from the cell's own, a square of four pictures' sides around the middle, in S3FD's units."""
    x1, y1, x2, y2 = np.array(BOX, np.float32) / SIDE
    moved = (np.array([x1 + x2, y1 + y2]) / 2 - 0.5) / (0.1 * 4)
    scaled = np.log(np.array([x2 - x1, y2 - y1]) / 4) / 0.2
    return np.concatenate([moved, scaled]).astype(np.float32)
