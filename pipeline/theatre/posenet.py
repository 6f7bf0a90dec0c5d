"""A pose net for puppets, with DWPose's signature: N x 3 x 384 x 288 -> SimCC 576 and 768.

It looks for the colours of the fiducials at half resolution, nearest to the person in the middle of the crop, takes
the exact centroid of each in a window at full resolution, maps the fiducials to 133 keypoints by the puppets' linear
map, and writes each as a parabola whose top a three-point fit finds exactly.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.base.arrays import Floats64
from pipeline.base.units import KEYPOINTS
from pipeline.theatre.figure import CAP_HALF, FIDUCIALS, INDEX, LIP_BAR, RADII, N, keypoint_map, needs
from pipeline.theatre.graph import Graph
from pipeline.theatre.palette import code_matrix, fiducial_colours

WIDTH, HEIGHT = 288, 384
MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])  # RGB
GRID_W, GRID_H = WIDTH // 2, HEIGHT // 2
WINDOW = 32  # pixels a side
COARSE_RADIUS = 55.0  # colour distance at which the coarse search sees nothing; colours lie at least 70 apart
FINE_INNER, FINE_OUTER = 22.0, 52.0  # colour distance of full and of no membership
BUMP = 8.0  # half width of a SimCC bump, bins
FLOOR = 0.03  # score of what was not found

TRUNK = 4  # the first so many of TORSO; the ears help to tell the scale of somebody seen from the side
TORSO = ["left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_ear", "right_ear"]
HEAD = ["nose", "lip", "clip"]
LIMBS = [name for name in FIDUCIALS if name not in (*TORSO, *HEAD)]
# Where the rest of a person is looked for: centre below the trunk's and radius, both in shoulder widths.
REACHES = ((HEAD, -1.25, 1.0), (LIMBS, -0.1, 2.35))
# Pairs of the trunk and their distance in shoulder widths: the longest gives the scale, however the body is turned.
PAIRS = ((0, 1, 1.0), (0, 2, 1.308), (1, 3, 1.308), (0, 3, 1.56), (1, 2, 1.56), (0, 4, 0.70), (1, 5, 0.70))
# Share of a patch's area on paper: after video a whole patch shows 0.8 to 1.1 of it, a half-covered one has its
# centroid elsewhere.
SEEN_FROM, SEEN_TO = 0.64, 0.84


@dataclass(frozen=True)
class Trunk:
    """Names of graph results: places (N, 6, 2), presence (N, 6), centre (N, 1, 2), unit (N, 1, 1)."""

    places: str
    present: str
    centre: str
    unit: str


def grid_places(width: int, height: int, step: float) -> Floats64:
    """Pixel places (1, 1, width * height, 2) of the centres of a grid whose cells are `step` pixels wide."""
    y, x = np.mgrid[:height, :width]
    return (np.stack([x, y], axis=-1).reshape(1, 1, -1, 2) + 0.5) * step - 0.5


def best_places(g: Graph, weighted: str, places: Floats64) -> tuple[str, str]:
    """Where (N, k, cells) is largest: places (N, k, 2) and cell numbers (N, k, 1)."""
    cell = g.op("ArgMax", weighted, axis=2, keepdims=1)
    found = g.op("Gather", g.const(places[0, 0]), cell, axis=0)  # (N, k, 1, 2)
    return g.op("Squeeze", found, g.ints(2)), cell


def trunk_of(g: Graph, places: str, present: str, fallback_centre: Floats64, fallback_unit: float) -> Trunk:
    """Centre and scale from whichever of shoulders and hips were found."""
    first = list(range(TRUNK))
    weight = g.op("Unsqueeze", g.take(present, first, 1), g.ints(2))  # (N, 4, 1)
    some = g.ramp(g.sum(weight, 1), 0.0, 0.5)  # (N, 1, 1)
    mean = g.div(g.sum(g.mul(g.take(places, first, 1), weight), 1), g.add(g.sum(weight, 1), 1e-6))
    centre = g.add(mean, g.mul(g.sub(fallback_centre.reshape(1, 1, 2), mean), g.sub(1.0, some)))
    a, b, rest = (list(column) for column in zip(*PAIRS, strict=True))
    way = g.sub(g.take(places, a, 1), g.take(places, b, 1))
    length = g.div(g.op("Sqrt", g.sum(g.mul(way, way), 2, keep=False)), np.array([rest]))
    both = g.mul(g.take(present, a, 1), g.take(present, b, 1))
    hips, ears = [i for i, pair in enumerate(PAIRS) if pair[1] in (2, 3)], [[0.0] * 5 + [1.0] * 2]
    alone = g.sub(1.0, g.op("ReduceMax", g.take(both, hips, 1), axes=[1], keepdims=1))  # no hip is seen
    both = g.mul(both, g.sub(1.0, g.mul(g.sub(1.0, alone), np.array(ears))))
    unit = g.op("ReduceMax", g.mul(length, both), axes=[1], keepdims=1)  # (N, 1)
    missing = g.sub(1.0, g.op("ReduceMax", both, axes=[1], keepdims=1))
    unit = g.add(unit, g.mul(missing, fallback_unit))
    return Trunk(places, present, centre, g.op("Unsqueeze", unit, g.ints(2)))


def nearness(g: Graph, places: Floats64, middle: str, reach: str) -> str:
    """1 - (distance / reach)^2, at least 0: (N, k, cells) for middles (N, k, 2) and reaches (N, k, 1)."""
    # Written out as a matrix product: |p|^2 - 2 p.m + |m|^2.
    flat = places[0, 0]
    square = g.sum(g.mul(middle, middle), 2)  # (N, k, 1)
    cross = g.op("MatMul", middle, (-2.0 * flat).T)
    distance = g.add(g.add(cross, (flat**2).sum(1)[None, None]), square)
    return g.op("Relu", g.sub(1.0, g.div(distance, g.mul(reach, reach))))


def peak_at(g: Graph, heat: str, cell: str) -> str:
    """The heat (N, k, cells) at cell numbers (N, k, 1): (N, k)."""
    return g.op("Squeeze", g.op("GatherElements", heat, cell, axis=2), g.ints(2))


def rest_of(g: Graph, heat: str, trunk: Trunk, places: Floats64) -> tuple[str, str]:
    """Head and limbs of the person with this trunk: places (N, 13, 2) and peaks (N, 13), in the order of `REACHES`.

    Args:
        g: the graph.
        heat: (N, 19, cells).
        trunk: whose.
        places: of the cells.
    """
    found, peaks = [], []
    for names, down, reach in REACHES:
        mine = g.take(heat, [INDEX[name] for name in names], 1)
        middle = g.add(trunk.centre, g.mul(trunk.unit, np.array([[[0.0, down]]])))
        near = nearness(g, places, middle, g.mul(trunk.unit, reach))  # (N, 1, cells)
        spots, cells = best_places(g, g.mul(mine, near), places)
        found.append(spots)
        peaks.append(peak_at(g, g.mul(mine, g.op("Sign", near)), cells))
    return g.op("Concat", *found, axis=1), g.op("Concat", *peaks, axis=1)


def _coarse(g: Graph) -> str:
    """How much of each colour lies at each cell: (N, 19, cells), 0..1."""
    weights = code_matrix() * STD[None] / 4.0
    kernel = np.repeat(weights[:, :, None, None], 2, axis=2).repeat(2, axis=3)
    code = g.op("Conv", "input", kernel, code_matrix() @ MEAN, strides=[2, 2])
    heat = g.op("Relu", g.likeness(code, fiducial_colours() @ code_matrix().T, COARSE_RADIUS))
    heat = g.op("AveragePool", heat, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    return g.reshape(heat, 0, N, GRID_W * GRID_H)


def _search(g: Graph, heat: str, places: Floats64) -> tuple[str, str, str]:
    """Coarse places (N, 19, 2), the peak there (N, 19), and the unit (N, 1, 1) in pixels."""
    order = [INDEX[name] for name in TORSO]
    trunk_heat = g.take(heat, order, 1)
    across = (places[0, 0, :, 0] - (WIDTH - 1) / 2) / (WIDTH / 2)
    prior = (1.0 - 0.9 * across**2)[None, None]
    found, cell = best_places(g, g.mul(trunk_heat, prior), places)
    peak = peak_at(g, trunk_heat, cell)
    trunk = trunk_of(g, found, g.ramp(peak, 0.2, 0.4), np.array([WIDTH / 2, HEIGHT * 0.62]), 70.0)

    found_rest, peak_rest = rest_of(g, heat, trunk, places)
    order += [INDEX[name] for names, _, _ in REACHES for name in names]
    back = [int(i) for i in np.argsort(order)]
    all_spots = g.take(g.op("Concat", found, found_rest, axis=1), back, 1)
    return all_spots, g.take(g.op("Concat", peak, peak_rest, axis=1), back, 1), trunk.unit


def _centroids(g: Graph, spots: str) -> tuple[str, str]:
    """Exact centres (N, 19, 2) and masses (N, 19) in pixels, from windows at full resolution."""
    corner = g.sub(g.op("Floor", spots), float(WINDOW // 2 - 1))  # (N, 19, 2)
    y, x = np.mgrid[:WINDOW, :WINDOW]
    offsets = np.stack([x, y], axis=-1).astype(float)  # (32, 32, 2)
    pixels = g.add(g.reshape(corner, 0, N, 1, 1, 2), offsets[None, None])
    grid = g.sub(g.mul(pixels, np.array([2.0 / (WIDTH - 1), 2.0 / (HEIGHT - 1)])), 1.0)
    window = g.op("GridSample", "input", g.reshape(grid, 0, N * WINDOW, WINDOW, 2), mode="nearest", align_corners=1)
    code = g.op("Conv", window, (code_matrix() * STD[None])[:, :, None, None], code_matrix() @ MEAN)
    code = g.reshape(code, 0, 3, N, WINDOW * WINDOW)
    colours = (fiducial_colours() @ code_matrix().T).T.reshape(1, 3, N, 1)
    away = g.sub(code, colours)
    distance = g.op("Sqrt", g.sum(g.mul(away, away), 1, keep=False))  # (N, 19, 1024)
    radius = np.hypot(*np.moveaxis(offsets - (WINDOW - 1) / 2, -1, 0)).reshape(1, 1, -1)
    inside = g.mul(g.sub(1.0, g.ramp(distance, FINE_INNER, FINE_OUTER)), (radius < WINDOW / 2).astype(float))
    mass = g.sum(inside, 2)  # (N, 19, 1)
    moment = g.op("MatMul", inside, offsets.reshape(-1, 2))
    centre = g.add(corner, g.div(moment, g.add(mass, 1e-4)))
    return centre, g.op("Squeeze", mass, g.ints(2))


def _areas() -> Floats64:
    """Area on paper of each patch, in squared shoulder widths."""
    area = {name: np.pi * radius**2 for name, radius in RADII.items()}
    for side in ("left", "right"):
        for cap in ("finger", "thumb"):
            area[f"{side}_{cap}"] += 4 * CAP_HALF * RADII[f"{side}_{cap}"]
    area["lip"] = np.pi * LIP_BAR[1] ** 2 + 4 * LIP_BAR[0] * LIP_BAR[1]
    return np.array([area[name] for name in FIDUCIALS])


def _simcc(g: Graph, at: str, scores: str, bins: int) -> str:
    """(N, 133) places in pixels -> (N, 133, bins) bumps as high as the scores."""
    away = g.sub(np.arange(bins)[None, None], g.mul(g.op("Unsqueeze", at, g.ints(2)), 2.0))
    bump = g.op("Relu", g.sub(1.0, g.mul(g.mul(away, away), 1.0 / BUMP**2)))
    return g.mul(bump, g.op("Unsqueeze", scores, g.ints(2)))


def build_pose_net(path: Path) -> Path:
    """Write the pose net; deterministic."""
    g = Graph("puppet_pose")
    places = grid_places(GRID_W, GRID_H, 2.0)
    spots, peak, unit = _search(g, _coarse(g), places)
    centres, mass = _centroids(g, spots)
    square = g.op("Squeeze", g.mul(unit, unit), g.ints(2))  # (N, 1)
    share = g.div(mass, g.add(g.mul(square, _areas()[None]), 1e-3))
    seen = g.mul(g.ramp(share, SEEN_FROM, SEEN_TO), g.ramp(peak, 0.08, 0.16))  # (N, 19)
    flat = g.reshape(centres, 0, 2 * N)
    points = g.reshape(g.op("MatMul", flat, keypoint_map().T), 0, KEYPOINTS, 2)
    lack = g.mul(g.op("Unsqueeze", g.sub(1.0, seen), g.ints(1)), needs()[None].astype(float))
    score = g.sub(1.0, g.op("ReduceMax", lack, axes=[2], keepdims=0))  # (N, 133)
    drawn = np.ones(KEYPOINTS)
    drawn[13:23] = 0.0  # legs
    score = g.add(g.mul(score, 0.92 * drawn[None]), FLOOR)
    x, y = (g.op("Squeeze", part, g.ints(2)) for part in g.many("Split", 2, points, g.ints(1, 1), axis=2))
    outputs: dict[str, tuple[str, list[int | str]]] = {
        "simcc_x": (_simcc(g, x, score, 2 * WIDTH), ["N", KEYPOINTS, 2 * WIDTH]),
        "simcc_y": (_simcc(g, y, score, 2 * HEIGHT), ["N", KEYPOINTS, 2 * HEIGHT]),
    }
    return g.save(path, {"input": ["N", 3, HEIGHT, WIDTH]}, outputs)
