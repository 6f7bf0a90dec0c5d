"""Nets whose answers are planted, and the real ones where the assets are."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.skeleton.layout import K

ROOT = Path(__file__).parents[3]
ASSETS = Path(os.environ.get("CSG405_TEST_ASSETS", ROOT.parent / "shared"))


def asset(path: str) -> Path:
    """A file of the test assets; the test is skipped where they are not."""
    found = ASSETS / path
    if not found.exists():
        pytest.skip(f"{path} is not among the test assets (set CSG405_TEST_ASSETS)")
    return found


Answer = Callable[[np.ndarray], list[np.ndarray]]


class FakeSession:
    """Looks like an onnxruntime session: shapes as declared, answers from a function of the input array."""

    def __init__(self, answer: Answer, source: tuple[Any, ...], outputs: int = 1) -> None:
        self.answer = answer
        self.runs: list[np.ndarray] = []
        self._source = SimpleNamespace(name="in", shape=list(source))
        self._outputs = [SimpleNamespace(name=f"out{i}", shape=[None]) for i in range(outputs)]

    def get_inputs(self) -> list[SimpleNamespace]:
        return [self._source]

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]

    def get_outputs(self) -> list[SimpleNamespace]:
        return self._outputs

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        (array,) = feed.values()
        self.runs.append(array.copy())
        return self.answer(array)


def bump(where: np.ndarray, bins: int, height: np.ndarray) -> np.ndarray:
    """SimCC rows (..., bins) whose clipped parabola peaks at `where` (in bins, may be fractional)."""
    away = np.arange(bins) - where[..., None]
    return np.asarray(height[..., None] * np.maximum(1 - (away / 8) ** 2, 0), np.float32)


def upper_body(x: float, y: float, size: float) -> np.ndarray:
    """(133, 2) keypoints of a figure about `size` wide and 2 x `size` tall around (x, y); the same shape for everybody."""
    points = np.random.default_rng(7).uniform(-0.4, 0.4, (K, 2)) * [1, 2]
    points[:17] = np.stack([np.tile([0, 0.2, -0.2], 6)[:17], np.linspace(-0.9, 0.9, 17)], -1)
    return points * size + [x, y]
