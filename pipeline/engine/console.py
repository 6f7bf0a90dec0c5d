"""Running of stages on a terminal, with a line for each."""

import shutil
import sys
import textwrap
from pathlib import Path

import click

from pipeline.base.errors import Interrupted
from pipeline.base.progress import duration, saw
from pipeline.base.text import printable
from pipeline.engine.devices import cores, device_of, shard_of, workers_of
from pipeline.engine.profile import Profile
from pipeline.engine.runner import Options, Summary, run_stage
from pipeline.engine.stage import Stage
from pipeline.registry.models import Registry
from pipeline.tables.store import Store

UNMENDED_SHOWN = 10
INDENT = 18  # where the words of a stage's line begin
NARROWEST = 40  # columns of a terminal for which lines are broken


def options_of(profile: Profile, workers: int | None = None, shard: str = "") -> Options:
    """How stages run with a profile, and what the command line says beside it."""
    return Options(
        workers=workers_of(profile, workers),
        threads=cores(),
        device=device_of(profile),
        executor=profile.machine.executor,
        machine=profile.machine,
        shard=shard_of(shard),
        web=profile.web,
    )


def run_shown(
    stage: Stage,
    folder: Path,
    models: Registry,
    options: Options,
    store: Store,
    *,
    terse: bool = False,
) -> Summary:
    """Run one stage in a folder and print its line; with `terse` only where it had something to do.

    Raises:
        Interrupted: by Ctrl-C or SIGTERM. Skipped, OutOfRoom, and what else `run_stage` raises.
    """
    summary = run_stage(stage, folder, models, options, store)
    if summary.pending or not terse:
        say(stage.name, _line(summary))
    for unit, why in list(summary.unmended.items())[:UNMENDED_SHOWN]:
        say("", f"not made again, its rows stay: {printable(unit)} ({printable(why)})")
    for net, why in summary.slow_nets.items():
        say("", f"{net} ran as it is, which is slower: it could not be prepared ({printable(why)})")
    for net, words in summary.precisions.items():
        say("", f"{net} ran in {printable(words)}")
    if summary.unfinished:
        waits = "them" if summary.unmended else "a stage that looks at the whole run, or a call without --shard"
        say("", f"what it writes at its end, as an index, waits for {waits}")
    if summary.interrupted:
        raise Interrupted("interrupted; what was done is committed, the same command goes on")
    return summary


def say(name: str, words: str) -> None:
    """Print a stage's line; on a terminal, at blanks, on as many as it takes there."""
    click.echo(fitted(f"{name:>16}  {words}", INDENT))
    saw()


def fitted(line: str, indent: int = 0) -> str:
    """A line, broken at blanks into as many as it takes on the terminal; as it is where there is none."""
    if not sys.stdout.isatty():
        return line
    width = max(NARROWEST, shutil.get_terminal_size().columns)
    return textwrap.fill(line, width, subsequent_indent=" " * indent, break_on_hyphens=False, break_long_words=False)


def _line(summary: Summary) -> str:
    if not summary.pending:
        return (
            f"nothing to do ({summary.units} units{_among(summary)})"
            if not summary.seconds
            else f"finished in {duration(summary.seconds)}"
        )
    tally = ", ".join(f"{count} {status}" for status, count in sorted(summary.counts.items()))
    again = ""
    if summary.lost_files:
        files = "1 of its files is" if summary.lost_files == 1 else f"{summary.lost_files:,} of its files are"
        again = f"{files} missing or changed: made again; "
    if summary.read_again:
        again += f"{summary.read_again:,} read again from disk, by today's reader; "
    rest = ", ".join(f"{count:,} {words}" for words, count in summary.rest.items())
    took = f" in {duration(summary.seconds)}" + (f"; {rest}" if rest else "")
    return f"{again}{summary.pending} of {summary.units} units: {tally or 'none'}{took}"


def _among(summary: Summary) -> str:
    """Of units of which none is to be done, those without a result."""
    told = [f"{count:,} {words}" for words, count in summary.rest.items() if words != "done before"]
    return f", of them {', '.join(told)}" if told else ""
