"""Whether a net says in half precision what it says in single precision, in pixels of drawn pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from pipeline.base.arrays import Floats64, Picture
from pipeline.nets.pose.dwpose import PoseNet
from pipeline.nets.pose.half.graph import NotHalved, halved
from pipeline.nets.pose.half.pictures import pictures
from pipeline.nets.pose.yolox import Detector, iou
from pipeline.nets.session import Device, DeviceMissing, ModelRefused, check_model, open_session

Kind = Literal["detector", "pose"]
NEAR_PX = 0.5
SHARE = 0.95  # of the points that must lie so near
SURE = 0.3  # least score of a point that counts
_FEWEST = {"detector": 24, "pose": 400}  # points, without which nothing is known
_BATCH = 8  # a GPU's memory may be small


@dataclass(frozen=True)
class Verdict:
    """What came of a trial.

    Attributes:
        points: that were compared: corners of boxes, or keypoints of which the net is sure in single precision.
        near: share of them within `NEAR_PX` in half precision.
        refused: why the net is not to be used in half precision; "" where it may be.
        failed: whether that says nothing of the net: its trial did not come to an end, and another one may.
    """

    points: int = 0
    near: float = 0.0
    refused: str = ""
    failed: bool = False

    @property
    def words(self) -> str:
        """The measure, or why there is none."""
        return self.refused or f"{100 * self.near:.1f} % of {self.points} points within {NEAR_PX} px on drawn pictures"


class _TrialFailed(Exception):
    """Raised where a net does not load or run on a device, perhaps for lack of memory; the message says what it says."""


def write(kind: Kind, source: Path, target: Path, device: Device) -> Verdict:
    """As `pipeline.nets.pose.half.pose`, in this process."""
    content = source.read_bytes()
    check_model(content, str(source))
    try:
        made = halved(content).SerializeToString()
        distances = _tried(kind, content, made, device)
    except NotHalved as reason:
        return Verdict(refused=str(reason))
    except _TrialFailed as reason:
        return Verdict(refused=str(reason), failed=True)
    verdict = judged(kind, distances)
    if not verdict.refused:
        target.write_bytes(made)
    return verdict


def judged(kind: Kind, distances: Floats64) -> Verdict:
    """The verdict over distances in pixels, of which NaN is a point that is gone."""
    near = float((distances <= NEAR_PX).mean()) if len(distances) else 0.0
    verdict = Verdict(len(distances), near)
    if len(distances) < _FEWEST[kind]:
        why = (
            f"it sees {len(distances)} points in the pictures on which it is tried, of {_FEWEST[kind]} that are wanted"
        )
        return Verdict(len(distances), near, why)
    if near < SHARE:
        return Verdict(len(distances), near, f"{verdict.words}, of {100 * SHARE:.0f} % that are wanted")
    return verdict


def _tried(kind: Kind, single: bytes, half: bytes, device: Device) -> Floats64:
    seen, boxes = pictures()
    try:
        return (
            corners(single, half, device, seen) if kind == "detector" else keypoints(single, half, device, seen, boxes)
        )
    except DeviceMissing:
        raise
    except ModelRefused as error:
        raise _TrialFailed(str(error)) from error
    except ValueError as error:
        raise NotHalved(f"it is no net of this kind: {error}") from error
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise _TrialFailed(f"it does not run: {error}") from error


def corners(single: bytes, half: bytes, device: Device, seen: Sequence[Picture]) -> Floats64:
    """Distances, px, of the corners of boxes from those of the box that is nearest in half precision; NaN where there is none."""
    before, after = (Detector(open_session(net, device), SURE, batch=_BATCH).detect(seen) for net in (single, half))
    found = [np.empty(0)]
    for ours, theirs in zip(before, after, strict=True):
        if not len(theirs):
            found.append(np.full(2 * len(ours), np.nan))
            continue
        nearest = theirs[iou(ours, theirs).argmax(1)] if len(ours) else theirs[:0]
        found.append(np.linalg.norm((ours[:, :4] - nearest[:, :4]).reshape(-1, 2), axis=1))
    return np.concatenate(found)


def keypoints(
    single: bytes, half: bytes, device: Device, seen: Sequence[Picture], boxes: Sequence[ArrayLike]
) -> Floats64:
    """Distances, px, of the keypoints of which the net is sure in single precision; NaN where half sees none."""
    before, after = (PoseNet(open_session(net, device), _BATCH).estimate(seen, boxes) for net in (single, half))
    found = [np.empty(0)]
    for (ours, scores), (theirs, _) in zip(before, after, strict=True):
        found.append(np.linalg.norm(ours - theirs, axis=-1)[scores >= SURE])
    return np.concatenate(found)
