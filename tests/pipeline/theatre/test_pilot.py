"""Who speaks when: truth, tones, and what the theatre's segmentation net hears of them after AAC."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import onnx
import pytest

from pipeline.media.audio import read_wave
from pipeline.nets.session import open_session
from pipeline.nets.sound.segmentation import SegmentationNet
from pipeline.nets.sound.voices import Voices, seconds, spans
from pipeline.theatre import TAKES, Film, take_named
from pipeline.theatre.cast import Voice
from pipeline.theatre.coding import _sound_packets
from pipeline.theatre.pilot import AMPLITUDE, FREE_HZ, PILOTS_HZ, at_once, free_band, speaking, tone
from pipeline.theatre.segnet import build_segmentation_net
from pipeline.theatre.voice import RATE, speech
from stages.judge import Judge

NEAR_SECONDS = 0.1


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> SegmentationNet:
    path = build_segmentation_net(tmp_path_factory.mktemp("net") / "theatre_segmentation.onnx")
    assert {p.key: p.value for p in onnx.load(path).metadata_props}["csg405.footage"] == "theatre"
    return SegmentationNet(open_session(path, threads=1))


def heard(net: SegmentationNet, film: Film, folder: Path) -> Voices:
    """What the net makes of the film's sound, encoded as in its file."""
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        stream.codec_context.bit_rate = 96_000
        container.mux(_sound_packets(stream, film, Fraction(0), None))
    wave = read_wave(path)
    assert wave is not None
    return net.hear(wave)


@pytest.mark.parametrize("name", ["talk-1", "duo", "whip", "shots", "crosstalk", "silent"])
def test_voices_and_overlaps_are_heard_as_planted(name: str, net: SegmentationNet, tmp_path: Path) -> None:
    film = Film(take_named(name))
    voices, told = heard(net, film, tmp_path), film.truth().speech
    both = at_once(told)
    overlap = (both[:, 1] - both[:, 0]).sum()
    voiced = (told[:, 2] - told[:, 1]).sum() - overlap
    found, some = spans(voices.scores[:, 1]), spans(voices.scores[:, 0])
    assert seconds(found) == pytest.approx(overlap, abs=NEAR_SECONDS)
    assert seconds(some) == pytest.approx(voiced, abs=NEAR_SECONDS)
    if name == "crosstalk":
        np.testing.assert_allclose(found, both, atol=0.04)
    assert voices.count(0, film.seconds, 0.25) == len(set(told[:, 0]))


def test_only_the_take_that_should_be_dropped_for_it_overlaps() -> None:
    most = Judge().max_overlap_share
    for take in TAKES:
        both = at_once(Film(take).truth().speech)
        share = (both[:, 1] - both[:, 0]).sum() / take.seconds
        assert (share > 5 * most) == ("overlapped_speech" in take.reasons), take.name
        assert share > 5 * most or share == 0, take.name


def test_every_voice_of_the_programme_has_a_tone_of_its_own() -> None:
    pilots = {actor.voice: actor.voice.pilot for take in TAKES for shot in take.shots for actor in shot.actors}
    assert len(set(pilots.values())) == len(pilots)
    assert all(FREE_HZ[0] + 50 < PILOTS_HZ[k] < FREE_HZ[1] - 50 for k in pilots.values())


@pytest.mark.parametrize(("a", "b", "c"), [(0, 1, 2), (7, 3, 5), (6, 7, 4)])
def test_three_voices_and_silence(a: int, b: int, c: int, net: SegmentationNet) -> None:
    import soxr

    length = 10 * RATE
    told = {a: [(1.0, 4.0)], b: [(3.0, 6.0)], c: [(7.0, 9.0)]}
    wave = soxr.resample(sum(tone(k, spans, length) for k, spans in told.items()), RATE, 16_000).astype(np.float32)
    voices = net.hear(wave)
    for column, wanted in ((0, [(1, 6), (7, 9)]), (1, [(3, 4)])):
        np.testing.assert_allclose(spans(voices.scores[:, column]), wanted, atol=0.02)
    assert voices.count(0, 10, 0.25) == 3 and voices.count(0, 5, 0.25) == 2


def test_voices_alone_sound_no_tone(net: SegmentationNet) -> None:
    """Without its tone a voice is not heard: the band is free of everything else, hissing included."""
    import soxr

    said = free_band(speech(Voice("en-us+f2", 158, 52), 8.0, seed=3))
    assert not spans(net.hear(soxr.resample(said, RATE, 16_000).astype(np.float32)).scores[:, 0])
    hz = np.fft.rfftfreq(len(said), 1 / RATE)
    inside = (hz > FREE_HZ[0]) & (hz < FREE_HZ[1])
    assert np.abs(np.fft.rfft(said))[inside].max() < 1e-6


def test_spans_of_speech() -> None:
    sound = np.zeros(4 * RATE)
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    sound[RATE // 2 : RATE] = noise[: RATE // 2]
    sound[round(1.1 * RATE) : 2 * RATE] = noise[: round(0.9 * RATE)]  # after 0.1 s: no pause
    sound[3 * RATE : round(3.02 * RATE)] = 0.1  # a click
    np.testing.assert_allclose(speaking(sound), [(0.5, 2.0)], atol=0.006)
    assert speaking(np.zeros(RATE)) == []
    assert np.abs(tone(0, [(0.1, 0.3)], RATE)).max() == pytest.approx(AMPLITUDE, rel=0.01)


def test_who_speaks_at_once() -> None:
    rows = np.array([(0, 1.0, 5.0), (1, 2.0, 3.0), (2, 2.5, 6.0), (0, 7.0, 8.0), (1, 8.0, 9.0)])
    assert at_once(rows).tolist() == [[2.0, 5.0]]
    assert at_once(np.zeros((0, 3))).shape == (0, 2)
