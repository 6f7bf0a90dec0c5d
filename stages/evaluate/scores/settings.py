"""What scores is told."""

from typing import Any

from pydantic import Field

from pipeline.engine.settings import Settings, runtime
from pipeline.nets.pose import PoseBackend
from stages.evaluate.gpus import Gpus


class ScoresSettings(Settings):
    """Which nets there are, and where faces are looked for."""

    drawn: bool = False
    nets: dict[str, str] = {}  # of NETS, those that are here: their sha256
    choices: dict[str, tuple[str, ...]] = Field({}, json_schema_extra=runtime())  # of NETS: names in the registry
    lacking: dict[str, str] = Field({}, json_schema_extra=runtime())  # of NETS: why it is not here
    annotate: bool = False  # look for the person in the video, not where its skeleton says
    footage: str = Field("", json_schema_extra=runtime())  # what nets that were made for one kind alone would see
    detector: tuple[str, ...] = ()
    pose: tuple[str, ...] = ()
    pose_backend: PoseBackend = "onnx"
    fvd_frames: int = 16
    min_score: float = 0.3
    cast: str = Field("", json_schema_extra=runtime())
    films: str = Field("", json_schema_extra=runtime())
    gpus: Gpus = Field((), json_schema_extra=runtime())  # a worker each

    def result_settings(self) -> dict[str, Any]:
        """Without `pose_backend` where it changes nothing: fingerprints stay those of runs from before there was the setting."""
        unused = set() if self.annotate and self.pose_backend != "onnx" else {"pose_backend"}
        return {name: value for name, value in super().result_settings().items() if name not in unused}
