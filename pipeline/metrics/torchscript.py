"""Feature nets that come as TorchScript, opened by torch."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.base.arrays import Floats32
from pipeline.nets.session import Device, DeviceMissing, ModelRefused


def opened(path: Path, device: Device, options: Mapping[str, bool]) -> Callable[[Floats32], Any]:
    """A TorchScript module in evaluation mode, as a function from a batch to what it gives; None where that is no tensor.

    Args:
        path: of a TorchScript file, whose hash is known.
        device: "cpu" or "cuda".
        options: keyword arguments of the net.

    Raises:
        ModelRefused: this torch cannot read it.
        DeviceMissing: torch does not run on `device`.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceMissing(f"{path.name} should run on cuda, but torch finds no GPU")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the form is old, but it is what the nets come in
            module = torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise ModelRefused(f"{path} cannot be loaded: {error}") from error

    def run(batch: Floats32) -> Any:
        with torch.inference_mode():
            result = module(torch.from_numpy(batch).to(device), **options)
        return result.float().cpu().numpy() if isinstance(result, torch.Tensor) else None

    return run
