"""The cards of everybody judged, as text for the page's script: made a column at a time, for thousands of people at once."""

import math
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from stages.report import gather
from stages.report.films import film_of
from stages.report.gather import RunTables
from stages.report.text import NULL, arrow, column, joined, json_of, six_digits

_AT_ONCE = 8192  # people: their text takes tens of megabytes


class _Link(NamedTuple):
    """A url that a browser may follow.

    Attributes:
        url: as it was given.
        before, after: what stands around a time in whole seconds; None where the site knows no such links.
    """

    url: str
    before: str | None = None
    after: str = ""


def link(url: str | None, start_seconds: float | None = None) -> str | None:
    """The url if a browser may follow it (http or https with a host), at the clip's start where YouTube can; else None."""
    found = _link(url)
    if found is None or found.before is None or not start_seconds or math.isnan(start_seconds):
        return None if found is None else found.url
    return f"{found.before}{int(start_seconds)}{found.after}"


def _link(url: object) -> _Link | None:
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    if not parts.hostname.endswith(("youtube.com", "youtu.be")):
        return _Link(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key != "t"]
    before = urlunsplit(parts._replace(query=urlencode([*query, ("t", "")]), fragment=""))
    return _Link(url, before, f"s#{parts.fragment}" if parts.fragment else "s")


def pieces(tables: RunTables, size: int) -> Iterator[str]:
    """Lists of so many cards each, in the order of `people`, as JSON."""
    at_once = size * max(1, _AT_ONCE // size)
    for first in range(0, len(tables.people), at_once):
        cards = joined(_cards(tables.people.iloc[first : first + at_once], tables), ",")
        ends = np.frombuffer(cards.buffers()[1], np.int32)[cards.offset : cards.offset + len(cards) + 1]
        text = cards.buffers()[2]
        for begin in range(0, len(cards), size):
            end = min(len(cards), begin + size)
            yield f"[{str(text[int(ends[begin]) : int(ends[end]) - 1], 'ascii')}]"  # without the last comma


def _cards(people: pd.DataFrame, tables: RunTables) -> pa.Array:
    """(people,) cards: short keys, because there may be 200,000 of them."""
    title = people["title"].mask(people["title"].eq("").fillna(False)).fillna(people["video_id"])
    card = {
        "i": column(people["person_id"]),
        "t": column(title),
        "c": column(people["channel"]),
        "u": _links(people),
        "s": column(people["start_seconds"]),
        "n": column(people["seconds"]),
        **_films(people, tables),
        "k": column(people["keep"]),
        "o": column(people["overridden"]),
        "r": column(people["reasons"]),
        "d": column(people["details"]),
        "q": column(people["unmeasured"]),
        "b": column(people["crop_box"]),
        "a": _listed([column(people[name]) for name in ("speech_type", "licence")]),
        "m": _listed([column(people[field.name]) for field in gather.measures()]),
    }
    named = [part for key, value in card.items() for part in (f',"{key}":', value)]
    named[0] = f"{{{named[0].removeprefix(',')}"
    return joined(*named, "}")


def _listed(columns: list[pa.Array]) -> pa.Array:
    """(rows,) lists of a value of each column."""
    return joined("[", *[part for values in columns for part in (",", values)][1:], "]")


def _links(people: pd.DataFrame) -> pa.Array:
    """(people,) where each clip can be watched: a url is looked at once, however many clips are of it."""
    codes, urls = pd.factorize(people["url"], use_na_sentinel=True)
    found = [_link(url) for url in urls]
    whole = pa.array([NULL if one is None else json_of(one.url) for one in found], pa.string())
    before = pa.array(
        [json_of(one.before)[:-1] if one and one.before is not None else None for one in found], pa.string()
    )
    after = pa.array([json_of(one.after)[1:] if one else None for one in found], pa.string())
    at = pa.array(codes, mask=codes < 0)
    start = six_digits(people["start_seconds"].to_numpy("float64", na_value=np.nan))
    told = np.isfinite(start) & (start != 0)
    seconds = pa.array(np.where(told, start, 0).astype(np.int64), mask=~told).cast(pa.string())
    timed = joined(before.take(at), seconds, after.take(at))  # null where there is no start, or the site knows none
    return pc.coalesce(timed, whole.take(at), NULL)


def _films(people: pd.DataFrame, tables: RunTables) -> dict[str, pa.Array]:
    """What each card plays: the keys of `film_of`."""
    samples = people["sample"].tolist() if tables.footage else [None] * len(people)
    known = people["sample"].notna().tolist()
    films = [
        film_of(tables.previews.get(person), sample if there else None)
        for person, sample, there in zip(people["person_id"].tolist(), samples, known, strict=True)
    ]
    return {key: arrow(pa.array([film[key] for film in films])) for key in film_of(None)}
