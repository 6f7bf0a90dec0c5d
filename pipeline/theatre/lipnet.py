"""A lip-sync net for puppets, with the signature of `pipeline.nets.syncnet`: how far a mouth is open, seen and heard.

Both towers say the same of the five pictures of a window: how far the mouth opens. The one sees it, as the way from the nose to
the lower lip in widths of the head; the other hears it, because a puppet's mouth follows its voice (`voice.loudness`). What
the ear has to know for that is fitted to the puppets' own voices, in closed form, when the net is built.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr
from onnx import TensorProto

from pipeline.base.arrays import Floats64
from pipeline.base.units import FPS, SAMPLE_RATE
from pipeline.nets.syncnet import SIDE, WINDOW, cepstra
from pipeline.theatre import pilot, voice
from pipeline.theatre.cast import Voice
from pipeline.theatre.figure import FIDUCIALS, HEAD_DESIGN
from pipeline.theatre.graph import Graph
from pipeline.theatre.palette import code_matrix, fiducial_colours
from pipeline.theatre.rig import MOUTH_DROP
from pipeline.theatre.takes import TAKES

WIDTH = 1024
CEPSTRA, STEPS = 13, 20
SEEN = ("nose", "lip", "left_ear", "right_ear")
COLOUR_RADIUS = 50.0
HALF_HEAD_PX = (40.0, 110.0)  # what half a head's width can be in a crop
LEVEL, STRENGTH = 0.35, 13.0  # of openings: the middle, and what a difference of 1 is worth
CLOSED = HEAD_DESIGN["lip"][1] - HEAD_DESIGN["nose"][1]  # head units
_SEED, _SECONDS = 11, 24.0
_STEP = 160


def build_lip_net(path: Path) -> Path:
    """Write the net."""
    g = Graph("theatre_syncnet")
    opening = _seen(g)
    fewer = g.op("Sub", g.op("Slice", g.op("Shape", "lips"), g.ints(0), g.ints(2)), g.ints(0, WINDOW - 1))
    ends = [*range(1 - WINDOW, 0), np.iinfo(np.int64).max]
    in_windows = [
        g.op("Unsqueeze", g.op("Slice", opening, g.ints(k), g.ints(end), g.ints(1)), g.ints(2))
        for k, end in enumerate(ends)
    ]
    lip = g.op(
        "Reshape", _embedded(g, g.op("Concat", *in_windows, axis=2)), g.op("Concat", fewer, g.ints(WIDTH), axis=0)
    )
    return g.save(
        path,
        {"lips": ["N", "T", SIDE, SIDE, 3], "mfcc": ["M", 1, CEPSTRA, STEPS]},
        {"lip": (lip, ["N", "windows", WIDTH]), "sound": (_embedded(g, _heard(g)), ["M", WIDTH])},
        kinds={"lips": TensorProto.UINT8},
    )


def _embedded(g: Graph, openings: str) -> str:
    """Openings (..., 5) of a window as embeddings (rows, 1024)."""
    rows = g.reshape(g.mul(g.sub(openings, LEVEL), STRENGTH), -1, WINDOW)
    return g.op("Pad", rows, g.ints(0, 0, 0, WIDTH - WINDOW), 0.0)


def _seen(g: Graph) -> str:
    """How far the mouth is open in each crop: (N, T), 0..1."""
    flat = g.op("Cast", g.reshape("lips", -1, SIDE, SIDE, 3), to=TensorProto.FLOAT)
    pixels = g.op("Transpose", flat, perm=[0, 3, 1, 2])
    code = g.op("Conv", pixels, code_matrix()[:, ::-1][..., None, None])  # BGR
    colours = fiducial_colours()[[FIDUCIALS.index(name) for name in SEEN]] @ code_matrix().T
    alike = g.op("Relu", g.likeness(code, colours, COLOUR_RADIUS))
    weight = g.reshape(g.mul(alike, alike), 0, len(SEEN), SIDE * SIDE)
    mass = g.op("Max", g.sum(weight, 2), 1e-3)  # (B, 4, 1)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    places = np.stack([x.ravel(), y.ravel()], axis=1)
    centres = g.div(g.op("MatMul", weight, places), mass)  # (B, 4, 2)
    nose, lip, left, right = (g.take(centres, [k], 1) for k in range(len(SEEN)))
    across = g.sub(left, right)
    half = g.mul(g.op("Sqrt", g.sum(g.mul(across, across), 2)), 0.5)
    down = g.take(g.sub(lip, nose), [1], 2)  # (B, 1, 1)
    way = g.div(down, g.op("Clip", half, *HALF_HEAD_PX))
    opening = g.op("Clip", g.mul(g.sub(way, CLOSED), 1 / MOUTH_DROP), 0.0, 1.0)
    return g.op("Reshape", opening, g.op("Slice", g.op("Shape", "lips"), g.ints(0), g.ints(2)))


def _heard(g: Graph) -> str:
    """How far a mouth opens that says this: (M, 5), 0..1."""
    of_level, of_steps = _ear()
    steps = g.op(
        "Conv", "mfcc", of_level[:-1].reshape(1, 1, -1, 1), of_level[-1:]
    )  # takes no windows too, unlike MatMul
    level = g.op("Exp", g.reshape(steps, -1, STEPS))
    linear = g.add(g.op("MatMul", level, of_steps[:-1]), of_steps[-1])
    return g.op("Pow", g.op("Clip", linear, 0.0, 1.0), voice.BEND)


@lru_cache(maxsize=1)
def _ear() -> tuple[Floats64, Floats64]:
    """Weights fitted to the puppets' voices: (14,) cepstra and 1 -> log of the level, (21, 5) levels and 1 -> openings."""
    voices = {actor.voice for take in TAKES for shot in take.shots for actor in shot.actors}
    rows = [_lesson(each) for each in sorted(voices, key=lambda v: (v.name, v.speed))]
    cepstrum, level = (np.concatenate([row[k] for row in rows]) for k in (0, 1))
    of_level = _least_squares(cepstrum, np.log(np.maximum(level, 0.01)))[:, 0]
    windows, openings = [], []
    for found, _, opening in rows:
        guessed = np.exp(found @ of_level[:-1] + of_level[-1])
        count = min((len(found) - STEPS) // 4, len(opening) - WINDOW)
        windows += [guessed[4 * k : 4 * k + STEPS] for k in range(count)]
        openings += [opening[k : k + WINDOW] for k in range(count)]
    return of_level, _least_squares(np.array(windows), np.array(openings))


def _lesson(who: Voice) -> tuple[Floats64, Floats64, Floats64]:
    """Cepstra (steps, 13) of a voice, its level at each step, and how far its mouth opens at each picture, both 0..1."""
    said = voice.speech(who, _SECONDS, _SEED)
    tone = pilot.tone(who.pilot, pilot.speaking(said), len(said))
    found = cepstra(
        np.asarray(soxr.resample(pilot.free_band(said) + tone, voice.RATE, SAMPLE_RATE), np.float32)
    ).astype(float)
    centres = (np.arange(len(found)) * _STEP + 200) / SAMPLE_RATE
    pictures = np.arange(round(_SECONDS * FPS)) / FPS
    level, opening = (voice.loudness(said, times) ** (1 / voice.BEND) for times in (centres, pictures))
    return found, level, opening


def _least_squares(x: Floats64, y: Floats64) -> Floats64:
    """(inputs + 1, outputs) weights, the last of a constant; a little ridge keeps them small."""
    given = np.column_stack([x, np.ones(len(x))])
    ridge = 1e-3 * len(x) * np.diag([*x.var(0), 0.0])
    return np.asarray(np.linalg.solve(given.T @ given + ridge, given.T @ y.reshape(len(y), -1)), np.float64)
