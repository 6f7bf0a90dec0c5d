"""The paper's figure 2 for this run: what is spoken, for how long, and by whom as nets see it."""

from collections import Counter

from pipeline.views.table_one import Share
from stages.report.gather import RunTables

_MOST_TYPES = 16


def distributions(tables: RunTables) -> dict[str, list[Share]]:
    """Name -> shares of the kept clips, percent: speech types, lengths, then attributes; those without data are left out."""
    found = {"speech type": _speech_types(tables), "clip length": _lengths(tables)}
    return {name: shares for name, shares in found.items() if shares} | tables.attributes


def _speech_types(tables: RunTables) -> list[Share]:
    """The most frequent first, the rest in one."""
    counts = Counter(value for value in tables.kept["speech_type"] if isinstance(value, str) and value)
    total = sum(counts.values())
    listed = counts.most_common(_MOST_TYPES)
    shares = [Share(name, 100 * count / total, None) for name, count in listed]
    rest = total - sum(count for _, count in listed)
    return [*shares, Share(f"{len(counts) - len(listed)} others", 100 * rest / total, None)] if rest else shares


def _lengths(tables: RunTables) -> list[Share]:
    """By whole seconds, from the shortest to the longest."""
    seconds = tables.kept["seconds"].dropna().astype(int)
    counts = Counter(seconds.tolist())
    if not counts:
        return []
    span = range(min(counts), max(counts) + 1)
    return [Share(f"{second} to {second + 1} s", 100 * counts[second] / len(seconds), None) for second in span]
