"""The page: shares and counts as plain bars in inline SVG, everything in one file."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import jinja2

from pipeline.base import files
from pipeline.views.availability.account import (
    BAD,
    BLOCKED,
    DEAD,
    LIVE,
    MEANING,
    NEVER,
    OPTED_OUT,
    STATES,
    UNKNOWN,
    UNUSABLE,
    Account,
    Source,
)
from pipeline.views.availability.formats import JSON, PAGE, ROWS, as_csv, as_json, sentence

LISTED = 300  # sources that the page itself lists
DAYS_SHOWN = 60
TYPES_SHOWN = 100
WIDTH, HEIGHT = 720.0, 150.0  # of the chart of days, in its own units

# Most telling first: what is lost, then what could not be told.
_TROUBLE = (DEAD, UNUSABLE, BLOCKED, UNKNOWN, NEVER)
_CLASS = {state: state.replace(" ", "-") for state in STATES}


@dataclass(frozen=True)
class Part:
    """A piece of a bar in percent of its length: where it begins, how long it is, and what it stands for."""

    at: float
    share: float
    state: str
    css: str
    count: int


@dataclass(frozen=True)
class Cause:
    """A reason, how many sources it took, and its share of the longest bar in percent."""

    code: str
    text: str
    css: str
    count: int
    share: float


@dataclass(frozen=True)
class Day:
    """A column of the chart of days, in the chart's units."""

    name: str
    x: float
    width: float
    parts: list[Part]
    total: int


def write(run: Path, account: Account) -> None:
    """Write the three files; the page comes last."""
    files.write_text(run / JSON, as_json(account))
    files.write_text(run / ROWS, as_csv(account))
    files.write_text(run / PAGE, render(account))


def render(account: Account) -> str:
    """The page as HTML; every value is escaped by the template engine."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stages.availability", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": lambda number: f"{number:,}", "percent": percent}
    days = list(account.last_looked)
    return environment.get_template("index.html.jinja").render(
        account=account,
        videos=parts(account.videos),
        clips=parts(account.clips),
        meaning=MEANING,
        live=account.videos[LIVE],
        live_clips=account.clips[LIVE],
        decided=len(account.sources) - account.videos[NEVER] - account.videos[UNKNOWN] - account.videos[BLOCKED],
        stay=account.kept[DEAD] + account.kept[BLOCKED] + account.kept[UNUSABLE],
        causes=causes(account),
        types=[(name, parts(states), states.total(), states[LIVE]) for name, states in _head(account.types.items())],
        types_left=max(0, len(account.types) - TYPES_SHOWN),
        days=columns(account.days),
        days_left=max(0, len(account.days) - DAYS_SHOWN),
        chart=(WIDTH, HEIGHT),
        first=days[0] if days else "",
        last=days[-1] if days else "",
        listed=list(islice(_in_trouble(account.sources), LISTED)),
        troubled=sum(account.videos[state] for state in _TROUBLE[:-1]),
        css=_CLASS,
        sentence=sentence,
        link=link,
        left_out=(OPTED_OUT, BAD),
    )


def _head(types: Iterable[tuple[str, Counter[str]]]) -> list[tuple[str, Counter[str]]]:
    return list(islice(types, TYPES_SHOWN))


def parts(states: Counter[str]) -> list[Part]:
    """The pieces of a bar from 0 to 100."""
    total = states.total() or 1
    pieces, at = [], 0.0
    for state in STATES:
        if states[state]:
            share = 100 * states[state] / total
            pieces.append(Part(round(at, 3), round(share, 3), state, _CLASS[state], states[state]))
            at += share
    return pieces


def causes(account: Account) -> list[Cause]:
    """Why sources are not live, most frequent first."""
    counts = [
        (count, code, state) for state in _TROUBLE for code, count in account.reasons.get(state, Counter[str]()).items()
    ]
    counts.sort(key=lambda item: (-item[0], item[1]))
    longest = counts[0][0] if counts else 1
    return [Cause(code, sentence(code), _CLASS[state], count, 100 * count / longest) for count, code, state in counts]


def columns(days: dict[str, Counter[str]]) -> list[Day]:
    """The latest days, each a column of what was found on it."""
    shown = list(days.items())[-DAYS_SHOWN:]
    highest = max((states.total() for _, states in shown), default=1) or 1
    step = WIDTH / max(len(shown), 6)
    bars = []
    for number, (name, states) in enumerate(shown):
        at, pieces = HEIGHT, []
        for state in STATES:
            if states[state]:
                height = HEIGHT * states[state] / highest
                at -= height
                pieces.append(Part(round(at, 2), round(height, 2), state, _CLASS[state], states[state]))
        bars.append(Day(name, round(number * step, 2), round(step * 0.78, 2), pieces, states.total()))
    return bars


def _in_trouble(sources: Sequence[Source]) -> Iterator[Source]:
    """Sources that are dead, unusable, blocked or unknown; those that cost most clips first."""
    rank = {state: number for number, state in enumerate(_TROUBLE[:-1])}
    troubled = [source for source in sources if source.evidence.state in rank]
    return iter(sorted(troubled, key=lambda one: (rank[one.evidence.state], -one.clips, one.source)))


def percent(count: int, total: int) -> str:
    """A share in percent that says neither 0 nor 100 of what is neither."""
    if not total:
        return "\u2013"
    share = 100 * count / total
    if 0 < share < 0.1:
        return "< 0.1 %"
    if 99.9 < share < 100:
        return "> 99.9 %"
    return f"{share:.0f} %" if share in (0, 100) else f"{share:.1f} %"


def link(source: str) -> str | None:
    """The source if a browser may follow it; None for files."""
    try:
        parts = urlsplit(source)
    except ValueError:
        return None
    return source if parts.scheme in ("http", "https") and parts.hostname else None
