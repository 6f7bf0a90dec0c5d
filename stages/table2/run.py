"""Makes the rows one after the other, and the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.base import files
from pipeline.base.errors import BadUse, Interrupted, UnitsFailed, UserError
from pipeline.engine.within import run_within
from pipeline.registry.models import MissingModel
from pipeline.views.beside import Line, markdown, measured, plain, published
from stages.table2.rows import OTHERS, Wanted, rows
from stages.table2.settings import Table2Settings

if TYPE_CHECKING:
    from pipeline.engine.session import Session
    from pipeline.registry.models import Entry

TABLE = "table2.rows.md"


def run(settings: Table2Settings, session: "Session") -> None:
    """Write `evaluation/PROTOCOL/table2.rows.md`, after each row.

    Raises:
        BadUse: no row could be made. UnitsFailed: pairs of some rows failed; the table is of the others.
        MissingModel, BadModel: a net to be trusted is on no list, or its file or the recorded hashes are not as they should be.
    """
    known = [(name, session.models.entry(name)) for name in settings.trust]  # before anything is fetched
    absent = [problem for name, entry in known if (problem := _trusted(name, entry, session))]
    place = session.run / "evaluation" / settings.protocol
    title = f"{settings.protocol}: the paper's table 2"
    lacks: dict[str, str] = {}
    failed: dict[str, str] = {}
    wanted = list(rows(settings))
    for number, row in enumerate(wanted, 1):
        _make(row, settings, session, lacks, failed)
        waiting = {later.title: "not made yet" for later in wanted[number:]}
        lines = _lines(wanted, settings, place, {**waiting, **failed, **lacks})
        if len(lacks) < number:
            files.write_text(place / TABLE, markdown(title, lines))
    if len(lacks) == len(wanted):
        raise BadUse("\n".join([f"no row can be made here:\n{plain(title, lines)}", *absent]))
    click.echo(f"\n{plain(title, lines)}\n")
    click.echo(f"table: {place / TABLE}; why a figure is absent: {place / 'table2.md'}")
    for problem in absent:
        click.echo(problem, err=True)
    if failed:
        raise UnitsFailed(
            f"done, but pairs of {len(failed)} rows failed: {', '.join(failed)}; the same command tries them again"
        )


def _lines(wanted: Sequence[Wanted], settings: Table2Settings, place: Path, why: dict[str, str]) -> list[Line]:
    """The table's rows so far; of the paper's other systems those that its table of this test set has."""
    figures, paper = measured(place), published("table2.csv", "method", "protocol", settings.protocol)
    return [
        Line(
            row.paper if row.paper in paper else row.title,
            figures.get(row.title, {}),
            paper.get(row.paper, {}),
            why.get(row.title, ""),
        )
        for row in wanted
        if row.paper in paper or row.title not in OTHERS or row.title in settings.others
    ]


def _make(
    row: Wanted, settings: Table2Settings, session: "Session", lacks: dict[str, str], failed: dict[str, str]
) -> None:
    """Make a row, or note why it is not there, or not whole."""
    if row.lacks:
        lacks[row.title] = row.lacks
        return
    click.echo(f"row: {row.title}")
    shared = {"protocol": settings.protocol, "source": settings.source, "model": settings.model}
    try:
        run_within(session, "evaluate", {**{key: value for key, value in shared.items() if value}, **row.settings})
    except Interrupted:
        raise
    except UnitsFailed as error:
        failed[row.title] = str(error)
    except UserError as error:
        lacks[row.title] = str(error)
        click.echo(f"left out: {row.title}: {error}", err=True)


def _trusted(name: str, entry: "Entry", session: "Session") -> str:
    """Fetch a net that has no known hash, and record the one that came, once; why it did not come, or "".

    Raises BadModel where what came, or the record of hashes, is not as it should be: no figure is made with that.
    """
    models = session.models
    if models.find(name) is None:
        click.echo(f"fetching {name}")
        try:
            models.fetch(name)
        except MissingModel as error:  # a download that fails is told as one too
            problem = f"{name} did not come: {error}; figures that need it are missing until it does"
            click.echo(problem, err=True)
            return problem
    if not entry.sha256 and name not in models.pins():
        click.echo(f"{name}: trusted as it is, sha256 {models.pin(name)}")
    return ""
