"""Nets in half precision, for GPUs that compute so faster: only where it moves next to nothing on the device that runs them.

The registry calls `detector` and `pose`, and keeps the net and the verdict; it imports this only where half precision is asked for.
"""

import re
from importlib import metadata
from pathlib import Path

from pipeline.nets import card
from pipeline.nets.limited import NetStopped, limited
from pipeline.nets.pose.half.trial import Kind, Verdict, write
from pipeline.nets.session import Device, ModelRefused

VERSION = 2
"""Of the recipe; a part of the fingerprint of every stage that uses a halved net: raise it when results change."""

SECONDS = 600.0  # for the largest nets on a busy processor


def detector(source: Path, target: Path, device: Device, seconds: float = SECONDS) -> Verdict:
    """Write a detector in half precision, if its boxes stay where they are on this device; returns the verdict.

    Raises DeviceMissing.
    """
    return _halved("detector", source, target, device, seconds)


def pose(source: Path, target: Path, device: Device, seconds: float = SECONDS) -> Verdict:
    """Write a pose net in half precision, if its keypoints stay where they are on this device; returns the verdict.

    Raises DeviceMissing.
    """
    return _halved("pose", source, target, device, seconds)


def _halved(kind: Kind, source: Path, target: Path, device: Device, seconds: float) -> Verdict:
    try:
        verdict: Verdict = limited(seconds, write, kind, source, target, device)
    except NetStopped as error:
        return Verdict(refused=str(error), failed=True)
    except ModelRefused as error:
        return Verdict(refused=str(error))
    return verdict


def runner(device: Device) -> str:
    """What a verdict holds for, as a part of file names: the device, the GPU's name if it is one, and onnxruntime's version."""
    parts = [device, *([card.name()] if device == "cuda" else []), "onnxruntime", _runtime_version()]
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(parts))


def _runtime_version() -> str:
    for name in ("onnxruntime-gpu", "onnxruntime"):  # which hide each other
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
