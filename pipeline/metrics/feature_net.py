"""Nets that turn pictures or clips into feature vectors, opened from ONNX or TorchScript, with checked outputs.

A TorchScript file is a program: torch reads it without Python's pickle, but runs what is in it. So it is opened only from a path
whose hash was compared with a known one, which is what the model registry gives. torchvision is not needed.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base import install
from pipeline.base.arrays import Floats32
from pipeline.base.errors import UserError
from pipeline.nets.session import Device, DeviceMissing, ModelRefused, open_session


class BadFeatures(UserError, ValueError):
    """Raised for outputs that are no feature vectors: a wrong shape, or values that are not finite."""


def is_torchscript(path: Path) -> bool:
    """Whether the file is a zip archive with a TorchScript program's code and constants, which a state dict lacks."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return any("/code/" in name for name in names) and any(name.endswith("/constants.pkl") for name in names)


@dataclass(frozen=True)
class Net:
    """An open net.

    Attributes:
        run: from a batch to whatever the net gives.
        takes: the shape that an ONNX net says it takes, with names for what may change; None of TorchScript.
        batch: the number of inputs that it takes at once, where that is fixed.
    """

    run: Callable[[Floats32], Any]
    takes: tuple[Any, ...] | None = None
    batch: int | None = None


def open_net(path: Path, device: Device, threads: int, options: dict[str, bool]) -> Net:
    """The net of a file.

    Args:
        path: of an ONNX file with one input, or a TorchScript file whose hash is known.
        device, threads: as `open_session` takes them; threads are not torch's.
        options: keyword arguments of a TorchScript net.

    Raises:
        FileNotFoundError, ModelRefused, DeviceMissing: it cannot be opened.
    """
    if not zipfile.is_zipfile(path):
        return _open_onnx(path, device, threads)
    if not is_torchscript(path):
        raise ModelRefused(f"{path} is neither ONNX nor TorchScript")
    try:
        from pipeline.metrics import torchscript
    except ImportError as error:
        raise DeviceMissing(
            f"{path.name} is TorchScript, and torch is not installed: {install.pip('torch')}"
        ) from error
    return Net(torchscript.opened(path, device, options))


def _open_onnx(path: Path, device: Device, threads: int) -> Net:
    session = open_session(path, device, threads)
    [source, *others], out = session.get_inputs(), session.get_outputs()[0]
    if others:
        raise ModelRefused(f"{path} takes {1 + len(others)} inputs; a feature net takes one")
    fixed = source.shape[0] if source.shape and isinstance(source.shape[0], int) else None

    def run(batch: Floats32) -> Any:
        missing = (fixed or len(batch)) - len(batch)
        whole = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.float32)]) if missing else batch
        return session.run([out.name], {source.name: whole})[0][: len(batch)]

    return Net(run, tuple(source.shape), fixed)


def checked(features: Any, count: int, width: int, net: str) -> Floats32:
    """Check a net's output and return it as features (count, width) float32; raises BadFeatures."""
    rows = np.asarray(features, np.float32)
    if rows.shape != (count, width):
        raise BadFeatures(f"{net} gives {width} numbers for each of {count} inputs; this one gave {rows.shape}")
    if not np.isfinite(rows).all():
        raise BadFeatures(f"{net} gave numbers that are not finite")
    return rows
