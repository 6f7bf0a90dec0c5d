"""Trains the variants, evaluates each, and writes the table."""

import gc
from typing import TYPE_CHECKING, Any

import click
import torch

from pipeline.backends.run import check
from pipeline.backends.settings import BackendSettings
from pipeline.base import files
from pipeline.base.errors import BadUse, UnitsFailed
from pipeline.engine.within import run_within, session_for
from pipeline.views.beside import Line, markdown, measured, plain, published
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
    filming = _filming(settings, session)
    check(filming.backend, filming.options())
    failed: dict[str, str] = {}
    for name in settings.variants:
        _make(name, settings, session, failed)
        text = _table(settings, session, failed)
    click.echo(f"\n{text}\n")
    click.echo(f"table: {session.run / 'evaluation' / PROTOCOL / TABLE}")
    if failed:
        raise UnitsFailed(f"done, but pairs of {', '.join(failed)} failed; the same command tries them again")


def _make(name: str, settings: Table3Settings, session: "Session", failed: dict[str, str]) -> None:
    trained: dict[str, Any] = {"ablate": VARIANTS[name], "model_name": _model(name)}
    if settings.steps:
        trained["steps"] = settings.steps
    click.echo(f"variant: {name}")
    run_within(session, "train", trained)
    _let_go_of_the_gpu()
    about = {"method": "ours", "model": _model(name), "label": _label(name)}
    try:
        run_within(session, "evaluate", {**_given(settings), **about})
    except UnitsFailed as error:
        failed[name] = str(error)


def _given(settings: Table3Settings) -> dict[str, Any]:
    """What an evaluation is told beside what the run's own settings say."""
    own = {key: getattr(settings, key) for key in BackendSettings.model_fields if key in settings.model_fields_set}
    return {**own, "protocol": PROTOCOL}


def _filming(settings: Table3Settings, session: "Session") -> BackendSettings:
    """The settings that the evaluations will have, those of the run's `evaluate.*` among them."""
    asked = session_for(session, "evaluate", _given(settings)).profile.settings("evaluate")
    assert isinstance(asked, BackendSettings)
    return asked


def _let_go_of_the_gpu() -> None:
    """Give back the memory that a training's allocator keeps: back-ends are other processes, and the next training measures it."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _model(name: str) -> str:
    return f"table3-{name.replace(' ', '-')}"


def _label(name: str) -> str:
    return f"table 3 ({name})"


def _table(settings: Table3Settings, session: "Session", failed: dict[str, str]) -> str:
    """Write the table; returns it as the terminal shows it."""
    place = session.run / "evaluation" / PROTOCOL
    figures, paper = measured(place), published("table3.csv", "variant")
    lines = [
        Line(name, figures.get(_label(name), {}), paper[name], failed.get(name, _waiting(name, settings, figures)))
        for name in VARIANTS
    ]
    skeletons = _filming(settings, session).backend == "skeleton"
    drawn = " (drawn skeletons: no match for the paper's)" if skeletons else ""
    title = f"The paper's table 3{drawn}"
    files.write_text(place / TABLE, markdown(title, lines))
    return plain(title, lines)


def _waiting(name: str, settings: Table3Settings, figures: dict[str, dict[str, float]]) -> str:
    if _label(name) in figures:
        return ""
    return "not made yet" if name in settings.variants else "left out by --variants; without that option it is made"
