"""Measures the sound of clips: levels by arithmetic, speech by a voice detector."""

from collections.abc import Iterator

from pipeline.base.arrays import Floats32
from pipeline.base.units import SAMPLE_RATE, Row
from pipeline.engine.decoded import sound_tracks
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.nets.session import open_session
from pipeline.nets.sound.vad import SpeechDetector, speech_segments
from stages.measure_sound.levels import levels, longest_pause
from stages.measure_sound.settings import MeasureSoundSettings


class MeasureSoundWorker:
    """Turns clips into rows of `sound_measures`.

    Args:
        settings: of the stage.
        context: where videos lie.
        detector: gives the probability of speech.
    """

    def __init__(self, settings: MeasureSoundSettings, context: Context, detector: SpeechDetector) -> None:
        self._settings, self._detector, self._tracks = settings, detector, sound_tracks(context)

    @classmethod
    def from_context(cls, settings: MeasureSoundSettings, context: Context) -> "MeasureSoundWorker":
        """Open the voice detector that the settings name."""
        # One thread and the CPU: the net is recurrent and tiny, and more of either only makes it slower.
        session = open_session(context.nets.resolve(settings.vad).path, "cpu", 1)
        return cls(settings, context, SpeechDetector(session))

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the clip's measures; without sound that decodes, `has_audio` alone."""
        clip, video = unit.row("clips"), unit.row("videos")
        row: Row = {"clip_id": clip["clip_id"], "video_id": clip["video_id"], "has_audio": False}
        wave = None
        if video["audio_codec"]:
            wave = self._tracks.piece(video, clip["first_frame"], clip["frames"])
        if wave is not None:
            row |= {"has_audio": True, **levels(wave), **self._speech(wave)}
        yield row

    def _speech(self, wave: Floats32) -> dict[str, float]:
        seconds = len(wave) / SAMPLE_RATE
        spans = speech_segments(
            self._detector.speech_probability(wave),
            threshold=self._settings.speech_threshold,
            min_speech=self._settings.min_speech_seconds,
            min_pause=self._settings.min_pause_seconds,
        )
        spans = [(start, min(end, seconds)) for start, end in spans]  # the last window reaches past the end
        return {
            "speech_share": sum(end - start for start, end in spans) / seconds,
            "longest_pause_seconds": longest_pause(spans, seconds),
        }


open_worker = MeasureSoundWorker.from_context
