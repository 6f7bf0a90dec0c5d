"""A person detector for puppets, with YOLOX's signature: N x 3 x 640 x 640 BGR 0..255 -> N x 8400 x 85 raw.

It looks for shoulders and hips by their colours, takes the best trunk, draws a box around all fiducials within reach
of it, wipes it out and looks again. Each person is written into one of the first anchors, in YOLOX's coding (centre
and log size in strides, objectness, class scores); all other anchors are empty.
"""

from pathlib import Path

import numpy as np

from pipeline.base.arrays import Floats64
from pipeline.theatre.figure import INDEX, N
from pipeline.theatre.graph import Graph
from pipeline.theatre.palette import code_matrix, fiducial_colours
from pipeline.theatre.posenet import (
    HEAD,
    LIMBS,
    TORSO,
    TRUNK,
    best_places,
    grid_places,
    nearness,
    peak_at,
    rest_of,
    trunk_of,
)

SIZE, CELL = 640, 4
GRID = SIZE // CELL
ANCHORS, CLASSES, STRIDE = 8400, 80, 8
PERSONS = 4  # at most, in one picture
COLOUR_RADIUS = 55.0
PRESENT_FROM, PRESENT_TO = 0.35, 0.60
SCORE = 0.92

# How far the body goes on beyond a fiducial, in shoulder widths: left, up, right, down.
_MARGINS: dict[str, tuple[float, float, float, float]] = {
    "nose": (0.36, 0.56, 0.36, 0.35), "lip": (0.3, 0.5, 0.3, 0.2), "clip": (0.32, 0.2, 0.32, 0.3),
    "ear": (0.1, 0.52, 0.1, 0.3), "shoulder": (0.16, 0.2, 0.16, 0.2), "elbow": (0.12, 0.12, 0.12, 0.12),
    "hip": (0.12, 0.12, 0.12, 0.22), "wrist": (0.14, 0.14, 0.14, 0.14), "palm": (0.3, 0.3, 0.3, 0.3),
    "finger": (0.1, 0.1, 0.1, 0.1), "thumb": (0.1, 0.1, 0.1, 0.1),
}  # fmt: skip
_FAR = 1e4


def _heat(g: Graph) -> str:
    """How much of each colour lies in each cell: (N, 19, cells), 0..1."""
    weights = code_matrix()[:, ::-1] / 4.0  # BGR
    kernel = np.repeat(weights[:, :, None, None], 2, axis=2).repeat(2, axis=3)
    code = g.op("Conv", "images", kernel, strides=[2, 2])
    likeness = g.likeness(code, fiducial_colours() @ code_matrix().T, COLOUR_RADIUS)
    heat = g.op("Relu", g.op("MaxPool", likeness, kernel_shape=[2, 2], strides=[2, 2]))
    return g.reshape(heat, 0, N, GRID * GRID)


def _box(g: Graph, at: str, present: str, unit: str) -> tuple[str, str]:
    """Corners (N, 1, 2) low and high around what is present, with its margins."""
    margin = np.array([_MARGINS[name.split("_")[-1]] for name in (*TORSO, *HEAD, *LIMBS)])  # (19, 4)
    absent = g.mul(g.op("Unsqueeze", g.sub(1.0, g.op("Sign", present)), g.ints(2)), _FAR)
    low = g.add(g.sub(at, g.mul(unit, margin[None, :, :2])), absent)
    high = g.sub(g.add(at, g.mul(unit, margin[None, :, 2:])), absent)
    return (
        g.op("ReduceMin", low, axes=[1], keepdims=1),
        g.op("ReduceMax", high, axes=[1], keepdims=1),
    )


def _person(g: Graph, index: int, trunks: str, heat: str, places: Floats64) -> tuple[str, str]:
    """One person: the row (N, 1, 85) of anchor `index`, and the trunks' heat without it."""
    seed_heat = g.op("ReduceMax", g.take(trunks, list(range(TRUNK)), 1), axes=[1], keepdims=1)
    seed, seed_cell = best_places(g, seed_heat, places)  # (N, 1, 2)
    found_seed = g.ramp(peak_at(g, seed_heat, seed_cell), PRESENT_FROM, PRESENT_TO)  # (N, 1)

    # The four joints nearest to the seed; how near, beats how vivid, once a colour is there at all.
    away = g.op(
        "Sqrt",
        g.op("Relu", g.mul(g.sub(1.0, nearness(g, places, seed, g.const(np.full((1, 1, 1), 2000.0)))), 2000.0**2)),
    )
    weight = g.div(60.0, g.add(away, 60.0))  # (N, 1, cells)
    joints, cells = best_places(g, g.mul(g.ramp(trunks, PRESENT_FROM, PRESENT_TO), weight), places)
    present = g.ramp(peak_at(g, trunks, cells), PRESENT_FROM, PRESENT_TO)  # (N, 6)
    trunk = trunk_of(g, joints, present, np.array([SIZE / 2, SIZE / 2]), 40.0)

    rest, peaks = rest_of(g, heat, trunk, places)
    rest_present = g.ramp(peaks, PRESENT_FROM, PRESENT_TO)
    low, high = _box(g, g.op("Concat", joints, rest, axis=1), g.op("Concat", present, rest_present, axis=1), trunk.unit)
    low, high = g.op("Max", low, -0.5), g.op("Min", high, SIZE - 0.5)
    centre = g.add(g.mul(g.add(low, high), 0.5 / STRIDE), np.array([0.5 / STRIDE - index, 0.5 / STRIDE]))
    size = g.op("Log", g.op("Max", g.mul(g.sub(high, low), 1.0 / STRIDE), 1e-3))
    share = g.op("ReduceMean", g.take(present, list(range(TRUNK)), 1), axes=[1], keepdims=1)  # (N, 1)
    score = g.mul(g.mul(found_seed, g.ramp(share, 0.2, 0.75)), SCORE)
    score = g.op("Unsqueeze", score, g.ints(2))
    classes = np.eye(CLASSES)[0][None, None]
    row = g.op("Concat", centre, size, score, g.mul(g.op("Sign", score), classes), axis=2)

    around = nearness(g, places, trunk.centre, g.mul(trunk.unit, 2.5))  # (N, 1, cells)
    left = g.mul(trunks, g.sub(1.0, g.op("Sign", around)))
    seed_gone = g.sub(1.0, g.op("Sign", nearness(g, places, seed, g.const(np.full((1, 1, 1), 16.0)))))
    return row, g.mul(left, seed_gone)


def build_detector(path: Path) -> Path:
    """Write the detector; deterministic."""
    g = Graph("puppet_detector")
    heat = _heat(g)
    trunks = g.take(heat, [INDEX[name] for name in TORSO], 1)
    places = grid_places(GRID, GRID, float(CELL))
    rows = []
    for index in range(PERSONS):
        row, trunks = _person(g, index, trunks, heat, places)
        rows.append(row)
    found = g.op("Concat", *rows, axis=1)  # (N, 4, 85)
    output = g.op("Pad", found, g.ints(0, 0, 0, 0, ANCHORS - PERSONS, 0), 0.0)
    return g.save(path, {"images": ["N", 3, SIZE, SIZE]}, {"output": (output, ["N", ANCHORS, 5 + CLASSES])})
