"""Cuts by colour: PySceneDetect's Content and Adaptive detectors, over scores that were measured before."""

from collections.abc import Container, Sequence
from typing import Any

import cv2
import numpy as np
from scenedetect.detectors import AdaptiveDetector, ContentDetector

from pipeline.media.shots.flags import Flags, Pixels
from pipeline.media.shots.settings import ShotSettings


class _GivenContent(ContentDetector):
    """The library's decision over a score that was measured before."""

    def _calculate_frame_score(self, frame_num: int, frame_img: Any) -> float:
        return float(frame_img)


class _GivenAdaptive(AdaptiveDetector):
    """The library's decision over a score that was measured before."""

    def _calculate_frame_score(self, frame_num: int, frame_img: Any) -> float:
        return float(frame_img)


def content_score(before: Pixels, after: Pixels) -> float:
    """PySceneDetect's content score with its default weights; before, after: (H, W, 3) HSV as OpenCV makes it."""
    return float(cv2.norm(before, after, cv2.NORM_L1)) / after.size


def covered_score(before: Pixels, after: Pixels, covered: Flags) -> float:
    """The content score of the pixels that camera motion leaves in view; infinite where these are few."""
    if covered.mean() < 0.2:
        return float("inf")
    return float(cv2.absdiff(before, after)[covered].mean())


def colour_cuts(scores: Sequence[float], settings: ShotSettings, not_cuts: Container[int]) -> Flags:
    """(pictures,) a new shot begins here, by the two detectors.

    Args:
        scores: of each picture against the one before.
        settings: thresholds.
        not_cuts: pictures at which none begins, whatever the detectors say: those of a flash.
    """
    content = _GivenContent(threshold=settings.content_score, min_scene_len=0)
    adaptive = _GivenAdaptive(
        adaptive_threshold=settings.adaptive_ratio, min_content_val=settings.adaptive_score, min_scene_len=0
    )
    count = len(scores)
    found: set[int] = set()
    rest = adaptive.window_width  # pictures at rest before and after: no cut is too near to an end to be seen
    for number, score in enumerate([*[0.0] * rest, *scores, *[0.0] * rest], start=-rest):
        found.update(content.process_frame(number, score))
        found.update(adaptive.process_frame(number, score))
    starts = np.zeros(count, dtype=bool)
    starts[[n for n in found if 0 < n < count and n not in not_cuts]] = True
    return starts
