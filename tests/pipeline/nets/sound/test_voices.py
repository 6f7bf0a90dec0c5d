"""Frames, overlap-add and spans, without a net."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.base.units import SAMPLE_RATE
from pipeline.nets.sound.voices import FRAME_STEP, OverlapAdd, Voices, clipped, longest, middles, seconds, spans
from tests.pipeline.nets.sound.little_pyannet import pyannote

WINDOW, FRAMES = 160_000, 589
STEP = FRAME_STEP / SAMPLE_RATE


@pytest.mark.slow
def test_spans_have_hysteresis_as_pyannotes() -> None:
    pyannote()
    from pyannote.audio.utils.signal import Binarize
    from pyannote.core import SlidingWindow, SlidingWindowFeature

    rng = np.random.default_rng(0)
    for number in range(60):
        scores = np.clip(np.cumsum(rng.normal(0, 0.2, 400)) % 2 - 0.5, 0, 1).astype(np.float32)
        on, off, min_on, min_off = rng.choice([0.0, 0.05, 0.2], 4) + np.array([0.5, 0.3, 0, 0])
        frames = SlidingWindow(start=0, duration=991 / SAMPLE_RATE, step=STEP)
        theirs = Binarize(on, off, min_duration_on=min_on, min_duration_off=min_off)(
            SlidingWindowFeature(scores[:, None], frames)
        )
        found = spans(scores, on, off, min_on, min_off)
        wanted = [(segment.start, segment.end) for segment, _ in theirs.itertracks()]
        np.testing.assert_allclose(
            np.array(found).reshape(-1, 2), np.array(wanted).reshape(-1, 2), atol=1e-5, err_msg=str(number)
        )


def test_spans_at_the_edges() -> None:
    assert spans(np.empty(0)) == [] and spans(np.zeros(9)) == [] and spans(np.ones(1)) == []
    first, last = middles(9)[[0, -1]]
    assert spans(np.ones(9)) == [(first, last)]
    assert spans(np.full(9, 0.5)) == []  # neither above nor below: it never began
    assert spans([0, 1, 1, 0, 1, 0], min_off=1.5 * STEP) == [(middles(6)[1], middles(6)[5])]
    assert spans([0, 1, 0, 0, 1, 1, 0], min_on=1.5 * STEP) == [(middles(7)[4], middles(7)[6])]


@pytest.mark.parametrize("windows", [1, 2, 7, 40])
@pytest.mark.parametrize("step", [16_000, 8_000, 40_000])
def test_overlap_add_is_pyannotes(windows: int, step: int) -> None:
    pyannote()
    from pyannote.audio import Inference
    from pyannote.core import SlidingWindow, SlidingWindowFeature

    scores = np.random.default_rng(windows).random((windows, FRAMES, 2)).astype(np.float32)
    total = OverlapAdd(windows, WINDOW, step, FRAMES)
    for at in range(0, windows, 3):
        total.add(scores[at : at + 3])
    chunks = SlidingWindow(start=0, duration=10, step=step / SAMPLE_RATE)
    frames = SlidingWindow(start=0, duration=991 / SAMPLE_RATE, step=STEP)
    theirs = Inference.aggregate(
        SlidingWindowFeature(scores.copy(), chunks), frames, warm_up=(0.0, 0.0), hamming=True, missing=0.0
    )
    end = WINDOW + (windows - 1) * step
    np.testing.assert_allclose(total.average(end), theirs.data, atol=1e-6)
    assert len(total.average(end - 5000)) == (end - 5000) // FRAME_STEP + 1  # frames of the padding go


def test_parts_of_spans() -> None:
    found = [(1.0, 3.0), (4.0, 4.5), (6.0, 9.0)]
    assert clipped(found, 2.0, 7.0) == [(2.0, 3.0), (4.0, 4.5), (6.0, 7.0)]
    assert clipped(found, 3.0, 4.0) == [] and longest([]) == 0
    assert seconds(found) == 5.5 and longest(found) == 3.0


def voices(speaking: np.ndarray) -> Voices:
    """Windows a second apart whose local speakers speak as told: (W, 589) bits."""
    starts = np.rint(np.arange(len(speaking)) * SAMPLE_RATE / FRAME_STEP).astype(np.int64)
    frames = int(starts[-1]) + FRAMES
    scores = np.stack([np.linspace(0, 1, frames), np.zeros(frames)], 1).astype(np.float32)
    return Voices(scores, speaking.astype(np.uint8), starts, WINDOW + (len(speaking) - 1) * SAMPLE_RATE)


def test_voices_are_counted_within_a_window_and_the_clip() -> None:
    speaking = np.zeros((3, FRAMES), np.uint8)
    speaking[0, :100] |= 1  # until 1.7 s
    speaking[0, 200:300] |= 2  # 3.4 to 5.1 s
    speaking[2, 500:] |= 4  # from 10.4 s
    heard = voices(speaking)
    assert heard.count(0, 12, 0.25) == 2  # never three in one window
    assert heard.count(0, 3, 0.25) == 1 and heard.count(1.8, 3.3, 0) == 0
    assert heard.count(1.6, 3.6, 0.25) == 0  # each too short within the clip
    assert heard.count(1.6, 3.6, 0.05) == 2
    assert heard.count(10.5, 11.9, 1.0) == 1
    assert heard.count(11.98, 20, 0) == 0


def test_rows_of_clips_that_meet_share_no_frame() -> None:
    heard = voices(np.zeros((5, FRAMES)))
    cuts = [0.0, 3.3, 3.32, 7.04, 99.0]
    parts = [heard.rows(a, b) for a, b in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), heard.scores)
    assert len(heard.rows(4.0, 4.0 + 10 * STEP)) == 10
