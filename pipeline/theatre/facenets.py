"""Nets that tell the puppets apart by face, and answer what they are said to be, with the signatures of DeepFace's.

In a face cut out as `nets.face.faces` cuts it, hair stands in a band at the top and skin below it. The nets see how much of
each colour of the palette lies in the two bands, take the one that there is most of in each, and look up the pair: no two puppets
have both in common. The emotion net sees grey levels alone, which differ as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.base.arrays import Floats64
from pipeline.nets.face.attributes import EMOTION_SIDE, LABELS, SIDE, Attribute
from pipeline.nets.face.identity import SIDE as IDENTITY_SIDE
from pipeline.theatre.graph import Graph
from pipeline.theatre.palette import HAIRS, SKINS
from pipeline.theatre.said import SAID

PAIRS = [(skin, hair) for skin in SKINS for hair in HAIRS]
WIDTH = 512  # of ArcFace's identities
_EACH = WIDTH // len(PAIRS)  # entries that are one pair's own, so that different pairs are at right angles
_GREY = np.array([0.299, 0.587, 0.114])  # of red, green and blue


@dataclass(frozen=True)
class _View:
    """How a net sees faces: side, channels, colour distance at which nothing is alike, and the bands, shares of the side.

    Attributes:
        hair, skin: rectangles x1, y1, x2, y2.
    """

    side: int
    channels: int
    radius: float
    hair: tuple[tuple[float, float, float, float], ...]
    skin: tuple[tuple[float, float, float, float], ...]


# Beside the flower in the hair; and the face but for nose and mouth.
_ALIGNED = _View(
    IDENTITY_SIDE,
    3,
    30.0,
    ((0.2, 0.0, 0.36, 0.2), (0.64, 0.0, 0.8, 0.2)),
    ((0.15, 0.45, 0.4, 0.8), (0.6, 0.45, 0.85, 0.8)),
)
_HAIR = ((0.3, 0.08, 0.42, 0.24), (0.58, 0.08, 0.7, 0.24))
_SKIN = ((0.25, 0.5, 0.42, 0.72), (0.58, 0.5, 0.75, 0.72))
_UPRIGHT = _View(SIDE, 3, 30.0, _HAIR, _SKIN)
_SMALL = _View(EMOTION_SIDE, 1, 12.0, _HAIR, _SKIN)


def build_face_nets(folder: Path) -> dict[str, Path]:
    """Write the five nets into a folder; deterministic. Their files bear the names of the model registry."""
    return {
        "identity": _build(folder, "identity", _ALIGNED, _identity),
        "gender": _build(folder, "gender", _UPRIGHT, lambda g, pair: _answer(g, pair, "gender")),
        "age": _build(folder, "age", _UPRIGHT, lambda g, pair: _answer(g, pair, "age")),
        "ethnicity": _build(folder, "ethnicity", _UPRIGHT, lambda g, pair: _answer(g, pair, "ethnicity")),
        "emotion": _build(folder, "emotion", _SMALL, lambda g, pair: _answer(g, pair, "emotion")),
    }


def _build(folder: Path, name: str, view: _View, head: Callable[[Graph, str], tuple[str, int]]) -> Path:
    g = Graph(f"puppet_{name}")
    result, width = head(g, _pair(g, view))
    shape: list[int | str] = ["N", view.side, view.side, view.channels]
    return g.save(folder / f"theatre_{name}.onnx", {"input": shape}, {"output": (result, ["N", width])})


def _pair(g: Graph, view: _View) -> str:
    """Which pair of skin and hair is seen: (N, 20), all but 1 for one of them; less where no puppet's face is seen."""
    levels = g.mul(g.op("Transpose", "input", perm=[0, 3, 1, 2]), 255.0)
    # Blue comes first; grey stands for all three.
    picture = g.take(levels, [2, 1, 0] if view.channels == 3 else [0, 0, 0], 1)
    skins, hairs = (np.array(list(colours.values()), float) for colours in (SKINS, HAIRS))
    if view.channels == 1:
        skins, hairs = (np.repeat((colours @ _GREY)[:, None], 3, axis=1) for colours in (skins, hairs))
    skin = _most(g, picture, skins, view, view.skin)  # (N, 4)
    hair = _most(g, picture, hairs, view, view.hair)  # (N, 5)
    both = g.mul(g.op("Unsqueeze", skin, g.ints(2)), g.op("Unsqueeze", hair, g.ints(1)))
    return g.reshape(both, 0, len(PAIRS))


def _most(g: Graph, picture: str, colours: Floats64, view: _View, band: tuple[tuple[float, ...], ...]) -> str:
    """(N, C) near 1 for the colour of which most lies in the band, near 0 for the others."""
    mask = np.zeros((view.side, view.side))
    for box in band:
        x1, y1, x2, y2 = (round(edge * view.side) for edge in box)
        mask[y1:y2, x1:x2] = 1.0
    alike = g.mul(g.op("Relu", g.likeness(picture, colours, view.radius)), (mask / mask.sum())[None, None])
    amount = g.sum(alike, 2, 3, keep=False)  # (N, C)
    largest = g.op("ReduceMax", amount, axes=[1], keepdims=1)
    share = g.div(amount, g.add(largest, 1e-6))
    return g.mul(g.ramp(share, 0.6, 1.0), g.ramp(largest, 0.02, 0.1))


def _identity(g: Graph, pair: str) -> tuple[str, int]:
    own = np.kron(np.eye(len(PAIRS)), np.ones((1, _EACH))) / np.sqrt(_EACH)
    # Nobody is at right angles to everybody, and no identity is zero.
    nobody = np.zeros((1, WIDTH))
    nobody[0, own.shape[1] :] = 0.01
    return g.add(g.op("MatMul", pair, np.pad(own, ((0, 0), (0, WIDTH - own.shape[1])))), nobody), WIDTH


def _answer(g: Graph, pair: str, attribute: Attribute) -> tuple[str, int]:
    """(N, classes) that sum to 1: nine tenths for what is said of the puppet (all of it for age, whose mean is asked for)."""
    classes = len(LABELS[attribute])
    even = np.full((len(PAIRS), classes), 1.0 / classes)
    for look, said in SAID.items():
        label = str(said.age_years) if attribute == "age" else getattr(said, attribute)
        sure = 1.0 if attribute == "age" else 0.9
        row = np.full(classes, (1 - sure) / (classes - 1))
        row[LABELS[attribute].index(label)] = sure
        even[PAIRS.index((look.skin, look.hair))] = row
    # Where no puppet is seen every class is as likely.
    unknown = 1e-6
    total = g.add(g.sum(pair, 1), unknown)
    answer = g.add(g.op("MatMul", pair, even), np.full((1, classes), unknown / classes))
    return g.div(answer, total), classes
