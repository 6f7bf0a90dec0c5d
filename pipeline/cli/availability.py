"""`csg405 availability`: what of the videos and clips still exists."""

from typing import Any

import click

from pipeline.cli.run import end, execute
from pipeline.cli.session import about_a_run, there
from pipeline.engine.session import Session
from pipeline.views.availability import summary


@click.command()
@click.option("--probe", is_flag=True, help="Ask the sites first, at the pace of a search; nothing is downloaded.")
@about_a_run
def availability(probe: bool, **given: Any) -> None:
    """Of N videos and M clips: how many live, dead and of what, blocked, unknown. Leaves JSON, rows and a page."""
    stages = ["probe", "availability"] if probe else ["availability"]
    builds = probe or given["input_"] or given["manifest"]  # which are enough to count what is wanted
    session = Session(**given, targets=stages) if builds else there(given, stages)
    execute(session, stages, redo=True)  # the page is written anew whenever it is asked for
    for line in summary(session.run):
        click.echo(line)
    end(session, stages)
