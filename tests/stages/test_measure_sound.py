"""Measures of sound, on waves whose truth is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.video import write_video
from pipeline.tables.kinds import KINDS
from stages.measure_sound import MeasureSound
from stages.measure_sound.levels import clipped_share, levels, longest_pause
from tests.stages.stage_assets import AssetModels, asset

SECOND = 16_000


def tone(amplitude: float, seconds: float = 1.0) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * 440 * np.arange(int(seconds * SECOND)) / SECOND)).astype(np.float32)


def test_levels_of_a_tone() -> None:
    measured = levels(tone(0.5))
    assert measured["loudness_dbfs"] == pytest.approx(-9.03, abs=0.02)
    assert measured["peak_dbfs"] == pytest.approx(-6.02, abs=0.02)
    assert (measured["clipped_share"], measured["silence_share"]) == (0, 0)


def test_levels_of_silence_and_of_nothing() -> None:
    for wave in (np.zeros(SECOND, np.float32), np.zeros(0, np.float32)):
        measured = levels(wave)
        assert (measured["loudness_dbfs"], measured["peak_dbfs"]) == (-120, -120)
        assert (measured["clipped_share"], measured["silence_share"]) == (0, 1)


def test_half_silent() -> None:
    wave = np.concatenate([tone(0.5), np.full(SECOND, 1e-5, np.float32)])
    assert levels(wave)["silence_share"] == pytest.approx(0.5)


def test_only_runs_at_full_scale_are_clipping() -> None:
    wave = np.zeros(100, np.float32)
    wave[10] = wave[20] = wave[21] = 1
    assert clipped_share(wave) == 0
    wave[40:45] = -1
    assert clipped_share(wave) == 0.05
    assert clipped_share(np.clip(tone(2.0), -1, 1)) == pytest.approx(2 / 3, abs=0.02)


@pytest.mark.parametrize(
    ("speech", "pause"),
    [([], 10), ([(0, 10)], 0), ([(1, 9)], 1), ([(0, 2), (5, 9)], 3), ([(0, 1), (2, 3)], 7), ([(4, 5)], 5)],
)
def test_longest_pause(speech: list[tuple[float, float]], pause: float) -> None:
    assert longest_pause(speech, 10.0) == pause


def unit(path: str, first: int = 0, frames: int = 125, codec: str | None = "aac") -> Unit:
    return Unit(
        "c",
        {
            "clips": [{"clip_id": "c", "video_id": "v", "first_frame": first, "frames": frames}],
            "videos": [{"path": path, "sha256": "", "audio_codec": codec}],
        },
    )


def measure(run: Path, unit: Unit) -> dict[str, Any]:
    worker = MeasureSound().worker(Context(run=run, models=AssetModels()))  # type: ignore[arg-type]
    [row] = worker.process(unit)
    assert set(row) <= set(KINDS["sound_measures"].schema.names)
    return row


def film(path: Path, wave: np.ndarray | None, seconds: int) -> None:
    write_video(path, (np.zeros((32, 32, 3), np.uint8) for _ in range(25 * seconds)), wave, size=(32, 32))


def test_speech_and_silence_of_two_clips(tmp_path: Path) -> None:
    speech, rate = soundfile.read(asset("audio/whisper_jfk.flac"), dtype="float32")
    speech = soxr.resample(speech if speech.ndim == 1 else speech.mean(1), rate, SECOND)
    film(tmp_path / "a.mp4", np.concatenate([speech[: 5 * SECOND], np.zeros(5 * SECOND, np.float32)]), 10)
    spoken = measure(tmp_path, unit("a.mp4"))
    assert spoken["has_audio"] and spoken["speech_share"] > 0.5 and spoken["longest_pause_seconds"] < 3
    silent = measure(tmp_path, unit("a.mp4", first=130, frames=120))
    assert silent["has_audio"] and silent["speech_share"] == 0
    assert silent["longest_pause_seconds"] == pytest.approx(4.8) and silent["silence_share"] > 0.9


def test_a_clip_without_sound_has_a_row_too(tmp_path: Path) -> None:
    film(tmp_path / "mute.mp4", None, 1)
    for codec in (None, "aac"):  # said to have none, or said to have one that does not decode
        row = measure(tmp_path, unit("mute.mp4", frames=25, codec=codec))
        assert row == {"clip_id": "c", "video_id": "v", "has_audio": False}
