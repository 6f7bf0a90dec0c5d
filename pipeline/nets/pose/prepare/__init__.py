"""Nets made faster once, before they are used: pictures come in as bytes, a detector takes any canvas, peaks are found inside.

The registry calls `detector` and `pose` and keeps what they write. A file is taken for hostile: its graph is changed only where all
of it is understood, and the result is run, in a process of its own, beside the file that it was made of.

What does it is imported where it is called: it is needed once a net, the version in every command.
"""

from pathlib import Path

VERSION = 1
"""Of the recipes; a part of the fingerprint of every stage that uses a prepared net: raise it when results change."""

SECONDS = 600.0  # for the largest nets on a busy processor


def detector(source: Path, target: Path, seconds: float = SECONDS) -> str:
    """Write the prepared form of a YOLOX detector; returns "", or why it is better used as it is."""
    from pipeline.nets.pose.prepare import apart

    return apart.detector(source, target, seconds)


def pose(source: Path, target: Path, seconds: float = SECONDS) -> str:
    """Write the prepared form of a net with SimCC outputs; returns "", or why it is better used as it is."""
    from pipeline.nets.pose.prepare import apart

    return apart.pose(source, target, seconds)
