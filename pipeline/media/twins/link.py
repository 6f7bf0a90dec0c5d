"""What joins two videos by their sound, and from when on: limits for twins, and looser ones for what comes near to it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.media.chromaprint import Items
from pipeline.media.twins.candidates import BIN, Candidate, candidates
from pipeline.media.twins.comparison import Match, compare, sounding_seconds
from pipeline.media.twins.limits import Limits


@dataclass(frozen=True)
class SoundLink:
    """What two videos share by their sound, seen from each of the two; `twins` by the limits for twins, else near ones.

    Attributes:
        of: video -> the match as it sees it.
        twins: whether they are for sure.
        least: seconds to hear in the one with less of them.
    """

    of: Mapping[str, Match]
    twins: bool
    least: float

    @property
    def videos(self) -> tuple[str, str]:
        first, second = self.of
        return first, second


def items_of(data: bytes | None) -> Items:
    """The items of a stored fingerprint; none of null."""
    return np.frombuffer(data or b"", "<u4").astype(np.uint32, copy=False)


def offsets_of(pair: Candidate) -> list[int]:
    """Every offset at which two candidates are worth comparing."""
    return [int(first) + step for first in pair.offsets for step in range(BIN)]


def linked(
    a: str, b: str, prints: Mapping[str, Items], offsets: Sequence[int], least: float, limits: Limits
) -> SoundLink | None:
    """What joins two videos; None where it is less than near. `least`: seconds of the one with less to hear."""
    close = _both(a, b, prints, offsets, limits.max_bit_error)
    if close and is_enough(close[a], least, limits.min_matched_share, limits.long_matched_seconds, limits):
        return SoundLink(close, True, least)
    near = _both(a, b, prints, offsets, limits.near_bit_error)
    if near and is_enough(near[a], least, limits.near_matched_share, limits.near_matched_seconds, limits):
        return SoundLink(near, False, least)
    return None


def link_of(a: str, b: str, prints: Mapping[str, Items], limits: Limits) -> SoundLink | None:
    """What joins two videos of which nothing is known yet."""
    offsets = [at for pair in candidates([prints[a], prints[b]]) for at in offsets_of(pair)]
    return (
        linked(a, b, prints, offsets, min(map(sounding_seconds, (prints[a], prints[b]))), limits) if offsets else None
    )


def _both(
    a: str, b: str, prints: Mapping[str, Items], offsets: Iterable[int], max_error: float
) -> dict[str, Match] | None:
    """The match of two videos as each of them sees it; None where either sees none."""
    here = compare(prints[a], prints[b], offsets, max_error)
    there = here and compare(prints[b], prints[a], [-offset for offset in offsets], max_error)
    return {a: here, b: there} if here and there else None


def is_enough(match: Match, least: float, share: float, long_seconds: float, limits: Limits) -> bool:
    """Whether a match is long enough; `least`: seconds of evidence of the one that has less."""
    enough = match.seconds >= share * least or match.seconds >= long_seconds
    return match.seconds >= limits.min_matched_seconds and enough
