"""Runs a program within another one: on the same run, with other settings, as its own command would."""

import json
from collections.abc import Mapping
from typing import Any

from pipeline.base import install, toml
from pipeline.engine.program import Program
from pipeline.engine.runner import Skipped, importable
from pipeline.engine.session import Session


def session_for(session: Session, program: str, settings: Mapping[str, Any]) -> Session:
    """The session of `python -m stages.PROGRAM` with some of its settings, and whatever else this session was given.

    Args:
        session: of the program that runs it.
        program: its name.
        settings: its own, by name; those of this session stand below them.

    Raises:
        BadUse: a setting makes no sense.
    """
    above = {f"{program}.{name}": _text(value) for name, value in settings.items()}
    sets = {**session.chosen.sets, **above}
    own = Session(
        session.chosen.profile,
        str(session.run),
        "",
        "",
        "",
        session.chosen.models,
        [f"{key}={value}" for key, value in sets.items()],
        [program],
        beside=True,
    )
    own.within = True
    return own


def run_within(session: Session, program: str, settings: Mapping[str, Any]) -> None:
    """Run it. Raises Skipped where a package lacks, and what the program raises."""
    own = session_for(session, program, settings)
    asked = own.profile.settings(program)
    assert isinstance(asked, Program)
    if missing := [name for name in asked.needed_modules() if not importable(name)]:
        raise Skipped(program, f"no {', '.join(missing)}: {install.with_extra(asked.extra)}")
    asked.run(own)


def _text(value: Any) -> str:
    """A setting as it is written on a command line: a string bare where it reads as itself, for commands that people copy."""
    if isinstance(value, dict):
        return _table(value)
    if isinstance(value, str) and value and value == " ".join(value.split()):
        try:
            toml.parse(f"value = {value}")
        except toml.NotToml:
            return value
        except toml.BadToml:
            pass  # reads as something else, or as nothing: it needs its quotes
    return json.dumps(value)


def _table(values: Mapping[str, Any]) -> str:
    """An inline table of TOML."""
    return "{" + ", ".join(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in values.items()) + "}"
