"""Trains the variants, evaluates each, and writes the table."""

from typing import TYPE_CHECKING, Any

import click

from pipeline.backends.run import check
from pipeline.backends.settings import BackendSettings
from pipeline.base import files
from pipeline.base.errors import BadUse, UnitsFailed
from pipeline.engine.within import run_within
from pipeline.views.beside import Line, markdown, measured, published
from stages.table3.settings import VARIANTS, Table3Settings

if TYPE_CHECKING:
    from pipeline.engine.session import Session

TABLE, PROTOCOL = "table3.md", "csg405"


def run(settings: Table3Settings, session: "Session") -> None:
    """Write `evaluation/csg405/table3.md` after each variant.

    Raises:
        BackendError: the back-end is not whole; told before anything is trained.
        UnitsFailed: pairs of some variants failed; the table is of the others.
    """
    unknown = [name for name in settings.variants if name not in VARIANTS]
    if unknown:
        raise BadUse(f"no variant is called {', '.join(unknown)}: there are {', '.join(VARIANTS)}")
    check(settings.backend, settings.options())
    failed: dict[str, str] = {}
    for name in settings.variants:
        _make(name, settings, session, failed)
        text = _table(settings, session, failed)
    click.echo(text)
    click.echo(f"table: {session.run / 'evaluation' / PROTOCOL / TABLE}")
    if failed:
        raise UnitsFailed(f"done, but pairs of {', '.join(failed)} failed; the same command tries them again")


def _make(name: str, settings: Table3Settings, session: "Session", failed: dict[str, str]) -> None:
    trained: dict[str, Any] = {"ablate": VARIANTS[name], "model_name": _model(name)}
    if settings.steps:
        trained["steps"] = settings.steps
    click.echo(f"variant: {name}")
    run_within(session, "train", trained)
    given = {key: getattr(settings, key) for key in BackendSettings.model_fields if key in settings.model_fields_set}
    try:
        run_within(session, "evaluate", {**given, "method": "ours", "model": _model(name), "label": _label(name)})
    except UnitsFailed as error:
        failed[name] = str(error)


def _model(name: str) -> str:
    return f"table3-{name.replace(' ', '-')}"


def _label(name: str) -> str:
    return f"table 3 ({name})"


def _table(settings: Table3Settings, session: "Session", failed: dict[str, str]) -> str:
    place = session.run / "evaluation" / PROTOCOL
    figures, paper = measured(place), published("table3.csv", "variant")
    lines = [
        Line(name, figures.get(_label(name), {}), paper[name], failed.get(name, _waiting(name, settings, figures)))
        for name in VARIANTS
    ]
    drawn = " (drawn skeletons: no match for the paper's)" if settings.backend == "skeleton" else ""
    text = markdown(f"The paper's table 3{drawn}", lines)
    files.write_text(place / TABLE, text)
    return text


def _waiting(name: str, settings: Table3Settings, figures: dict[str, dict[str, float]]) -> str:
    if _label(name) in figures:
        return ""
    return "not made yet" if name in settings.variants else "left out by --variants; without that option it is made"
