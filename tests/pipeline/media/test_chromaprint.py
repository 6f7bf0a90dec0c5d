"""Chromaprint by ffmpeg, over a pipe."""

import numpy as np
import pytest

from pipeline.media.chromaprint import fingerprint, is_available, seconds_of
from pipeline.media.writer import WriteError
from tests.stages.twins.talks import RATE, talk


def test_the_ffmpeg_that_the_project_brings_has_it() -> None:
    assert is_available()


@pytest.mark.parametrize("seconds", [2.0, 2.8, 5.0, 20.0])
def test_as_many_items_as_its_documentation_says(seconds: float) -> None:
    items = fingerprint(talk(1, seconds))
    assert items.dtype == np.uint32
    assert seconds_of(len(items)) == (0 if seconds < 2.7 else pytest.approx(seconds, abs=0.13))


def test_equal_sound_gives_equal_items_and_a_shift_shifts_them() -> None:
    wave = talk(2, 15)
    items = fingerprint(wave)
    assert (fingerprint(wave) == items).all()
    later = fingerprint(np.concatenate([np.zeros(round(8 * 1365 / 11_025 * RATE), np.float32), wave]))
    assert np.bitwise_count(later[8:][: len(items)] ^ items[: len(later) - 8]).mean() / 32 < 0.05


def test_nothing_and_what_is_louder_than_full_scale_do_not_break_it() -> None:
    assert len(fingerprint(np.zeros(0, np.float32))) == 0
    loud = fingerprint(np.clip(8 * talk(3, 6), -2, 2))
    assert len(loud) > 20


def test_a_program_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSG405_FFMPEG", "false")
    with pytest.raises(WriteError, match="no fingerprint"):
        fingerprint(np.zeros(RATE, np.float32))
