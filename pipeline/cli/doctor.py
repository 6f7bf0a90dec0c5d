"""`csg405 doctor`: whether this machine has what a run needs."""

import json
import textwrap
from dataclasses import asdict
from typing import Any

import click

from pipeline.base.text import printable
from pipeline.cli.faults import STOPPED
from pipeline.cli.printing import COLUMNS
from pipeline.cli.session import about_a_run
from pipeline.engine.session import Session
from pipeline.views.doctor import MISSING, OK, WARN, Finding, examine

_COLOURS = {OK: "green", WARN: "yellow", MISSING: "red"}
_INDENT = 22


@click.command()
@about_a_run
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(as_json: bool, **given: Any) -> None:
    """Look whether this machine has what a run of a profile needs: a line a thing, and what to do about it.

    `warn`: runs work, but less well, or not for long. `missing`: something will not work, and the command ends with 1. Nothing is
    installed, fetched or changed; keys are looked for, and never shown.
    """
    session = Session(**given)
    found = []
    for finding in examine(session.profile, session.run, session.models):
        found.append(finding)
        if not as_json:
            _print(finding)
    counts = {status: sum(one.status == status for one in found) for status in (OK, WARN, MISSING)}
    if as_json:
        about = {"profile": session.profile.name, "run": str(session.run)}
        click.echo(json.dumps({**about, "findings": [asdict(one) for one in found], **counts}, indent=1))
    else:
        click.echo(f"profile {session.profile.name}: " + ", ".join(f"{n} {status}" for status, n in counts.items()))
    raise SystemExit(STOPPED if counts[MISSING] else 0)


def _print(finding: Finding) -> None:
    head = f"{finding.status:<9}{finding.subject:<12} "
    lines = textwrap.wrap(printable(finding.found), COLUMNS - _INDENT, break_long_words=False, break_on_hyphens=False)
    click.echo(click.style(head, fg=_COLOURS[finding.status]) + f"\n{' ' * _INDENT}".join(lines))
    for line in textwrap.wrap(
        f"-> {printable(finding.advice)}", COLUMNS - _INDENT, break_long_words=False, break_on_hyphens=False
    ):
        if finding.advice:
            click.echo(" " * _INDENT + line)
