"""What commands print that is no table: JSON for programs, and how a run is, in lines of at most 80 columns."""

import json
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pipeline.base.damage import run_option
from pipeline.base.progress import duration, size
from pipeline.base.text import printable
from pipeline.tables.drivers import Driver
from pipeline.views.find import Match
from pipeline.views.machines import Work
from pipeline.views.vitals import Vitals

COLUMNS = 80
MATCHES_SHOWN = 30


def echo_json(told: Any) -> None:
    """Print JSON: times as ISO 8601 in UTC, data classes as objects, and null for numbers that JSON does not know."""
    click.echo(json.dumps(_plain(told), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def when(at: datetime) -> str:
    """A time for people, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def who(driver: Driver) -> str:
    """A driver in words: what it writes, since when, and where it runs."""
    since = f" since {when(driver.since)}" if driver.since else ""
    return f"{printable(driver.writes)}{since}, process {driver.pid} on {printable(driver.host)}"


def fitting(line: str, indent: int = 18) -> str:
    """A line, broken at blanks where it has more than 80 columns."""
    more = " " * indent
    return textwrap.fill(line, COLUMNS, subsequent_indent=more, break_long_words=False, break_on_hyphens=False)


def wrapped(head: str, text: str, columns: int = COLUMNS) -> str:
    """A head and a text beside it, broken into lines where it is too long; a word that is longer stays whole."""
    first = f"{head + ':':<14}"
    return textwrap.fill(
        printable(text),
        columns,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_vitals(run: Path, found: Vitals) -> None:
    """Say how a run is, a line a subject."""
    for head, text in _lines(found):
        click.echo(wrapped(head, text))
    if found.last_failure:  # in one line, to be copied
        click.echo(f"all failures: csg405 failed {run_option(run)}")


def _lines(found: Vitals) -> Iterator[tuple[str, str]]:
    yield "kept", _kept(found)
    yield from _of_machines(found.work)
    for driver in found.drivers:
        yield "at work", who(driver)
    if not found.drivers:
        yield "at work", "nobody"
    if one := found.last_failure:
        yield "last failure", f"{when(one.at)}, {one.stage} of {one.unit}: {one.reason}, {one.detail}"
    disk = found.disk
    room = f"{size(disk.free)} free of {size(disk.total)}"
    if disk.full_in_seconds is not None and disk.growth is not None:
        room += f"; at {size(disk.growth)} an hour, as now, full in {duration(disk.full_in_seconds)}"
    yield "disk", room
    for pace in found.requests:
        wait = f", the next in {duration(pace.wait_seconds)}" if pace.wait_seconds >= 1 else ""
        yield (
            "requests",
            f"about {pace.left_this_hour} of {pace.requests_per_hour:g} left this hour for {pace.host}{wait}",
        )


def _kept(found: Vitals) -> str:
    hours = ((found.work.cpu_hours_a_kept_hour, "processor"), (found.work.gpu_hours_a_kept_hour, "GPU"))
    costs = " and ".join(f"{cost:.3g} {what} hours" for cost, what in hours if cost)
    return f"{found.kept_hours:.3g} hours" + (f", each of which took {costs}" if costs else "")


def _of_machines(work: Work) -> Iterator[tuple[str, str]]:
    """A line a node or GPU where there are several, or one that annotates."""
    for one in work.machines:
        hours = f"{one.cpu_hours:.3g} processor hours" + (f", {one.gpu_hours:.3g} of a GPU" if one.gpu_hours else "")
        pace = ""
        if one.frames_a_second is not None and one.hours_a_day is not None:
            pace = f"; annotates {one.frames_a_second:.3g} frames/s, {one.hours_a_day:.3g} hours of clips a day"
        yield "machine", f"{one.host}: {one.units:,} units, {hours}{pace}"
    if work.chain_left_seconds is not None:
        yield "whole chain", f"done in {duration(work.chain_left_seconds)}, at the pace of the last minutes"


def print_matches(words: str, matches: Sequence[Match]) -> None:
    """List what somebody may have meant."""
    click.echo(f"{len(matches):,} match {printable(words)!r}:")
    for one in matches[:MATCHES_SHOWN]:
        about = f"{one.title} ({one.source})" if one.title and one.source != one.unit else one.title or one.source
        click.echo(f"  {printable(one.unit)}")
        if about:
            click.echo("      " + textwrap.shorten(printable(about), COLUMNS - 6, placeholder=" ..."))
    if len(matches) > MATCHES_SHOWN:
        click.echo(f"  and {len(matches) - MATCHES_SHOWN:,} more: --json lists them all")
