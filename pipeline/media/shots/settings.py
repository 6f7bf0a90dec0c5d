"""Thresholds of shot detection."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ShotSettings:
    """Thresholds of the detectors; scores are PySceneDetect's (mean difference of hue, saturation, value, 0..255)."""

    content_score: float = 27.0
    adaptive_ratio: float = 3.0
    adaptive_score: float = 15.0
    jump_widths_per_second: float = 1.0
    flash_pictures: int = 4
