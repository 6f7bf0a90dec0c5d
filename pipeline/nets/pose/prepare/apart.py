"""Preparing a net in a process of its own: a file is taken for hostile, and one that never ends must not stop the command."""

from collections.abc import Callable
from pathlib import Path

from pipeline.nets.limited import NetStopped, limited
from pipeline.nets.pose.prepare import detectors, poses
from pipeline.nets.session import ModelRefused


def detector(source: Path, target: Path, seconds: float) -> str:
    """As `pipeline.nets.pose.prepare.detector`."""
    return _prepared(detectors.write, source, target, seconds)


def pose(source: Path, target: Path, seconds: float) -> str:
    """As `pipeline.nets.pose.prepare.pose`."""
    return _prepared(poses.write, source, target, seconds)


def _prepared(write: Callable[[Path, Path], str], source: Path, target: Path, seconds: float) -> str:
    try:
        return str(limited(seconds, write, source, target))
    except (NetStopped, ModelRefused) as error:
        return str(error)
