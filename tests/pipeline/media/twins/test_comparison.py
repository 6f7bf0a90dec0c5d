"""What two fingerprints share, on talks whose truth is known."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.media.chromaprint import ITEM_SECONDS, fingerprint
from pipeline.media.twins.candidates import BIN, candidates
from pipeline.media.twins.comparison import Match, compare, self_error, sounding_seconds
from tests.stages.twins.talks import RATE, on_its_way, printed, talk

LIMIT = 0.2
SECONDS = 20.0


def met(a: np.ndarray, b: np.ndarray, limit: float = LIMIT) -> Match | None:
    """What two waves share, sought where the index says."""
    prints = [fingerprint(a), fingerprint(b)]
    offsets = [int(first) + step for pair in candidates(prints) for first in pair.offsets for step in range(BIN)]
    return compare(prints[0], prints[1], offsets, limit)


@pytest.mark.parametrize(
    ("how", "suffix", "speed", "offset"),
    [
        (("-c:a", "aac", "-b:a", "48k"), "m4a", 1, 0),
        (("-c:a", "libopus", "-b:a", "32k"), "webm", 1, 0),
        (("-ar", "16000", "-c:a", "libmp3lame", "-b:a", "24k"), "mp3", 1, 0),
        (("-af", "lowpass=3000,volume=0.3"), "wav", 1, 0),
        (("-ss", "3.3"), "wav", 1, 3.3),
        (("-af", "adelay=4200"), "wav", 1, -4.2),
        (("-af", "atempo=0.96"), "wav", 0.96, 0),
        (("-af", "atempo=1.02"), "wav", 1.02, 0),
        (("-af", "atempo=1.04"), "wav", 1.04, 0),
    ],
    ids=["aac", "opus", "mp3", "quiet", "later", "earlier", "slower", "faster", "much faster"],
)
def test_a_copy_is_found_with_its_speed_and_offset(
    tmp_path: Path, how: tuple[str, ...], suffix: str, speed: float, offset: float
) -> None:
    original = talk(1, SECONDS)
    copy = on_its_way(original, tmp_path, *how, suffix=suffix)
    match = met(copy, original)
    assert match is not None and match.error < 0.15
    assert match.speed == pytest.approx(speed, abs=0.012)
    assert match.offset_seconds == pytest.approx(offset, abs=0.2)
    assert match.seconds >= 0.9 * (SECONDS - abs(offset))


def test_another_talk_the_other_half_and_another_pitch_are_not_found(tmp_path: Path) -> None:
    first = talk(1, SECONDS)
    assert met(first, talk(2, SECONDS), 0.24) is None
    assert met(first[: len(first) // 2], first[len(first) // 2 :], 0.24) is None
    higher = on_its_way(first, tmp_path, "-af", "asetrate=16640,aresample=16000,atempo=0.9615")
    assert met(higher, first) is None  # said in the documents: this is for the picture to find


def test_silence_hum_and_loops_are_no_evidence() -> None:
    still = np.zeros(20 * RATE, np.float32)
    hum = (0.2 * np.sin(2 * np.pi * 50 * np.arange(20 * RATE) / RATE)).astype(np.float32)
    for wave in (still, hum):
        items = fingerprint(wave)
        assert self_error(items).max() < 0.3
        assert compare(items, items, range(-8, 9), LIMIT) is None
        assert list(candidates([items, items])) == []


def test_only_what_is_shared_counts_and_offsets_drift_with_speed(tmp_path: Path) -> None:
    """Two minutes at 1.03: the offset drifts by thirty items, far beyond the bin that it begins in."""
    long = talk(3, 120)
    copy = on_its_way(np.concatenate([talk(4, 15), long]), tmp_path, "-af", "atempo=1.03")
    match = met(copy, long)
    assert match is not None
    assert match.speed == pytest.approx(1.03, abs=0.003)
    assert match.offset_seconds == pytest.approx(-15, abs=0.4)
    assert match.seconds == pytest.approx(120 / 1.03, abs=4)
    [(begin, end)] = match.spans
    assert begin == pytest.approx(15 / 1.03, abs=1.5) and end == pytest.approx(135 / 1.03, abs=1.5)


def test_a_loop_counts_as_long_as_the_shorter_side() -> None:
    piece = talk(5, 8)
    match = met(np.tile(piece, 4), piece)
    assert match is not None and match.seconds <= 8.1


def test_fingerprints_that_are_too_short_share_nothing() -> None:
    items = printed(1, 6)
    assert compare(items[:19], items, [0], LIMIT) is None and compare(items, items[:0], [0], LIMIT) is None
    assert sounding_seconds(items[:19]) == 0


def test_sounding_seconds_leave_out_silence_down_to_half() -> None:
    speech, silence = talk(6, 20), np.zeros(20 * RATE, np.float32)
    assert sounding_seconds(fingerprint(speech)) == pytest.approx(20, abs=0.2)
    mostly = np.concatenate([speech[: 10 * RATE], silence, silence])
    assert sounding_seconds(fingerprint(mostly)) == pytest.approx(25, abs=0.2)
    assert len(fingerprint(silence)) * ITEM_SECONDS == pytest.approx(17.4, abs=0.2)
