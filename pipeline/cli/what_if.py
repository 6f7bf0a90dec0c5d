"""`csg405 what-if`: who would be kept with other thresholds."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pipeline.base.progress import duration
from pipeline.cli.faults import BAD_USE, STOPPED, Fault
from pipeline.cli.looks import looking, tell_damages
from pipeline.cli.session import about_a_run, there
from pipeline.engine.changes import changes
from pipeline.engine.chosen import assigned, settings_of
from pipeline.engine.session import Session
from pipeline.views.what_if import WhatIf, what_if

JUDGE = "judge"
SHOWN = 3  # ids of each kind


@click.command(name="what-if")
@click.argument("settings_", metavar="[judge.KEY=VALUE]...", nargs=-1)
@about_a_run
@click.option("--json", "as_json", is_flag=True, help="For programs; with the ids of all who would come and go.")
def command(settings_: Sequence[str], as_json: bool, **given: Any) -> None:
    """Say who would be kept with other settings of judge; nothing is written, no shard is touched."""
    given["sets"] = (*given["sets"], *settings_)
    _judge_alone(given["sets"], given["settings"])
    session = there(given)
    store = looking(session)
    found = what_if(store, session.profile.stage(JUDGE))
    if as_json:
        click.echo(json.dumps({"settings": _changes(session), **asdict(found)}, indent=1))
    else:
        for change in _changes(session) or given["sets"] or ["nothing were changed"]:
            click.echo(f"what if  {change}")
        for line in _lines(found):
            click.echo(line)
    if tell_damages(store):
        raise SystemExit(STOPPED)


def _judge_alone(sets: Sequence[str], settings: str) -> None:
    """Raise Fault where other stages are told something: what they would measure then is not known."""
    keys = [assigned(text)[0] for text in sets] + (list(settings_of(Path(settings))) if settings else [])
    if others := [key for key in keys if not key.startswith(f"{JUDGE}.")]:
        raise Fault(
            f"{others[0]} is no setting of judge: what-if judges what was measured, and measures nothing", BAD_USE
        )


def _changes(session: Session) -> list[str]:
    """What differs from how the run was left."""
    return [str(change) for change in changes(session) if change.stage == JUDGE]


def _lines(found: WhatIf) -> Iterator[str]:
    if not found.people:
        yield "nobody was found in the run's clips yet"
        return
    yield f"people   {found.people:,}, kept {found.kept.people:,} (was {found.was.people:,})"
    yield f"clips    {found.kept.clips:,} (was {found.was.clips:,})"
    yield f"length   {duration(found.kept.seconds)} (was {duration(found.was.seconds)})"
    for name, ids in (("come", found.come), ("go", found.go)):
        more = f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else ""
        yield f"{name:<8} {len(ids):,}{': ' * bool(ids)}{', '.join(ids[:SHOWN])}{more}"
    if found.dropped:
        yield "dropped, by reason:"
    for code, dropped in found.dropped.items():
        yield f"  {code:<24} {dropped.people:>9,}  nothing else {dropped.alone:,}"
    for measure, people in found.unmeasured.items():
        yield f"kept without {measure}: {people:,}, of whom it was not measured"
