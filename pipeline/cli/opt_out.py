"""`csg405 opt-out`: leave somebody out, and take what there is of them away."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.cli.faults import STOPPED
from pipeline.cli.session import about_a_run
from pipeline.engine.runs import check_is_run
from pipeline.engine.session import Session
from pipeline.shards.removal import remove_from_run
from pipeline.storage.where import CACHE, where_of
from pipeline.tables import opt_out_seen as seen
from pipeline.tables.opt_out import entries as listed

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("opt-out")
@click.argument("entries", nargs=-1, metavar="[ENTRY]...")
@click.option("--list", "lists", multiple=True, type=_FILE, help="File of entries, one a line.")
@click.option("--let-in", "let_in", is_flag=True, help="Those who are on no list any more may come back.")
@about_a_run
def opt_out(entries: Sequence[str], lists: Sequence[Path], let_in: bool, **given: Any) -> None:
    """Leave videos (yt:ID, a link) and channels (id, @handle, name, a link) out of a run, and remove what is there.

    Entries join opt_out.txt of the run, which every stage honours; their clips leave the shards in one step that a kill cannot
    cut in half, and every file that was made of them is deleted, in all folders of the run. What cannot be undone, such as a
    trained model, is named. Without entries a removal that was cut short is brought to its end, and so is one that met damage:
    what a damaged table or shard keeps from being found is named, and the command ends with 1.

    A run remembers, as hashes, who was ever on its lists. Commands stop where somebody is on none any more: a list that got lost
    lets nobody in. Who is taken off on purpose comes back by --let-in.
    """
    session = Session(**given)
    if not session.run.is_dir():  # a list may be written into a folder before anything is crawled
        check_is_run(session.run)
    wanted = [*entries, *(entry for path in lists for _, entry in listed(path))]
    if let_in:
        click.echo(f"{seen.let_in(session.run, session.opt_out):,} names are on no list any more, and may come back")
    removed = remove_from_run(session.run, wanted, session.profile.opt_out)
    click.echo(f"{len(wanted)} entries on the list of {session.run}; removed: {removed}")
    for line in (*removed.told, *removed.undone):
        click.echo(f"still to do: {line}")
    if where := where_of(session.run):
        click.echo(
            "other machines remove their copies when they next work on this run; on one that never will, delete "
            f"the folder storage/{where.id} in its cache (machine.cache, {CACHE} or the user's cache folder, csg405)"
        )
    click.echo("rows in tables count no more: `csg405 compact`, then `csg405 gc`, erase them")
    if removed.undone:
        raise SystemExit(STOPPED)
