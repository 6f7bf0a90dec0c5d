"""What `overlap` can be told."""

from typing import Literal

from pydantic import Field

from pipeline.engine.gate import DEFAULT, Gate
from pipeline.engine.settings import Settings, runtime

CPU_BATCH, GPU_BATCH = 8, 64  # windows: on a processor more of them no longer fit its caches, and take longer each


class OverlapSettings(Settings):
    """Which net finds voices, what counts as a span, and which videos are worth it."""

    net: tuple[str, ...] = Field(
        ("segmentation",), min_length=1, description="segmentation nets in the model registry, best first"
    )
    backend: Literal["onnx", "pyannote"] = Field(
        "onnx", description="pyannote is slower and brings torch: a reference to compare with"
    )
    checkpoint: tuple[str, ...] = Field(
        ("segmentation_checkpoint",), min_length=1, description="what the backend pyannote takes instead of `net`"
    )
    step_seconds: float = Field(1.0, gt=0, le=10, description="from the start of a window of 10 s to the next, seconds")
    # Chosen on real voices: tests/bench/results/2026-11-29-overlap-defaults.txt
    soft: bool = Field(True, description="average probabilities over windows; else decisions, as pyannote does")
    onset: float = Field(0.3, gt=0, lt=1, description="score above which a span begins")
    offset: float = Field(0.3, gt=0, lt=1, description="score below which a span ends")
    min_overlap_seconds: float = Field(0.0, ge=0, description="shorter overlaps are not counted, seconds")
    min_gap_seconds: float = Field(0.0, ge=0, description="shorter gaps between two spans are closed, seconds")
    min_voice_seconds: float = Field(0.25, ge=0, description="speech in the clip that makes a voice, seconds")
    keep_scores: bool = Field(False, description="store the scores of every frame in voice_scores")
    # How it runs
    gate: Gate = Field(
        DEFAULT,
        description="conditions on cheap measures: videos in which nobody meets all of them are not listened to",
        json_schema_extra=runtime(),
    )
    batch: int = Field(
        0,
        ge=0,
        description=f"windows of 10 s a run of the net; 0 takes {CPU_BATCH} on a processor, {GPU_BATCH} on a GPU",
        json_schema_extra=runtime(),
    )
