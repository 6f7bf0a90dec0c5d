"""What subjects is told."""

from typing import Any, Literal

from pydantic import Field

from pipeline.base.units import FPS
from pipeline.engine.settings import Settings, runtime
from pipeline.nets.pose import PoseBackend
from stages.evaluate.collection import Protocol
from stages.evaluate.gpus import Gpus


class SubjectsSettings(Settings):
    """The test set, and the nets that annotate it where it has no skeletons."""

    protocol: Protocol = "csg405"
    detector: tuple[str, ...] = ()
    pose: tuple[str, ...] = ()
    pose_backend: PoseBackend = "onnx"
    split: Literal["train", "validation", "test", "all"] = "test"
    frames_fps: float = float(FPS)
    limit: int = Field(0, json_schema_extra=runtime())  # says which units there are, and changes none
    gpus: Gpus = Field((), json_schema_extra=runtime())  # a worker each, where nets annotate
    source: str = Field("", json_schema_extra=runtime())  # folder of shards, or of files
    base: str = Field("", json_schema_extra=runtime())  # folder that the shards' videos are relative to

    def result_settings(self) -> dict[str, Any]:
        """Without those that change nothing: clips of the shards have a rate and keypoints of their own, and `pose_backend` at its
        default stays out, so that fingerprints are those of runs from before there was the setting.
        """
        unused = {"frames_fps"} if self.protocol == "csg405" else set()
        if self.protocol == "csg405" or self.pose_backend == "onnx":
            unused |= {"pose_backend"}
        return {name: value for name, value in super().result_settings().items() if name not in unused}

    @property
    def shards_split(self) -> str | None:
        """The split of the shards that is tested on; None for all."""
        return None if self.split == "all" else self.split
