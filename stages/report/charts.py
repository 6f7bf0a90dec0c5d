"""Histograms as plain numbers for inline SVG: kept below, dropped on top, the threshold as a line."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.report.gather import RunTables, judged, measures

BINS = 36
WIDTH, HEIGHT = 300.0, 84.0


@dataclass(frozen=True)
class Bar:
    """A bar of the chart in its own units: x, width, and the heights of kept and dropped; `range` is what values it holds.

    Attributes:
        counts: how many of them were kept, and dropped.
    """

    x: float
    width: float
    kept: float
    dropped: float
    range: str
    label: str
    counts: tuple[int, int]


@dataclass(frozen=True)
class Histogram:
    """One measure over all people who have it.

    Attributes:
        ends: the values at the left and right ends of the x axis.
        limit: the threshold's place on the x axis and its text, or None.
        side: "min" drops what lies left of the threshold, "max" what lies right of it.
    """

    measure: str
    name: str
    unit: str
    text: str
    ends: tuple[float, float]
    bars: list[Bar]
    low: str
    high: str
    median: str
    limit_x: float | None
    limit: str
    side: str
    measured: int
    unmeasured: int


def histograms(tables: RunTables, *, off: bool = False) -> list[Histogram]:
    """The measures worth looking at, those with a threshold first; with `off` the others that could have one.

    One whose threshold is on by default is shown also when the profile switched it off: its values say what that let through.
    """
    limits = tables.limits
    fields = {field.name: field for field in measures()}
    usual = {threshold.measure for threshold in judged() if threshold.default is not None}
    could = {threshold.measure for threshold in judged()} if off else usual | limits.keys()
    wanted = [name for name in fields if name in could and (not off or name not in usual | limits.keys())]
    wanted.sort(key=lambda name: (name not in limits, list(fields).index(name)))
    keep = tables.people["keep"].to_numpy(bool)
    charts = []
    for name in wanted:
        values = tables.people[name].to_numpy("float64", na_value=np.nan)
        if np.isfinite(values).sum() >= 2:
            charts.append(_histogram(fields[name], values, keep, limits.get(name)))
    return charts


def _histogram(
    field: pa.Field, values: NDArray[np.float64], keep: NDArray[np.bool_], limit: tuple[str, float] | None
) -> Histogram:
    known = np.isfinite(values)
    low, high = np.percentile(values[known], [0.5, 99.5])
    if limit is not None:
        low, high = min(low, limit[1]), max(high, limit[1])
    if high <= low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    clipped = np.clip(values, low, high)
    kept = np.histogram(clipped[known & keep], edges)[0]
    dropped = np.histogram(clipped[known & ~keep], edges)[0]
    scale = HEIGHT / max(1, (kept + dropped).max())
    step = WIDTH / BINS
    bars = [
        Bar(
            i * step,
            step - 1,
            k * scale,
            d * scale,
            f"{_short(edges[i])} to {_short(edges[i + 1])}",
            f"{_short(edges[i])} to {_short(edges[i + 1])}: {k} kept, {d} dropped",
            (k, d),
        )
        for i, (k, d) in enumerate(zip(kept.tolist(), dropped.tolist(), strict=True))
    ]
    notes = {key.decode(): value.decode() for key, value in field.metadata.items()}
    return Histogram(
        measure=field.name,
        name=label(field.name),
        unit=unit_beside(field),
        text=notes["text"],
        ends=(float(low), float(high)),
        bars=bars,
        low=_short(low),
        high=_short(high),
        median=_short(float(np.median(values[known]))),
        limit_x=None if limit is None else WIDTH * (limit[1] - low) / (high - low),
        limit="" if limit is None else _short(limit[1]),
        side="" if limit is None else limit[0],
        measured=int(known.sum()),
        unmeasured=int((~known).sum()),
    )


@cache
def label(name: str) -> str:
    """A measure's name for people: without its unit, which stands beside it, unless two measures would have one name."""
    return (name if _shared(name) else _without_unit(name)).replace("_", " ")


def unit_beside(field: pa.Field) -> str:
    """A measure's unit; "" where its name says it already."""
    unit = str(field.metadata[b"unit"].decode())
    return "" if _shared(field.name) and _without_unit(field.name) != field.name else unit


def _shared(name: str) -> bool:
    short = _without_unit(name)
    return sum(_without_unit(field.name) == short for field in measures()) > 1


def _without_unit(name: str) -> str:
    for suffix in ("_px", "_degrees", "_dbfs", "_seconds", "_share", "_frames"):
        name = name.removesuffix(suffix)
    return name


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
