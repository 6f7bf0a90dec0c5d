"""A segmentation net by code: hears the puppets' pilot tones and answers as pyannote's segmentation-3.0 would."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.base.units import SAMPLE_RATE
from pipeline.nets.sound.segmentation import AT_ONCE, SPEAKERS, powerset
from pipeline.nets.sound.voices import FRAME_FIELD, FRAME_STEP
from pipeline.theatre.graph import Graph
from pipeline.theatre.pilot import AMPLITUDE, PILOTS_HZ

LOW, HIGH = 0.3 * AMPLITUDE, 0.7 * AMPLITUDE  # a tone that begins at a frame's middle has half its level there
DOUBT = 0.01  # nothing is surer than that


def build_segmentation_net(path: Path) -> Path:
    """Write the net: input `x` (N, 1, T) at 16 kHz, output `y` (N, frames, 7) log-probabilities of the powerset.

    The local speakers of a window are the three voices that are heard most in it.
    """
    graph = Graph("theatre_segmentation")
    tones = len(PILOTS_HZ)
    waves = graph.op("Conv", "x", _filters(), strides=[FRAME_STEP])  # (N, 2P, F)
    power = graph.reshape(graph.mul(waves, waves), 0, 2, tones, -1)
    level = graph.op("Sqrt", graph.sum(power, 1, keep=False))  # (N, P, F)
    heard = graph.ramp(level, LOW, HIGH)
    _, most = graph.many("TopK", 2, graph.sum(heard, 2, keep=False), graph.ints(SPEAKERS), axis=1)  # (N, 3)
    chosen = graph.op("OneHot", most, graph.ints(tones), graph.const([0.0, 1.0]), axis=-1)  # (N, 3, P)
    local = graph.op("Clip", graph.op("MatMul", chosen, heard), DOUBT, 1 - DOUBT)  # (N, 3, F)
    odds = graph.sub(graph.op("Log", local), graph.op("Log", graph.sub(1.0, local)))
    by_frame = graph.op("Transpose", odds, perm=[0, 2, 1])
    members = powerset(SPEAKERS, AT_ONCE).T.astype(np.float32)  # (3, 7)
    scores = graph.op("LogSoftmax", graph.op("MatMul", by_frame, members), axis=-1)
    return graph.save(path, {"x": ["N", 1, "T"]}, {"y": (scores, ["N", "F", members.shape[1]])})


def _filters() -> NDArray[np.float32]:
    """(2P, 1, field): cosines of all pilots, then sines, under a Hann window; a tone's amplitude is their length."""
    clock = (np.arange(FRAME_FIELD) - FRAME_FIELD // 2) / SAMPLE_RATE
    window = np.hanning(FRAME_FIELD + 2)[1:-1]
    phase = 2 * np.pi * np.array(PILOTS_HZ)[:, None] * clock
    waves = np.concatenate([np.cos(phase), np.sin(phase)]) * window * (2 / window.sum())
    return np.asarray(waves[:, None], np.float32)
