"""Seconds without speech: found by a real voice detector, told in one line, and said where nobody looked."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.base.units import SAMPLE_RATE
from pipeline.media.audio import read_wave
from pipeline.model.generation.silence import Silence, between, silence_of
from tests.pipeline.nets.fakes import asset


class Nets:
    """A registry that holds the real voice detector, or none."""

    def __init__(self, *, there: bool = True) -> None:
        self.there = there

    def optional(self, names: tuple[str, ...]) -> Any:
        assert names == ("silero_vad",)
        return SimpleNamespace(path=asset("models/silero_vad.onnx")) if self.there else None

    def advice(self, names: tuple[str, ...]) -> str:
        return f"{names[0]} is missing: install it"


@pytest.mark.parametrize(
    ("speech", "wanted"),
    [
        ([], [(0.0, 10.0)]),
        ([(0.0, 10.0)], []),
        ([(0.5, 9.5)], []),
        ([(1.0, 4.0), (5.5, 9.0)], [(0.0, 1.0), (4.0, 5.5), (9.0, 10.0)]),
        ([(0.0, 3.0), (3.9, 10.016)], []),  # the last window reaches past the end
    ],
)
def test_what_lies_between_speech(speech: list[tuple[float, float]], wanted: list[tuple[float, float]]) -> None:
    assert between(speech, 10.0) == wanted


def test_a_moment_without_any_speech_is_not_speech_throughout() -> None:
    assert "no speech in 0.4 of its 0.4 s" in str(Silence(between([], 0.4), 0.4))
    assert str(Silence(between([(0.0, 0.4)], 0.4), 0.4)) == "speech throughout its 0.4 s"


def test_music_before_and_noise_after_a_voice_are_found() -> None:
    voice = read_wave(asset("audio/whisper_jfk.flac"))
    assert voice is not None
    t = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    chord = 0.2 * sum(np.sin(2 * np.pi * f * t) for f in (220, 277.2, 329.6))
    noise = np.random.default_rng(0).normal(0, 0.05, t.size)
    start, end = 3.0, 3.0 + len(voice) / SAMPLE_RATE
    found = silence_of(np.concatenate([chord, voice, noise]).astype(np.float32), Nets())  # type: ignore[arg-type]
    assert found.spans is not None
    first, *within, last = found.spans
    assert first == (0.0, pytest.approx(start, abs=0.5)) and last == (pytest.approx(end, abs=0.6), end + 3)
    assert all(start < a < b < end for a, b in within)
    assert str(found).startswith("no speech in ") and "at 0.0-" in str(found) and "\n" not in str(found)


def test_a_sound_without_any_speech_is_said_to_hold_none() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * SAMPLE_RATE).astype(np.float32)
    found = silence_of(noise, Nets())  # type: ignore[arg-type]
    assert found.spans == [(0.0, 4.0)] and "no speech in 4.0 of its 4.0 s (at 0.0-4.0 s)" in str(found)


def test_it_is_said_where_nobody_looked() -> None:
    found = silence_of(np.zeros(SAMPLE_RATE, np.float32), Nets(there=False))  # type: ignore[arg-type]
    assert found.spans is None
    assert str(found) == "not looked for seconds without speech: silero_vad is missing: install it"


def test_the_line_stays_one_line() -> None:
    assert str(Silence([], 12.34)) == "speech throughout its 12.3 s"
    many = Silence([(3.0 * n, 3.0 * n + 1.5) for n in range(200)], 600.0)
    assert "and 195 more spans" in str(many) and len(str(many)) < 200
