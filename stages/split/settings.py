"""What split can be told."""

from typing import Any, Self

from pydantic import Field, model_validator

from pipeline.base.units import LONGEST_CLIP_SECONDS
from pipeline.engine.settings import Settings, runtime


class SplitSettings(Settings):
    """Lengths of clips, what parts two shots, and where speech pauses."""

    min_clip_seconds: float = Field(5.0, gt=0, description="shortest clip, seconds")
    max_clip_seconds: float = Field(
        15.0, gt=0, le=LONGEST_CLIP_SECONDS, description="longest clip, seconds; at least twice the shortest"
    )
    target_clip_seconds: float = Field(10.0, gt=0, description="length that clips of a long shot aim at, seconds")
    guard_frames: int = Field(3, ge=0, description="pictures left out next to a cut, at 25 fps")
    content_score: float = Field(27.0, gt=0, description="PySceneDetect's ContentDetector threshold, grey levels")
    adaptive_ratio: float = Field(3.0, gt=1, description="AdaptiveDetector: score over that of its neighbours")
    adaptive_score: float = Field(15.0, gt=0, description="AdaptiveDetector: least score of a cut, grey levels")
    jump_widths_per_second: float = Field(
        1.0, gt=0, description="camera motion that parts shots (a whip), picture widths a second"
    )
    flash_frames: int = Field(4, ge=0, description="a change that is gone after so many pictures is a flash, no cut")
    jump_cut_stir: float = Field(
        4.5, gt=0, description="least change of a jump cut, mean over the picture beyond noise, grey levels of RGB"
    )
    jump_cut_stir_ratio: float = Field(2.5, gt=1, description="a jump cut's change over that of its neighbours")
    jump_cut_score_ratio: float = Field(1.9, gt=1, description="a jump cut's content score over that of its neighbours")
    blend_unexplained: float = Field(
        0.12, gt=0, lt=1, description="share of a gradual transition's change that its model may leave unexplained"
    )
    blend_share: float = Field(
        0.6, gt=0, le=1, description="least share of the picture that a gradual transition changes"
    )
    blend_score: float = Field(35.0, gt=0, description="least mean change of a gradual transition, grey levels of RGB")
    blend_likeness: float = Field(
        0.8,
        gt=0,
        le=1,
        description="correlation of two pictures above which the light changed between them, not the shot",
    )
    net: tuple[str, ...] = Field(
        (),
        description='shot nets in the model registry, best first, which may add cuts, such as ["transnetv2"]; '
        "empty: rules alone",
    )
    net_threshold: float = Field(0.5, gt=0, lt=1, description="probability at which a shot net finds a cut")
    vad: tuple[str, ...] = Field(
        ("silero_vad",),
        description="voice detectors in the model registry, best first; empty: long shots are cut into equal windows",
    )
    speech_threshold: float = Field(0.5, gt=0, lt=1, description="speech probability at which speech begins")
    min_pause_seconds: float = Field(0.1, ge=0, description="shorter pauses are not cut at, seconds")
    read_ahead_frames: int = Field(
        64, ge=1, description="pictures decoded ahead of the analysis", json_schema_extra=runtime()
    )

    def result_settings(self) -> dict[str, Any]:
        """Without those of a net where none is asked: what was split before there was one stands."""
        unused = set() if self.net else {"net", "net_threshold"}
        return {name: value for name, value in super().result_settings().items() if name not in unused}

    @model_validator(mode="after")
    def _lengths_can_tile(self) -> Self:
        if not 2 * self.min_clip_seconds <= self.max_clip_seconds:
            raise ValueError("max_clip_seconds must be at least twice min_clip_seconds")
        if not self.min_clip_seconds <= self.target_clip_seconds <= self.max_clip_seconds:
            raise ValueError("target_clip_seconds must lie between min_clip_seconds and max_clip_seconds")
        return self
