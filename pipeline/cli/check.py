"""`csg405 check`: whether a run holds what was promised, and what can be made anew."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pipeline.base.damage import Damage, run_option
from pipeline.base.progress import duration
from pipeline.cli.faults import STOPPED
from pipeline.cli.session import about_a_run, there
from pipeline.engine import check as results
from pipeline.engine.session import Session
from pipeline.tables import check as tables
from pipeline.tables.calls import repeated
from pipeline.tables.check import Cost
from pipeline.tables.opt_out_seen import forgotten
from pipeline.tables.run_folder import EVALUATE
from pipeline.tables.store import Store
from pipeline.tables.stores import stores_of
from pipeline.tables.takedowns import cut_short

SHOWN = 100  # a disk that is away takes every clip with it
UNITS_SHOWN = 3


@click.command()
@click.option("--deep", is_flag=True, help="Read every byte and compare, not names, sizes and counts alone.")
@click.option(
    "--set-aside",
    "aside",
    is_flag=True,
    help="Move damaged parts of tables away and make their units pending; reads all of the tables.",
)
@click.option("--dry-run", is_flag=True, help="With --set-aside: say what it would cost, move nothing.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@about_a_run
def check(deep: bool, aside: bool, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Compare a run with what was promised: what is missing or damaged, what makes it anew, what cannot come back."""
    session = there(given)
    found = damages(session, deep, whole_tables=deep or aside)
    if as_json:
        click.echo(json.dumps({"damages": [asdict(one) for one in found]}, indent=1))
    elif found:
        _tell(session, found)
    else:
        click.echo(f"{session.run}: all that was promised is there" + (", to the last byte" if deep else ""))
    mended = bool(found and aside) and _set_aside(session, found, dry_run, quiet=as_json)
    raise SystemExit(STOPPED if found and not mended else 0)


def damages(session: Session, deep: bool, whole_tables: bool) -> list[Damage]:
    """Everything that is wrong with a run: its list of opt-outs, its tables, and the files that were made of them.

    Args:
        session: the run.
        deep: whether every byte of the files is read.
        whole_tables: whether every byte of the tables is; what a reader met in the midst of a part has to be found again to be
            set aside.
    """
    store = Store(session.run, session.opt_out)
    told = [one for one in (forgotten(session.run, session.opt_out), cut_short(session.run)) if one]
    return told + tables.damages(store, deep=whole_tables) + results.damages(store, deep)


def _tell(session: Session, found: Sequence[Damage]) -> None:
    click.echo(f"{session.run}: {len(found)} missing or damaged")
    for one in found[:SHOWN]:
        click.echo(f"  {one}")
        if one.units:
            names = ", ".join(one.units[:UNITS_SHOWN])
            click.echo(
                f"      units: {names}"
                + (f" and {len(one.units) - UNITS_SHOWN:,} more" * (len(one.units) > UNITS_SHOWN))
            )
        click.echo(f"      {_way(one)}")
        if one.lost:
            click.echo(f"      cannot come back: {one.lost}")
    if len(found) > SHOWN:
        click.echo(f"  and {len(found) - SHOWN:,} more: --json lists them all")


def _way(one: Damage) -> str:
    """How to mend it: a command, or what to do by hand."""
    if not one.remedy:
        return "nothing makes it anew"
    return f"what to do: {one.remedy}" if "`" in one.remedy else f"made anew by: {one.remedy}"


def _set_aside(session: Session, found: Sequence[Damage], dry_run: bool, quiet: bool) -> bool:
    """Say what making anew will cost, and move what is damaged. Returns: whether nothing damaged is left in its place."""
    makers = {session.profile.stage(name).writes: name for name in session.profile.all_stages}
    mine = [one for one in found if one.set_aside]
    store = Store(session.run, session.opt_out)
    costs = tables.costs(store, mine, makers)
    for cost in costs:
        click.echo(_line(cost), err=quiet)
    if dry_run or not mine:
        click.echo(f"nothing was moved{'' if dry_run else ': no file is damaged that would have to be'}", err=quiet)
        return False
    for path in tables.set_aside(store, mine, makers):
        click.echo(f"set aside: {path}", err=quiet)
    click.echo(f"now: {_next(session.run, costs)}", err=quiet)
    return len(mine) == len(found)


def _line(cost: Cost) -> str:
    name = f"{cost.store}/{cost.kind}" if cost.store else cost.kind
    known = "nothing to do again, as far as is known"
    if cost.units:
        known = f"{cost.units:,} units to do again, {cost.seconds / 3600:.3g} hours of work ({duration(cost.seconds)}) as before"
    return f"{name:>16}  {known}"


def _next(run: Path, costs: Sequence[Cost]) -> str:
    """The commands that make everything anew."""
    stages = list(dict.fromkeys(stage for cost in costs if not cost.store for stage in cost.stages))
    commands = [f"csg405 run {' '.join(stages)} {run_option(run)}"] if stages else []
    stores = {one.name: one.store.run for one in stores_of(Store(run))}
    commands += dict.fromkeys(repeated(EVALUATE, stores[cost.store], run) for cost in costs if cost.store)
    return "; then ".join([*commands, "the usual command"])
