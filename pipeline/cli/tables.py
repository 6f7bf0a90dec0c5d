"""Commands that change or copy a run's tables: `retry`, `table`, `compact`, `gc`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet as pq
from pyarrow import csv

from pipeline.base import files
from pipeline.cli import complete
from pipeline.cli.faults import BAD_USE, STOPPED, Fault
from pipeline.cli.looks import looking, tell_damages
from pipeline.cli.session import about_a_run, there
from pipeline.engine.refetch import wanted_again
from pipeline.engine.upkeep import collect, waste
from pipeline.tables import retry as again
from pipeline.tables.compaction import compact as join
from pipeline.tables.kinds import KINDS
from pipeline.tables.run_folder import unknown
from pipeline.tables.stores import read_everywhere
from pipeline.views.spreadsheet import as_cells, cell_columns


@click.command()
@about_a_run
@click.option("--reason", multiple=True, shell_complete=complete.reasons, help="Reason code; several may be given.")
@click.option("--stage", "stages", multiple=True, shell_complete=complete.stages, help="Only of these stages.")
@click.option("--all-failed", is_flag=True, help="Everything that failed.")
@click.option("--refetch", is_flag=True, help="What waits for a source that was freed; `run crawl` fetches it again.")
def retry(reason: Sequence[str], stages: Sequence[str], all_failed: bool, refetch: bool, **given: Any) -> None:
    """Forget rejections or failures, so that the next run tries those units again."""
    if not reason and not all_failed and not refetch:
        raise Fault("say what to retry: --reason CODE, --all-failed, or --refetch", BAD_USE)
    session = there(given)
    store = session.store
    counts: Counter[str] = Counter()
    try:
        if reason or all_failed:
            counts.update(again.forget(store, set(reason), set(stages), all_failed=all_failed))
        if refetch:
            counts.update(again.refetch(store, set(stages), wanted_again(session, stages)))
    except KeyError as error:
        raise Fault(f"no reason has the code {error}", BAD_USE) from error
    for kind, count in counts.items():
        click.echo(f"{count} units of {kind} will be tried again")
    if not counts:
        click.echo("nothing matches")


@click.command()
@click.argument("kind", shell_complete=complete.kinds)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help=".parquet or .csv")
@click.option("--verbatim", is_flag=True, help="In CSV, leave text as it is, also where a spreadsheet would run it.")
@about_a_run
def table(kind: str, out: Path, verbatim: bool, **given: Any) -> None:
    """Write a table's clean rows (winning, live, without bookkeeping) to one file, those of evaluations with the store's name.

    Parquet holds every column. CSV holds what fits into cells: lists, such as reasons, as JSON, and nothing that is a number a
    frame. Text that begins with = + - @ gets an apostrophe before it, since spreadsheets run such cells as formulas and titles
    come from elsewhere; numbers stay as they are. For programs that read the CSV: --verbatim.
    """
    _known_kind(kind)
    if out.suffix not in (".parquet", ".csv"):
        raise Fault(f"--out {out}: a table is written as .parquet or .csv", BAD_USE)
    spec = KINDS[kind]
    columns = cell_columns(spec) if out.suffix == ".csv" else spec.schema.names
    store = looking(there(given))
    rows, stores = read_everywhere(store, kind, columns)
    with files.replacing(out) as temporary:
        if out.suffix == ".csv":
            csv.write_csv(as_cells(rows, verbatim=verbatim), temporary)
        else:
            pq.write_table(rows, temporary, compression="zstd")
    others = f", from {', '.join(stores)}" if any(stores) else ""
    click.echo(f"{len(rows)} rows of {kind} in {out}{others}")
    if left := [name for name in spec.schema.names if name not in columns]:
        click.echo(f"only in .parquet: {', '.join(left)}")
    if tell_damages(store):
        raise SystemExit(STOPPED)  # a script must not take what is there for all


def _known_kind(kind: str) -> None:
    if kind not in KINDS:
        raise Fault(f"no table is called {kind!r}; known: {', '.join(KINDS)}", BAD_USE)


@click.command()
@click.argument("kinds", nargs=-1, shell_complete=complete.kinds)
@about_a_run
def compact(kinds: Sequence[str], **given: Any) -> None:
    """Join small parts of tables into large ones; safe to kill.

    A stage does so by itself, at its end, where its table lies in more than a thousand files and takes less than a gigabyte.
    """
    store = there(given).store
    for kind in kinds:
        _known_kind(kind)
    for kind in kinds or store.kinds:
        before, after = join(store, kind)
        click.echo(f"{kind:>16}  {before} files -> {after}")


@click.command()
@click.option("--dry-run", is_flag=True, help="List what would go, remove nothing.")
@about_a_run
def gc(dry_run: bool, **given: Any) -> None:
    """Remove files that no winning row needs; safe to kill."""
    store = there(given).store
    for path in unknown(store.run):
        click.echo(f"left alone, since no list of a run's folders has it: {path}", err=True)
    if dry_run:
        items = list(waste(store))
        for item in items:
            click.echo(f"{item.bytes:>14,} B  {item.stored or item.path}  {item.why}")
        click.echo(f"{len(items)} files, {sum(item.bytes for item in items):,} B could go")
        return
    count, size = collect(store)
    click.echo(f"{count} files, {size:,} B removed")
