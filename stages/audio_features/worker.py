"""Computes audio features of the samples of a video, in batches of clips of one length."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.audio import from_flac
from pipeline.nets.sound.wav2vec import batches, logmel, on_release_grid, opened, to_grid
from stages.audio_features.settings import RELEASE, STAND_IN, AudioFeaturesSettings

if TYPE_CHECKING:
    from pipeline.nets.sound.wav2vec_net import Wav2Vec


class AudioFeaturesWorker:
    """Turns samples into rows of `audio_features`.

    Args:
        settings: of the stage.
        net: wav2vec 2.0; None for the stand-in, which needs none.
    """

    def __init__(self, settings: AudioFeaturesSettings, net: "Wav2Vec | None") -> None:
        self._settings, self._net = settings, net

    @classmethod
    def from_context(cls, settings: AudioFeaturesSettings, context: Context) -> "AudioFeaturesWorker":
        """Load wav2vec 2.0, unless the settings ask for the stand-in."""
        if settings.features == STAND_IN:
            return cls(settings, None)
        weights = context.nets.resolve(("wav2vec2",)).path
        return cls(settings, opened(weights, context.device, context.threads))

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield a row for each sample; null without sound."""
        samples = unit.rows("samples")
        frames_of = {row["audio"]: row["frames"] for row in samples if row["audio"] is not None}  # people share a clip
        waves = [from_flac(flac) for flac in frames_of]
        features = dict(zip(frames_of, self._features(waves, list(frames_of.values())), strict=True))
        for row in samples:
            yield {
                **{key: row[key] for key in ("person_id", "clip_id", "video_id")},
                "audio_features_of": self._settings.label,
                "audio_features": features.get(row["audio"]),
            }

    def _features(self, waves: Sequence[Floats32], frames: Sequence[int]) -> list[NDArray[np.float16]]:
        """(frames, 768) of each wave at 16 kHz, for as many frames as are asked of it."""
        if self._net is None:
            return [logmel(wave, count).astype(np.float16) for wave, count in zip(waves, frames, strict=True)]
        if self._settings.features == RELEASE:
            layer, batch = self._settings.layer, self._settings.batch
            made = [on_release_grid(self._net, wave, n, layer, batch) for wave, n in zip(waves, frames, strict=True)]
            return [values.astype(np.float16) for values in made]
        features: dict[int, NDArray[np.float16]] = {}
        for group in batches([len(wave) for wave in waves], self._settings.batch):
            states = self._net.features(np.stack([waves[index] for index in group]), self._settings.layer)
            for index, values in zip(group, states, strict=True):
                features[index] = to_grid(values, frames[index]).astype(np.float16)
        return [features[index] for index in range(len(waves))]


open_worker = AudioFeaturesWorker.from_context
