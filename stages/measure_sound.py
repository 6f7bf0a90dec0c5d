"""Cheap measures of a clip's sound, for every clip: is there any, is it speech, how loud, clipped or silent."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from pipeline.base.units import SAMPLE_RATE, Row
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit

if TYPE_CHECKING:
    from pipeline.media.last_wave import LastWave
    from pipeline.nets.sound.vad import SpeechDetector

FRAME_SAMPLES = 320  # 20 ms
FLOOR_DBFS = -120.0  # what digital silence is said to have
SILENCE_DBFS = -60.0
FULL_SCALE = 32766 / 32768  # from here on a sample counts as clipped: resampling moves it a little
CLIPPED_RUN = 3  # samples: a lone peak at full scale is no clipping


def levels(wave: NDArray[np.float32]) -> dict[str, float]:
    """Level measures of a wave (samples,) at 16 kHz, full scale 1; the names are those of `sound_measures`."""
    wave = np.asarray(wave, np.float64)
    frames = wave[: len(wave) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    quiet = (frames**2).mean(1) < 10 ** (SILENCE_DBFS / 10) if len(frames) else np.ones(1)
    return {
        "loudness_dbfs": _decibel(float(np.sqrt((wave**2).mean())) if wave.size else 0.0),
        "peak_dbfs": _decibel(float(np.abs(wave).max(initial=0.0))),
        "clipped_share": clipped_share(wave),
        "silence_share": float(quiet.mean()),
    }


def clipped_share(wave: NDArray[np.floating]) -> float:
    """Share of samples that lie in runs of at least `CLIPPED_RUN` at full scale."""
    full = np.concatenate([[False], np.abs(wave) >= FULL_SCALE, [False]])
    edges = np.flatnonzero(np.diff(full.astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= CLIPPED_RUN].sum() / max(1, len(wave)))


def longest_pause(speech: list[tuple[float, float]], seconds: float) -> float:
    """The longest span in [0, seconds] without speech; `speech` are sorted (start, end) in seconds."""
    starts = [start for start, _ in speech] + [seconds]
    ends = [0.0] + [end for _, end in speech]
    return max(0.0, *(start - end for start, end in zip(starts, ends, strict=True)))


def _decibel(amplitude: float) -> float:
    return max(FLOOR_DBFS, 20 * float(np.log10(max(amplitude, 1e-12))))


class MeasureSound(Stage):
    """Level and speech measures; a row for every clip, silent ones included."""

    name: ClassVar[str] = "measure_sound"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "speech share, pauses, loudness, clipping and silence of every clip"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("clips", ("clip_id", "video_id", "first_frame", "frames")),
        Reads("videos", ("path", "sha256", "audio_codec")),
    )
    writes: ClassVar[str] = "sound_measures"
    unit: ClassVar[str] = "clip_id"
    resources: ClassVar[Resources] = Resources(seconds=1800)

    vad: tuple[str, ...] = Field(("silero_vad",), description="voice detectors in the model registry, best first")
    speech_threshold: float = Field(0.5, gt=0, lt=1, description="speech probability at which speech begins")
    min_speech_seconds: float = Field(0.25, ge=0, description="shorter bursts are not called speech, seconds")
    min_pause_seconds: float = Field(0.1, ge=0, description="shorter pauses are not counted, seconds")

    _context: Context = PrivateAttr()
    _detector: "SpeechDetector" = PrivateAttr()
    _waves: "LastWave" = PrivateAttr()

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return (self.vad,)

    def setup(self, context: Context) -> None:
        from pipeline.media.last_wave import LastWave
        from pipeline.nets.session import open_session
        from pipeline.nets.sound.vad import SpeechDetector

        self._waves = LastWave()
        assert context.models is not None, "the driver hands every worker a model registry"
        self._context = context
        # One thread and the CPU: the net is recurrent and tiny, and more of either only makes it slower.
        self._detector = SpeechDetector(open_session(context.models.resolve(self.vad).path, "cpu", 1))

    def process(self, unit: Unit) -> Iterator[Row]:
        clip, video = unit.row("clips"), unit.row("videos")
        row: Row = {"clip_id": clip["clip_id"], "video_id": clip["video_id"], "has_audio": False}
        wave = None
        if video["audio_codec"]:
            wave = self._waves.piece(self._context.run / video["path"], clip["first_frame"], clip["frames"])
        if wave is not None:
            row |= {"has_audio": True, **levels(wave), **self._speech(wave)}
        yield row

    def _speech(self, wave: NDArray[np.float32]) -> dict[str, float]:
        from pipeline.nets.sound.vad import speech_segments

        seconds = len(wave) / SAMPLE_RATE
        spans = speech_segments(
            self._detector.speech_probability(wave),
            threshold=self.speech_threshold,
            min_speech=self.min_speech_seconds,
            min_pause=self.min_pause_seconds,
        )
        spans = [(start, min(end, seconds)) for start, end in spans]  # the last window reaches past the end
        return {
            "speech_share": sum(end - start for start, end in spans) / seconds,
            "longest_pause_seconds": longest_pause(spans, seconds),
        }


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("measure_sound")
