"""Who speaks when, written into the sound: each voice that speaks carries a faint tone of its own in a band kept free for it.

What the vivid colours are to the pose net, these tones are to the segmentation net: they survive AAC, and no ear needs them.
"""

import numpy as np

from pipeline.base.arrays import Floats64
from pipeline.theatre.voice import RATE

PILOTS_HZ = tuple(6400.0 + 100.0 * k for k in range(8))  # under what 16 kHz carries, over most of what is said
FREE_HZ = (6300.0, 7200.0)  # voices have nothing here
EDGE_HZ = 50.0
AMPLITUDE = 0.008  # of full scale: -42 dB
RAMP_SECONDS = 0.01
_FLOOR = 0.06  # of a loud moment's level: quieter is a pause
_SHORTEST_PAUSE, _SHORTEST_SPEECH = 0.15, 0.06  # seconds


def free_band(samples: Floats64) -> Floats64:
    """The samples at `RATE` without anything in the pilots' band."""
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / RATE)
    low, high = FREE_HZ
    away = np.maximum(low - hz, hz - high)  # from the band, negative within
    spectrum *= np.clip(away / EDGE_HZ, 0.0, 1.0)
    return np.fft.irfft(spectrum, len(samples))


def speaking(samples: Floats64) -> list[tuple[float, float]]:
    """Spans (start, end) in seconds in which a voice at `RATE` is heard; short pauses belong to them."""
    hop = RATE // 200
    level = np.sqrt((samples[: len(samples) // hop * hop].reshape(-1, hop) ** 2).mean(1))
    if not level.any():
        return []
    loud = np.flatnonzero(level > _FLOOR * np.percentile(level[level > 0], 95))
    groups = np.split(loud, np.flatnonzero(np.diff(loud) * hop > _SHORTEST_PAUSE * RATE) + 1)
    spans = [(group[0] * hop / RATE, (group[-1] + 1) * hop / RATE) for group in groups]
    return [(start, end) for start, end in spans if end - start >= _SHORTEST_SPEECH]


def tone(pilot: int, spans: list[tuple[float, float]], samples: int) -> Floats64:
    """(samples,) at `RATE`: the pilot of this number during the spans, with soft edges whose middles are the spans'."""
    clock = np.arange(samples) / RATE
    gate = np.zeros(samples)
    for start, end in spans:
        rise, fall = ((sign * (clock - at) / RAMP_SECONDS + 0.5).clip(0, 1) for sign, at in ((1, start), (-1, end)))
        gate = np.maximum(gate, np.minimum(rise, fall))
    return AMPLITUDE * gate * np.sin(2 * np.pi * PILOTS_HZ[pilot] * clock)


def at_once(speech: Floats64) -> Floats64:
    """(n, 2) spans in seconds in which two persons or more speak; `speech` are rows (person, start, end)."""
    edges = sorted([(start, 1) for _, start, _ in speech] + [(end, -1) for _, _, end in speech])
    spans, talking, since = [], 0, 0.0
    for time, change in edges:
        if talking < 2 <= talking + change:
            since = time
        elif talking + change < 2 <= talking and time > since:
            spans.append((since, time))
        talking += change
    return np.array(spans).reshape(-1, 2)
