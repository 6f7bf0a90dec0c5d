"""Thresholds of shot detection."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ShotSettings:
    """Thresholds of the detectors.

    `content_score` and `adaptive_score` are PySceneDetect's scores (mean difference of hue, saturation, value, 0..255),
    those of a blend are about the ends of a gradual transition, see `blend.Blend`.
    """

    content_score: float = 27.0
    adaptive_ratio: float = 3.0
    adaptive_score: float = 15.0
    jump_widths_per_second: float = 1.0
    flash_pictures: int = 4
    blend_unexplained: float = 0.12
    blend_share: float = 0.6
    blend_score: float = 35.0
    blend_likeness: float = 0.8
    jump_cut_stir: float = 4.5
    jump_cut_stir_ratio: float = 2.5
    jump_cut_score_ratio: float = 1.9
    net_threshold: float = 0.5
