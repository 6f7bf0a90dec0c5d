"""Columns of the report: a comparison of codes is judge's comparison of the values."""

import base64

import numpy as np
import pytest

from pipeline.engine.thresholds import Threshold
from stages.judge import CHECKS
from stages.report import columns


def check(side: str) -> Threshold:
    return next(check for check in CHECKS if check.side == side)


def fails(column: columns.Column, side: str, limit: float) -> np.ndarray:
    """(people,) whether the page would drop them, by codes alone: as `Measure.cut` and `Recount` in its script."""
    within = side == "max" or not column.exact
    cut = int(np.searchsorted(column.levels, limit, "right" if within else "left"))
    known = column.codes < columns.NOT_ASKED
    return known & ((column.codes < cut) if side == "min" else (column.codes >= cut))


def values(seed: int, count: int) -> np.ndarray:
    """Values with ties, and some that nobody knows."""
    rng = np.random.default_rng(seed)
    found = np.where(rng.random(count) < 0.3, rng.integers(0, 20, count) / 10, rng.normal(0, 30, count))
    found[rng.random(count) < 0.1] = np.nan
    return found


@pytest.mark.parametrize("side", ["min", "max"])
@pytest.mark.parametrize("most", [columns.MOST, 50])
def test_codes_compare_as_the_values_do(side: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MOST", most)
    monkeypatch.setattr(columns, "_ROUND", 20)
    monkeypatch.setattr(columns, "_RANKS", 20)
    found = values(1, 2000)
    column = columns.coded(found, side, np.ones(2000, bool), [0.7, -3.3])
    assert column.exact is (most > 2000)
    limits = [0.7, -3.3, *column.levels[::7]] + ([0.123, -500, 500, 1.4999] if column.exact else [])
    for limit in limits:
        assert np.array_equal(fails(column, side, limit), check(side).fails(found, limit)), limit


def test_edges_are_round_numbers_and_part_people_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MOST", 1000)
    found = np.random.default_rng(2).gamma(2, 10, 5000)
    monkeypatch.setattr(columns, "_ROUND", 200)
    monkeypatch.setattr(columns, "_RANKS", 200)
    column = columns.coded(found, "min", np.ones(5000, bool))
    assert {10.0, 20.0, 30.5} <= set(column.levels.tolist())
    assert np.bincount(column.codes).max() <= 30
    assert (column.levels[0], column.levels[-1]) == (found.min(), found.max()), "all and nobody can be asked for"


def test_two_hundred_thousand_values_have_codes() -> None:
    found = np.random.default_rng(3).normal(size=200_000)
    column = columns.coded(found, "max", np.ones(200_000, bool))
    assert not column.exact
    assert column.codes.max() < columns.NOT_ASKED
    assert len(column.levels) < columns.MOST


def test_what_is_not_known_and_what_is_not_asked_pass() -> None:
    column = columns.coded(np.array([np.nan, 1.0, 2.0]), "min", np.array([True, True, False]))
    assert column.codes.tolist() == [columns.NULL, 0, columns.NOT_ASKED]
    assert fails(column, "min", 9).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("array", "kind"), [([0.5, 0.25], "f4"), ([0.1], "f8"), ([255], "u1"), ([256], "u2"), ([70_000], "u4")]
)
def test_packed_arrays_come_back(array: list[float], kind: str) -> None:
    found, text = columns.packed(np.array(array))
    assert found == kind
    assert np.frombuffer(base64.b64decode(text), f"<{kind}").tolist() == array


@pytest.mark.parametrize(("least", "step"), [(0.004, 0.005), (0.2, 0.2), (0.0011, 0.002), (7, 10), (0, 1)])
def test_steps_are_round(least: float, step: float) -> None:
    assert columns.round_step(least) == step
