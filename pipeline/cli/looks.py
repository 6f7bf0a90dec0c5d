"""Commands that look at a run and change nothing: `status`, `show`, `failed`."""

from collections.abc import Sequence
from typing import Any

import click

from pipeline.base.progress import Progress
from pipeline.base.text import printable
from pipeline.base.units import CLIP_SIDE_PX
from pipeline.cli import complete
from pipeline.cli.faults import Fault
from pipeline.cli.printing import echo_json, print_matches, print_vitals
from pipeline.cli.screen import print_data_set, print_funnel, print_kept, print_story
from pipeline.cli.session import about_a_run, there
from pipeline.engine.endings import ending
from pipeline.engine.session import Session
from pipeline.tables.opt_out import RUN_LIST
from pipeline.tables.opt_out_seen import forgotten
from pipeline.tables.outcome import FAILED
from pipeline.tables.store import Store
from pipeline.tables.takedowns import LEDGER, cut_short
from pipeline.views.find import find
from pipeline.views.overview import bytes_on_disk, evaluations, funnel, story
from pipeline.views.table_one import row
from pipeline.views.verdicts import kept_of
from pipeline.views.vitals import vitals

_OF_FAILURES = ("stage", "unit", "reason", "detail", "attempt", "at", "host", "versions")
_LINES = 50


@click.command()
@about_a_run
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool, **given: Any) -> None:
    """The funnel: units, ok, rejected, failed, pending, hours, rate, time left, bytes, stage by stage."""
    session = there(given)
    store = looking(session)
    states = funnel(session.profile, session.run, session.models.looking(), store)
    others, folders = evaluations(store), bytes_on_disk(session.run)
    found = vitals(session.profile, store, states, folders)
    kept = kept_of(store)
    if as_json:
        about = {"run": str(session.run), "profile": session.profile.name, **vars(found)}
        told = {"stages": states, "evaluations": others, "verdicts": kept.told() if kept else None}
        echo_json({**told, "bytes": folders, "damages": damages_of(store), **about})
        return
    print_funnel(session.run, [*states, *others], folders)
    show_data_set(session, store)
    if kept:
        print_kept(kept)
    print_vitals(session.run, found)
    tell_damages(store)


def looking(session: Session) -> Store:
    """The run's tables for commands that only look: what is missing from them is gathered, and the rest is read."""
    told = [one for one in (forgotten(session.run, session.opt_out), cut_short(session.run)) if one]
    return Store(session.run, session.opt_out, damages={one.path: one for one in told})


def damages_of(store: Store) -> list[str]:
    """What was missing from the tables that were looked at."""
    return [str(damage) for damage in (store.damages or {}).values()]


def tell_damages(store: Store) -> bool:
    """Print what was missing from the tables that were looked at, or from the list of opt-outs. Returns: whether anything was."""
    found = list((store.damages or {}).values())
    for damage in found:
        about = "who opted out may be in these figures" if damage.path in (RUN_LIST, LEDGER) else "not in these figures"
        click.echo(f"{about}: {damage}; {damage.advice}", err=True)
    return bool(found)


def show_funnel(session: Session, store: Store) -> None:
    with Progress("funnel", doing="counting units and bytes"):
        states = funnel(session.profile, session.run, session.models.looking(), store)
        states, folders = [*states, *evaluations(store)], bytes_on_disk(session.run)
    print_funnel(session.run, states, folders)


def show_data_set(session: Session, store: Store) -> None:
    """The run's row of the paper's table 1, once anything was exported."""
    if store.outcomes("samples").num_rows:
        side = getattr(session.profile.stage("export"), "side_px", CLIP_SIDE_PX)
        print_data_set(row(store, side))


def show_kept(store: Store) -> None:
    """Who is kept, and what the others are dropped for, once anybody was judged."""
    if kept := kept_of(store):
        print_kept(kept)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="UNIT")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@about_a_run
def show(words: Sequence[str], as_json: bool, **given: Any) -> None:
    """The whole story of a video, clip or person: every stage, measure, threshold and reason.

    UNIT is an id or its beginning, a link, the name of a file (the source's, a clip's, a preview's), or a part of a title. Where
    several match they are listed.
    """
    session = there(given)
    store = looking(session)
    wanted = " ".join(words)
    matches = find(store, wanted)
    chapters = story(store, matches[0].unit) if len(matches) == 1 else []
    if as_json:
        unit = matches[0].unit if len(matches) == 1 else None
        echo_json({"unit": unit, "matches": matches, "chapters": chapters, "damages": damages_of(store)})
    tell_damages(store)
    if not matches:
        raise Fault(f"{session.run} knows nothing of {printable(wanted)}")
    if not as_json and chapters:
        print_story(matches[0].unit, chapters)
    elif not as_json:
        print_matches(wanted, matches)


@click.command()
@click.argument("targets", nargs=-1, shell_complete=complete.targets)
@about_a_run
@click.option("--limit", type=click.IntRange(0), default=None, help="Lines at most; 50 by default, all with --json.")
@click.option("--exit-code", is_flag=True, help="End with 3 when units failed that should not have.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def failed(targets: Sequence[str], limit: int | None, exit_code: bool, as_json: bool, **given: Any) -> None:
    """Units that failed, with stage, reason and what happened; of all stages, or of those of some targets."""
    session = there(given, targets)
    store = looking(session)
    stages = session.profile.expand(targets)
    found = [o for kind in store.kinds for o in store.outcomes(kind).to_pylist() if o["status"] == FAILED]
    found = [o for o in found if not targets or o["stage"] in stages]
    if as_json:
        shown = [{name: one[name] for name in _OF_FAILURES} for one in found[:limit]]
        echo_json({"failed": shown, "count": len(found), "damages": damages_of(store)})
    else:
        _print_failed(found, _LINES if limit is None else limit)
    tell_damages(store)
    if exit_code:
        ending(session.profile, stages or session.profile.all_stages, store).raise_failed()


def _print_failed(found: Sequence[dict[str, Any]], limit: int) -> None:
    for one in found[:limit]:
        unit = printable(one["unit"])  # a file's name may hold what terminals obey
        click.echo(f"{one['stage']:>16}  {unit}  {one['reason']}  x{one['attempt']}: {one['detail']}")
    click.echo(f"{len(found)} failed" + (f", {limit} shown" if len(found) > limit else ""))
