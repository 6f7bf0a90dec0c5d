"""`csg405 runs`: the runs that are there."""

from pathlib import Path

import click

from pipeline.base.progress import size
from pipeline.base.text import printable
from pipeline.cli.faults import BAD_USE, Fault
from pipeline.cli.printing import echo_json, when, who, wrapped
from pipeline.engine.runs import USUAL
from pipeline.sources.local.several import each
from pipeline.views.runs import RunLine, runs


@click.command("runs")
@click.argument("folder", default=USUAL, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_runs(folder: Path, as_json: bool) -> None:
    """The runs below a folder (runs/ by default): what each holds, when it changed, who is at work on it."""
    if not folder.is_dir() and folder != USUAL:
        raise Fault(f"{folder} is no folder", BAD_USE)
    found = runs(folder)
    if as_json:
        echo_json({"runs": found})
        return
    for line in found:
        _print(line)
    if not found:
        click.echo(f"no run lies in {folder}: `csg405 run crawl` begins one")


def _print(line: RunLine) -> None:
    click.echo(click.style(printable(line.run), bold=True) + f"  ({printable(line.profile) or 'profile unknown'})")
    kept = "nobody judged yet" if line.people is None else f"{line.kept:,} of {line.people:,} people kept"
    changed = f", changed {when(line.changed)}" if line.changed else ""
    click.echo(f"  {kept}, {line.kept_hours:.3g} hours, {size(line.bytes)}{changed}")
    rows = [
        *([("  input", ", ".join(each(line.input)))] if line.input else []),
        *(("  at work", who(driver)) for driver in line.drivers),
        *([("  problem", line.problem)] if line.problem else []),
    ]
    for head, text in rows:
        click.echo(wrapped(head, text))
