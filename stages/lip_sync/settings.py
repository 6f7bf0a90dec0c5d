"""What `lip_sync` can be told."""

from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.engine.gate import DEFAULT, Gate
from pipeline.engine.settings import Settings, runtime
from pipeline.skeleton.readable import MIN_PX, MIN_SCORE, MIN_SHARE


class LipSyncSettings(Settings):
    """Which faces are measured, when sound is repaired, and which clips are worth it."""

    net: tuple[str, ...] = Field(
        ("syncnet",), min_length=1, description="lip-sync nets in the model registry, best first"
    )
    backend: Literal["onnx", "syncnet", "syncnet-pipeline"] = Field(
        "onnx",
        description="syncnet: syncnet-python's SyncNetInstance on our crops; syncnet-pipeline: all of it, with its own "
        "face detector. Both are slow and bring torch: references to compare with",
    )
    face_detector: tuple[str, ...] = Field(
        ("s3fd",), min_length=1, description="face detectors in the model registry, of the backend syncnet-pipeline"
    )
    min_face_score: float = Field(
        MIN_SCORE, ge=0, le=1, description="mean score of the face's keypoints in a frame that counts"
    )
    min_face_share: float = Field(
        MIN_SHARE, ge=0, le=1, description="share of frames with a face; with fewer nothing is measured"
    )
    min_face_px: float = Field(
        MIN_PX, ge=1, description="median side of the face in the source; smaller ones have no lips to read"
    )
    repair_offset: bool = Field(False, description="move sound that fits the lips at a constant offset")
    repair_min_confidence: float = Field(4.0, ge=0, description="confidence from which an offset is believed")
    max_repair_frames: int = Field(15, ge=0, le=15, description="largest offset that is repaired, frames of 40 ms")
    gate: Gate = Field(
        DEFAULT,
        description="conditions on cheap measures: clips in which nobody meets all of them are not looked at",
        json_schema_extra=runtime(),
    )
    batch: int = Field(16, ge=1, description="windows of five pictures a run of the net", json_schema_extra=runtime())

    @model_validator(mode="after")
    def _fits_together(self) -> "LipSyncSettings":
        if self.repair_offset and self.backend == "syncnet-pipeline":
            raise ValueError("the backend syncnet-pipeline measures once: repair_offset needs onnx or syncnet")
        return self

    def result_settings(self) -> dict[str, Any]:
        """Without the settings of back-ends that are not used: what was measured before there were any stands."""
        unused = {"onnx": {"backend", "face_detector"}, "syncnet": {"face_detector"}}.get(self.backend, set())
        return {name: value for name, value in super().result_settings().items() if name not in unused}
