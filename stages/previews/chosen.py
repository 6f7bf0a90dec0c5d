"""Which dropped people are shown: those nearest to being kept, and a seeded sample."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from pipeline.base.units import Row
from pipeline.engine.thresholds import excess

FARTHEST = (1, float("inf"))  # the nearness of what was refused before anything was measured


def draw_order(seed: int, identity: str) -> bytes:
    """Where a video, clip or person stands in the order in which they are drawn."""
    return blake2b(f"{seed}:{identity}".encode(), digest_size=8).digest()


def nearness(verdict: Row) -> tuple[int, float]:
    """How little keeps a dropped person from being kept, smallest first: reasons against them, then the largest excess."""
    details = [detail for detail in verdict["details"] or () if detail]
    return len(set(verdict["reasons"] or ())), max(map(excess, details), default=float("inf"))


def first_reason(verdict: Row) -> str:
    """The reason that a dropped person is shown under."""
    return next(iter(verdict["reasons"] or ()), "")


def picked(
    candidates: Iterable[tuple[str, tuple[int, float]]], count: int, nearest_share: float, seed: int
) -> Iterator[str]:
    """Identities to show, at most `count`: those nearest to being kept, then others by a seeded hash.

    Args:
        candidates: (identity, nearness).
        nearest_share: of `count`, rounded up.
    """
    listed = list(candidates)
    near = [name for name, _ in sorted(listed, key=lambda one: (one[1], draw_order(seed, one[0])))]
    first = near[: min(count, -int(-count * nearest_share // 1))]
    rest = sorted((name for name, _ in listed if name not in set(first)), key=lambda name: draw_order(seed, name))
    yield from [*first, *rest][:count]


def dropped_by_reason(verdicts: Iterable[Row]) -> dict[str, list[Row]]:
    """Verdicts of dropped people by their first reason."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for verdict in verdicts:
        if not verdict["keep"]:
            groups[first_reason(verdict)].append(verdict)
    return groups
