import numpy as np
import pytest

from pipeline.base.units import SAMPLE_RATE
from pipeline.nets.session import open_session
from pipeline.nets.sound.vad import SpeechDetector, speech_segments
from tests.pipeline.nets.fakes import FakeSession, asset

STEP = 512 / SAMPLE_RATE


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector(open_session(asset("models/silero_vad.onnx"), threads=1))


def test_segments_have_hysteresis() -> None:
    probability = np.array([0.1, 0.6, 0.4, 0.4, 0.34, 0.9, 0.1])
    spans = speech_segments(probability, 0.5, min_speech=0, min_pause=0)
    np.testing.assert_allclose(spans, np.array([[1, 4], [5, 6]]) * STEP)


def test_short_pauses_close_and_short_speech_goes() -> None:
    probability = np.zeros(100)
    probability[10:30], probability[32:50], probability[80:82] = 1, 1, 1
    spans = speech_segments(probability, min_speech=0.2, min_pause=0.1)
    np.testing.assert_allclose(spans, [[10 * STEP, 50 * STEP]])
    probability[90:] = 1
    assert speech_segments(probability)[-1][1] == 100 * STEP
    assert speech_segments(np.empty(0)) == []


def test_other_models_and_shapes_are_refused(detector: SpeechDetector) -> None:
    with pytest.raises(ValueError, match="silero"):
        SpeechDetector(FakeSession(lambda a: [], (1, 512)))
    with pytest.raises(ValueError, match="samples"):
        detector.speech_probability(np.zeros((2, 512), np.float32))


@pytest.mark.parametrize(("samples", "windows"), [(0, 0), (1, 1), (512, 1), (513, 2)])
def test_every_sample_belongs_to_a_window(detector: SpeechDetector, samples: int, windows: int) -> None:
    assert detector.speech_probability(np.zeros(samples, np.float32)).shape == (windows,)


def test_what_is_no_speech(detector: SpeechDetector) -> None:
    t = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    chord = 0.2 * sum(np.sin(2 * np.pi * f * t) for f in (220, 277.2, 329.6))
    noise = np.random.default_rng(0).normal(0, 0.1, t.size)
    for wave in (np.zeros(t.size), noise, chord, 0.3 * np.sin(2 * np.pi * 1000 * t)):
        assert speech_segments(detector.speech_probability(wave.astype(np.float32))) == []


def test_speech_is_where_the_transcript_has_it(detector: SpeechDetector) -> None:
    soundfile = pytest.importorskip("soundfile")
    wave, rate = soundfile.read(asset("audio/pyannote_sample.wav"), dtype="float32")
    assert rate == SAMPLE_RATE
    truth = np.zeros(-(-len(wave) // 512), bool)
    for line in asset("audio/pyannote_sample.rttm").read_text().splitlines():
        start, length = (float(v) for v in line.split()[3:5])
        truth[round(start / STEP) : round((start + length) / STEP)] = True
    probability = detector.speech_probability(wave)
    assert ((probability >= 0.5) == truth).mean() > 0.93
    again = detector.speech_probability(wave)
    np.testing.assert_array_equal(probability, again)


def test_a_speech_of_another_rate_and_shape(detector: SpeechDetector) -> None:
    soundfile = pytest.importorskip("soundfile")
    soxr = pytest.importorskip("soxr")
    wave, rate = soundfile.read(asset("audio/whisper_jfk.flac"), dtype="float32")
    mono = soxr.resample(wave.mean(1), rate, SAMPLE_RATE).astype(np.float32)
    spans = speech_segments(detector.speech_probability(mono))
    assert spans[0][0] == pytest.approx(0.35, abs=0.15)
    assert 6 < sum(end - start for start, end in spans) < 10
