"""What each unit is to ask for, and how many videos it is to bring."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.base.units import Row

if TYPE_CHECKING:
    from pipeline.tables.store import Store

_TYPE_COLUMNS = ("speech_type", "share_percent", "languages", "keywords")


@dataclass(frozen=True)
class Errand:
    """A unit's part: what to ask for, and how many videos to bring."""

    speech_type: str
    language: str
    keywords: tuple[str, ...]
    videos: int


def errands(
    types: Sequence[Row], videos: int, quota: str = "paper", languages: Sequence[str] = ()
) -> dict[str, Errand]:
    """Units and their errands: `<speech type> | <language>`, quotas in whole videos that add up to `videos`.

    A type without a share (the paper does not know it) gets the mean of the known ones; a type's languages share evenly.
    Units whose quota is below half a video are left out.
    """
    pairs = []
    for row in types:
        listed = zip(row["languages"] or [], row["keywords"] or [], strict=True)
        wanted = [(language, words) for language, words in listed if words and (not languages or language in languages)]
        pairs += [(row, language, tuple(words), len(wanted)) for language, words in wanted]
    known = [row["share_percent"] for row in types if row["share_percent"] is not None]
    usual = sum(known) / len(known) if known else 1.0
    shares = [usual if quota == "even" or row["share_percent"] is None else row["share_percent"] for row, *_ in pairs]
    counts = _apportioned([share / number for share, (*_, number) in zip(shares, pairs, strict=True)], videos)
    return {
        f"{row['speech_type']} | {language}": Errand(row["speech_type"], language, words, count)
        for (row, language, words, _), count in zip(pairs, counts, strict=True)
        if count
    }


def _apportioned(weights: Sequence[float], total: int) -> list[int]:
    """Whole numbers in proportion to the weights that add up to `total`: the method of largest remainders."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    exact = [total * weight / whole for weight in weights]
    counts = [int(number) for number in exact]
    order = sorted(range(len(weights)), key=lambda i: (round(counts[i] - exact[i], 9), i))
    for i in order[: total - sum(counts)]:
        counts[i] += 1
    return counts


def types_of(store: "Store") -> list[Row]:
    rows: list[Row] = store.read("types", _TYPE_COLUMNS).to_pylist()
    return rows
