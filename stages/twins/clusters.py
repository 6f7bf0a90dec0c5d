"""Clusters of videos, and names for them that stay when videos come."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b


def clusters(links: Iterable[tuple[str, str]]) -> list[list[str]]:
    """What hangs together by these links, directly or through others: sorted lists of ids, in the order of their first."""
    above: dict[str, str] = {}

    def root(one: str) -> str:
        while (up := above.setdefault(one, one)) != one:
            above[one] = one = above[up]
        return one

    for a, b in links:
        low, high = sorted((root(a), root(b)))
        above[high] = low
    found: dict[str, list[str]] = {}
    for one in sorted(above):
        found.setdefault(root(one), []).append(one)
    return list(found.values())


def names(found: Sequence[Sequence[str]], known: Mapping[str, str]) -> list[str]:
    """A name for each cluster: the one that most of its members have, else one after its first member.

    Args:
        found: the clusters, no video in two.
        known: video_id -> the name of its cluster so far. Where two clusters became one, the name of the larger stays; where one
            fell apart, the largest part keeps it.
    """
    claims = [
        (-count, members[0], name, at)
        for at, members in enumerate(found)
        for name, count in Counter(known[one] for one in members if one in known).items()
    ]
    given: dict[int, str] = {}
    taken: set[str] = set()
    for _, _, name, at in sorted(claims):
        if at not in given and name not in taken:
            given[at] = name
            taken.add(name)
    taken |= set(known.values())
    for at, members in enumerate(found):
        if at not in given:
            given[at] = next(name for name in map(_named_after, members) if name not in taken)
            taken.add(given[at])
    return [given[at] for at in range(len(found))]


def _named_after(video: str) -> str:
    return "t" + blake2b(video.encode(), digest_size=6).hexdigest()
