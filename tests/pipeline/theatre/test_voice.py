"""The puppets' voices."""

import numpy as np

from pipeline.theatre.voice import RATE, Voice, loudness, speech


def test_speech_is_audible_has_pauses_and_repeats_itself() -> None:
    samples = speech(Voice(), 6.0, seed=1, pause=0.6)
    assert len(samples) == 6 * RATE
    assert 0.5 < np.abs(samples).max() < 0.7
    level = np.sqrt((samples.reshape(-1, RATE // 50) ** 2).mean(1))
    quiet = level < 0.003
    assert 0.05 < quiet.mean() < 0.6
    assert np.array_equal(samples, speech(Voice(), 6.0, seed=1, pause=0.6))


def test_voices_differ() -> None:
    low, high = (speech(Voice(name, pitch=pitch), 2.0, seed=1) for name, pitch in (("en-us+m3", 20), ("en-us+f2", 80)))
    assert not np.allclose(low, high)


def test_loudness_of_silence_is_zero() -> None:
    assert not loudness(np.zeros(RATE), np.arange(25) / 25).any()
