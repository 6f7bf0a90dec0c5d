"""Which seconds of a voice hold no speech: a model moves the mouth to music and noise as it does to words."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.base.arrays import Floats32
from pipeline.base.units import SAMPLE_RATE
from pipeline.nets.session import open_session
from pipeline.nets.sound.vad import SpeechDetector, speech_segments

if TYPE_CHECKING:
    from pipeline.registry.models import Registry

DETECTORS = ("silero_vad",)
MIN_SECONDS = 1.0  # shorter pauses are part of talking
_NAMED = 5  # spans that are told one by one

Span = tuple[float, float]  # start and end in seconds, end exclusive


@dataclass(frozen=True)
class Silence:
    """What a voice detector found, as a line for the user.

    Attributes:
        spans: (start, end) in seconds that hold no speech, in order; None where nobody looked.
        seconds: of the whole voice.
        advice: what to do where nobody looked.
    """

    spans: list[Span] | None
    seconds: float
    advice: str = ""

    def __str__(self) -> str:
        if self.spans is None:
            return f"not looked for seconds without speech: {self.advice}"
        if not self.spans:
            return f"speech throughout its {self.seconds:.1f} s"
        total = sum(end - start for start, end in self.spans)
        named = ", ".join(f"{start:.1f}-{end:.1f}" for start, end in self.spans[:_NAMED])
        more = f" and {len(self.spans) - _NAMED} more spans" if len(self.spans) > _NAMED else ""
        return (
            f"no speech in {total:.1f} of its {self.seconds:.1f} s (at {named} s{more}): music and noise move the mouth too, "
            "so give the voice alone"
        )


def silence_of(wave: Floats32, models: "Registry") -> Silence:
    """Look for seconds without speech in a wave (samples,) at 16 kHz, by the voice detector of a registry."""
    seconds = len(wave) / SAMPLE_RATE
    net = models.optional(DETECTORS)
    if net is None:
        return Silence(None, seconds, models.advice(DETECTORS))
    detector = SpeechDetector(open_session(net.path, "cpu", 1))
    speech = speech_segments(detector.speech_probability(wave), min_pause=MIN_SECONDS)
    return Silence(between(speech, seconds), seconds)


def between(speech: list[Span], seconds: float) -> list[Span]:
    """What lies between spans of speech, before the first and after the last, where it lasts for a second.

    Where there is no speech at all, everything does, however short.
    """
    if not speech:
        return [(0.0, seconds)]
    edges = [0.0, *(edge for span in speech for edge in span), seconds]
    gaps = [(start, end) for number, (start, end) in enumerate(pairwise(edges)) if number % 2 == 0]
    return [(start, end) for start, end in gaps if end - start >= MIN_SECONDS]
