"""Which of many fingerprints are worth comparing with some that are asked for, in one pass over the many."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from pipeline.base.arrays import Ints
from pipeline.base.progress import Progress
from pipeline.media.chromaprint import Items
from pipeline.media.twins.candidates import MIN_VOTES


def sharing(asked: Mapping[str, Items], prints: Mapping[str, Items]) -> dict[str, list[str]]:
    """The videos that hold as many items of each as a link by sound needs; all others have none.

    Unlike `candidates` it passes over no pair, however many videos have an item: what is asked for is few.

    Args:
        asked: fingerprints by name.
        prints: of the videos that are looked through.

    Returns: {name of one that is asked for: ids of videos, in order}.
    """
    names = sorted(asked)
    found: dict[str, list[str]] = {name: [] for name in names}
    own = [np.unique(asked[name]) for name in names]
    values = np.concatenate(own) if own else np.zeros(0, np.uint32)
    owners = np.repeat(np.arange(len(own)), [len(items) for items in own])
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    with Progress("comparing sound", len(prints)) as shown:
        for video in sorted(prints) if len(values) else ():
            for owner in _owners(prints[video], values, owners):
                found[names[owner]].append(video)
            shown.advance("looked through")
    return found


def _owners(items: Items, values: Items, owners: Ints) -> Ints:
    """Those of whom a video has enough items; `values`, sorted, are theirs, one owner each."""
    items = np.sort(items)  # neighbours are looked up one after the other
    first = np.searchsorted(values, items)
    there = first < len(values)
    there[there] = values[first[there]] == items[there]
    last = np.searchsorted(values, items[there], "right")
    votes = Counter(int(owner) for at, end in zip(first[there], last, strict=True) for owner in owners[at:end])
    return np.array(sorted(owner for owner, count in votes.items() if count >= MIN_VOTES), int)
