"""What `annotate` can be told."""

from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.engine.settings import Settings, runtime
from pipeline.nets.pose import PoseBackend
from pipeline.nets.pose.batches import CPU_PEOPLE, GPU_PEOPLE


class AnnotateSettings(Settings):
    """Which nets, how often people are detected, and what makes a track a person."""

    detector: tuple[str, ...] = Field(
        ("yolox_l", "yolox_nano"), min_length=1, description="person detectors in the model registry, best first"
    )
    pose: tuple[str, ...] = Field(
        ("dwpose_l", "rtmw_l", "lite133"), min_length=1, description="whole-body pose nets, best first"
    )
    backend: PoseBackend = Field("onnx", description="rtmlib is slower: a reference to compare with")
    precision: Literal["fp32", "fp16"] = Field(
        "fp32",
        description="fp16 halves the nets for a GPU, each one only if 95 % of its points stay within 0.5 px in a trial on it",
    )
    detect_every_frames: int = Field(8, ge=1, description="frames from one detection to the next")
    detector_score: float = Field(0.3, ge=0, le=1, description="least score of a detected box")
    nms_iou: float = Field(0.45, gt=0, lt=1, description="overlap from which the weaker of two boxes is dropped")
    max_persons: int = Field(8, ge=1, description="people looked at in a frame, the largest first")
    # When somebody is really there: small detectors see people in rocks, and pose nets draw one into any box.
    min_presence: float = Field(0.3, ge=0, le=1, description="mean score of the five surest body points of a sighting")
    min_detections: int = Field(2, ge=1, description="detections that make a person; fewer are a false alarm")
    min_track_share: float = Field(0.1, ge=0, le=1, description="share of the clip's frames that make a person")
    min_track_score: float = Field(0.4, ge=0, le=1, description="median over frames of that mean body score")
    min_person_height_px: float = Field(40.0, ge=0, description="median height of a person's box, pixels")
    min_detail_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of a person's frames in which a face or a hand is found, unless the body is sure",
    )
    sure_body_score: float = Field(0.85, ge=0, description="median body score that needs neither face nor hands")
    min_detail_score: float = Field(0.3, ge=0, le=1, description="mean score from which a face or a hand is found")
    # Who is who
    max_gap_frames: int = Field(25, ge=1, description="frames for which a person may be out of sight and stay the same")
    min_similarity: float = Field(0.2, ge=0, le=1, description="likeness of box and pose that links two sightings")
    duplicate_similarity: float = Field(0.6, ge=0, le=1, description="likeness from which two boxes are one person")
    min_keypoint_score: float = Field(0.3, ge=0, le=1, description="keypoints below it are not used to compare people")
    max_missing_share: float = Field(0.1, ge=0, le=1, description="share of the clip's pictures that may not decode")
    # How it runs
    pose_batch: int = Field(
        0,
        ge=0,
        description=f"people a run of the pose net; 0 takes {CPU_PEOPLE} on a processor, {GPU_PEOPLE} on a GPU",
        json_schema_extra=runtime(),
    )
    detector_batch: int = Field(8, ge=1, description="pictures a run of the detector", json_schema_extra=runtime())

    @model_validator(mode="after")
    def _as_released(self) -> "AnnotateSettings":
        if self.backend == "rtmlib" and self.precision != "fp32":
            raise ValueError("rtmlib takes pose nets as they were released: precision=fp16 needs backend=onnx")
        return self

    def result_settings(self) -> dict[str, Any]:
        """As of every stage, without the precision, which the nets' identities carry where it changes anything."""
        return {name: value for name, value in super().result_settings().items() if name != "precision"}
