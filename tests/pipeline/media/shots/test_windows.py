"""Windows: every property that a cut of a long shot must have, over many random shots."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.media.shots.windows import WindowLimits, guarded, windows

LIMITS = WindowLimits(shortest=125, longest=375, target=250)


@st.composite
def talks(draw: st.DrawFn) -> tuple[int, list[tuple[float, float]]]:
    """A shot's length and spans of speech in it, with pauses of 3 frames or more between them."""
    frames = draw(st.integers(376, 2500))
    spans, at = [], 0.0
    while at < frames:
        start = at + draw(st.floats(3, 40))
        at = start + draw(st.floats(10, 200))
        spans.append((start, at))
    return frames, spans


@given(st.integers(0, 3000))
@settings(max_examples=60, deadline=None)
def test_windows_without_speech_tile_the_shot_evenly(frames: int) -> None:
    found = windows(frames, LIMITS)
    if frames < LIMITS.shortest:
        assert found == []
        return
    assert found[0][0] == 0 and found[-1][1] == frames
    assert all(end == start for (_, end), (start, _) in pairwise(found))
    lengths = [end - first for first, end in found]
    assert all(LIMITS.shortest <= n <= LIMITS.longest for n in lengths)
    assert max(lengths) - min(lengths) <= 1


@given(talks())
@settings(max_examples=40, deadline=None)
def test_windows_lie_within_bounds_and_part_no_word_without_need(talk: tuple[int, list[tuple[float, float]]]) -> None:
    frames, speech = talk
    found = windows(frames, LIMITS, speech)
    assert found[0][0] == 0 and found[-1][1] == frames
    assert all(end == start for (_, end), (start, _) in pairwise(found))
    assert all(LIMITS.shortest <= end - first <= LIMITS.longest for first, end in found)
    parted = sum(_in_speech(first, speech) for first, _ in found[1:])
    assert parted == _fewest_parted(frames, speech)


def _in_speech(frame: int, speech: list[tuple[float, float]]) -> bool:
    return any(start < frame < end for start, end in speech)


def _fewest_parted(frames: int, speech: list[tuple[float, float]]) -> int:
    """The smallest number of cuts inside speech that any tiling needs, by plain search."""
    best = [0 if n == 0 else 10**6 for n in range(frames + 1)]
    for at in range(LIMITS.shortest, frames + 1):
        come = min(best[max(0, at - LIMITS.longest) : at - LIMITS.shortest + 1], default=10**6)
        best[at] = come + (at < frames and _in_speech(at, speech))
    return best[frames]


def test_a_cut_lies_deep_in_the_pause() -> None:
    assert windows(500, LIMITS, [(0, 225), (265, 500)]) in ([(0, 245), (245, 500)], [(0, 250), (250, 500)])


def test_a_pause_out_of_reach_is_no_reason_for_a_leftover() -> None:
    assert windows(500, LIMITS, [(0, 60), (80, 500)]) == [(0, 250), (250, 500)]


@pytest.mark.parametrize(
    ("first", "end", "expected"),
    [
        (0, 500, (0, 500)),  # the whole video
        (0, 300, (0, 297)),
        (200, 500, (203, 500)),
        (100, 300, (103, 297)),
        (100, 225, (100, 225)),  # just long enough: the band gives way
        (100, 227, (101, 226)),
        (0, 126, (0, 125)),
        (100, 150, (100, 150)),  # too short anyway
    ],
)
def test_guard_bands(first: int, end: int, expected: tuple[int, int]) -> None:
    assert guarded(first, end, 500, guard=3, shortest=125) == expected


@given(st.integers(0, 400), st.integers(1, 400), st.integers(0, 12))
@settings(deadline=None)
def test_guard_bands_never_cost_a_shot(first: int, length: int, guard: int) -> None:
    end = first + length
    a, b = guarded(first, end, 800, guard, 125)
    assert first <= a < b <= end
    assert (b - a >= 125) == (length >= 125)
    assert a - first <= guard and end - b <= guard


@pytest.mark.parametrize("numbers", [(0, 10, 5), (10, 19, 12), (10, 30, 40)])
def test_impossible_lengths_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="window lengths"):
        WindowLimits(*numbers)
