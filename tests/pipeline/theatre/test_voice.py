"""The puppets' voices."""

import hashlib
import subprocess
import sys

import numpy as np

from pipeline.theatre.cast import Voice
from pipeline.theatre.voice import RATE, loudness, speech


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


def test_a_breathy_voice_is_the_same_in_every_process() -> None:
    """Such a voice draws noise; the demo's lip net is fitted to it, and results must not depend on the day it was built."""
    program = (
        "import hashlib; from pipeline.theatre.cast import Voice; from pipeline.theatre.voice import speech;"
        "print(hashlib.sha256(speech(Voice('en+f3'), 4.0, seed=1).tobytes()).hexdigest())"
    )
    elsewhere = {subprocess.check_output([sys.executable, "-c", program], text=True).strip() for _ in range(2)}
    here = hashlib.sha256(speech(Voice("en+f3"), 4.0, seed=1).tobytes()).hexdigest()
    assert elsewhere == {here}
