"""`csg405 availability`: what of the videos and clips still exists."""

import contextlib
import sys
from typing import Any

import click

from pipeline.cli.printing import fitting
from pipeline.cli.run import end, execute
from pipeline.cli.session import about_a_run
from pipeline.engine.runs import check_is_run
from pipeline.engine.session import Session
from pipeline.views.availability.formats import JSON, summary


@click.command()
@click.option("--probe", is_flag=True, help="Ask the sites first, at the pace of a search; nothing is downloaded.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@about_a_run
def availability(probe: bool, as_json: bool, **given: Any) -> None:
    """Of N videos and M clips: how many live, dead and of what, blocked, unknown. Leaves JSON, rows and a page."""
    stages = ["probe", "availability"] if probe else ["availability"]
    session = Session(**given, targets=stages)
    listed = any(getattr(session.profile.stage(name), "manifest", "") for name in stages)
    if not (listed or given["input_"]):  # a list is enough to count what is wanted, and to ask for it
        check_is_run(session.run)
    # the page is written anew whenever it is asked for
    with _no_json(as_json):
        execute(session, stages, redo=True)
    if as_json:
        click.echo((session.run / JSON).read_text(encoding="utf-8"), nl=False)
    for line in () if as_json else summary(session.run):
        click.echo(line if line.startswith(("page: ", "rows: ")) else fitting(line))
    with _no_json(as_json):
        end(session, stages)


def _no_json(as_json: bool) -> contextlib.AbstractContextManager[Any]:
    """Where what is said goes that is no JSON: to the standard error, if programs read the other."""
    return contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
