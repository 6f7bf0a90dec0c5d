"""Audio features of kept clips, computed once: wav2vec 2.0 on the frame grid, float16."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from pipeline.base.units import Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit

if TYPE_CHECKING:
    from pipeline.nets.sound.wav2vec import Wav2Vec

STAND_IN = "logmel768"


class AudioFeatures(Stage):
    """What the audio-to-skeleton model hears: (frames, 768) float16 of every sample; null without sound.

    `logmel768` needs no weights and stands in where wav2vec 2.0 is not to be had, in the demo for one. A row says which made it;
    the two are never mixed, because a run has one setting.
    """

    name: ClassVar[str] = "audio_features"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "wav2vec 2.0 features of kept clips on the frame grid"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("samples", ("person_id", "clip_id", "video_id", "frames", "audio")),)
    writes: ClassVar[str] = "audio_features"
    unit: ClassVar[str] = "video_id"
    resources: ClassVar[Resources] = Resources(seconds=3600, memory_gb=12, gpu=True)
    extra: ClassVar[str] = "train"

    features: Literal["wav2vec2", "logmel768"] = Field(
        "wav2vec2", description="wav2vec2: the paper's; logmel768: log-mel lifted to 768, which needs no weights"
    )
    layer: int = Field(12, ge=1, le=12, description="hidden layer of wav2vec 2.0; 12 is the last")
    batch: int = Field(8, ge=1, description="clips of one length at a time", json_schema_extra=runtime())

    _net: "Wav2Vec | None" = PrivateAttr(default=None)

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return () if self.features == STAND_IN else (("wav2vec2",),)

    def needed_modules(self) -> tuple[str, ...]:
        return () if self.features == STAND_IN else ("torch", "transformers", "safetensors")

    def setup(self, context: Context) -> None:
        if self.features == STAND_IN:
            return
        from pipeline.nets.sound.wav2vec import Wav2Vec

        assert context.models is not None, "the driver hands every worker a model registry"
        self._net = Wav2Vec(context.models.resolve(("wav2vec2",)).path, context.device, context.threads)

    def process(self, unit: Unit) -> Iterator[Row]:
        from pipeline.media.audio import from_flac

        samples = unit.rows("samples")
        heard = {
            row["audio"]: row["frames"] for row in samples if row["audio"] is not None
        }  # by people of one clip: once
        found = dict(zip(heard, self._of([from_flac(flac) for flac in heard], list(heard.values())), strict=True))
        for row in samples:
            yield {
                **{key: row[key] for key in ("person_id", "clip_id", "video_id")},
                "audio_features_of": self.label,
                "audio_features": found.get(row["audio"]),
            }

    @property
    def label(self) -> str:
        """What the features are: `logmel768`, or `wav2vec2-base-960h/12` with the layer."""
        return STAND_IN if self.features == STAND_IN else f"wav2vec2-base-960h/{self.layer}"

    def _of(self, waves: list[NDArray[np.float32]], frames: list[int]) -> list[NDArray[np.float16]]:
        from pipeline.nets.sound.wav2vec import batches, logmel, to_grid

        if self._net is None:
            return [logmel(wave, count).astype(np.float16) for wave, count in zip(waves, frames, strict=True)]
        found: dict[int, NDArray[np.float16]] = {}
        for group in batches([len(wave) for wave in waves], self.batch):
            states = self._net.features(np.stack([waves[index] for index in group]), self.layer)
            for index, values in zip(group, states, strict=True):
                found[index] = to_grid(values, frames[index]).astype(np.float16)
        return [found[index] for index in range(len(waves))]


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("audio_features")
