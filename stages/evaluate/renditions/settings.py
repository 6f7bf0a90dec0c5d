"""What renditions is told."""

from typing import Any, Literal

from pydantic import Field

from pipeline.backends.settings import BackendSettings
from pipeline.engine.settings import Settings, runtime
from pipeline.model.generation.sampling import SamplingSettings
from stages.evaluate.gpus import Gpus

Method = Literal["ours", "transfer", "folder", "true"]

# The version of how skeletons are generated: bump it when that changes, and no other method's videos are filmed again for it.
_GENERATED = 2
_OURS = ("model_sha256", *SamplingSettings.model_fields)  # how a skeleton is generated


class RenditionsSettings(SamplingSettings, BackendSettings, Settings):
    """Whose videos they are, and how they are made."""

    method: Method = "ours"
    model_sha256: str = ""  # of the weights
    fit: bool = True
    model: str = Field("", json_schema_extra=runtime())
    window_batch: int = Field(8, json_schema_extra=runtime())
    cast: str = Field("", json_schema_extra=runtime())  # folder of the table `subjects`
    films: str = Field("", json_schema_extra=runtime())  # folder that films of the run are relative to
    folder: str = Field("", json_schema_extra=runtime())  # of another system's videos
    gpus: Gpus = Field((), json_schema_extra=runtime())  # a worker each
    keep_open: bool = Field(True, json_schema_extra=runtime())  # a back-end's weights

    @property
    def drawn(self) -> bool:
        """Whether its videos are drawn skeletons."""
        return self.backend == "skeleton" and self.method in ("ours", "transfer")

    def result_settings(self) -> dict[str, Any]:
        """Those that the method looks at: another seed changes no true motion, another back-end no given video."""
        unused = {"ours": {"fit"} if self.drawn else set(), "transfer": set(_OURS)}.get(self.method, set())
        settings = {name: value for name, value in super().result_settings().items() if name not in unused}
        if self.method == "ours":
            settings["generated"] = _GENERATED
        return settings if self.method in ("ours", "transfer") else {"method": self.method}
