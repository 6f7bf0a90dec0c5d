"""`csg405 run`: stages one after the other, and a line for each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.cli_looks import show_funnel
from pipeline.cli_session import BAD_USE, INTERRUPTED, Fault, Session, about_a_run
from pipeline.profile import Profile, ProfileError, cores
from pipeline.progress import duration
from pipeline.registry import BadModel


@click.command()
@click.argument("targets", nargs=-1, required=True)
@about_a_run
@click.option("--workers", type=click.IntRange(0), default=None, help="Processes; 0 runs in this one, for a debugger.")
@click.option("--shard", default="", metavar="I/N", help="Do only the I-th of N parts of the units (I from 0).")
@click.option("--funnel", "with_funnel", is_flag=True, help="Print the funnel at the end, as `status` does.")
def run(targets: Sequence[str], workers: int | None, shard: str, with_funnel: bool, **given: Any) -> None:
    """Run targets (crawl, annotate, filter ...) or single stages; what is done already is not done again."""
    session = Session(**given)
    execute(session, targets, workers, shard)
    if with_funnel:
        show_funnel(session)
        report = session.run / "report" / "index.html"
        if report.is_file():
            click.echo(f"report: {report.resolve().as_uri()}")


def execute(session: Session, targets: Sequence[str], workers: int | None, shard: str) -> None:
    """Run stages one after the other and print a line for each."""
    from pipeline import files
    from pipeline.lock import Occupied
    from pipeline.runner import Options, Skipped, StageError, run_stage

    try:
        names = session.profile.expand(targets)
        options = Options(
            _workers(session.profile, workers), cores(), _device(session.profile), _shard(shard), session.profile.web
        )
        session.keep_profile()
        for name in names:
            try:
                summary = run_stage(session.profile.stage(name), session.run, session.models, options, session.store)
            except Skipped as skip:
                if name in session.profile.required:
                    raise Fault(f"{skip} (profile {session.profile.name} requires {name})") from skip
                click.echo(f"{name:>16}  skipped: {skip}")
                continue
            click.echo(f"{name:>16}  {_said(summary)}")
            if summary.interrupted:
                raise Fault("interrupted; what was done is committed, the same command goes on", INTERRUPTED)
    except KeyboardInterrupt:
        raise Fault("interrupted; what was committed is safe, the same command goes on", INTERRUPTED) from None
    except (StageError, Occupied, ProfileError, BadModel) as error:
        raise Fault(error) from error
    except OSError as error:
        known = files.failure_of(error)
        raise Fault(known.detail if known else error) from error


def _said(summary: Any) -> str:
    if not summary.pending:
        return (
            f"nothing to do ({summary.units} units)"
            if not summary.seconds
            else f"finished in {duration(summary.seconds)}"
        )
    tally = ", ".join(f"{count} {status}" for status, count in sorted(summary.counts.items()))
    return f"{summary.pending} of {summary.units} units: {tally or 'none'} in {duration(summary.seconds)}"


def _workers(profile: Profile, given: int | None) -> int:
    if given is not None:
        return given
    return profile.machine.workers or cores()


def _device(profile: Profile) -> str:
    """cpu, or cuda when the profile asks for it or finds it."""
    if profile.machine.device != "auto":
        return profile.machine.device
    return "cuda" if Path("/proc/driver/nvidia/version").exists() else "cpu"


def _shard(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    first, slash, last = text.partition("/")
    if not (slash and first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise Fault(f"--shard {text}: expected I/N with 0 <= I < N", BAD_USE)
    return int(first), int(last)
