"""Lookup of stages and programs by name."""

import importlib

from pipeline.engine.settings import Settings
from pipeline.engine.stage import Stage


def settings_class(name: str) -> type[Settings]:
    """The class of `stages.<name>`, a stage or a program; ModuleNotFoundError or LookupError when there is none."""
    module = importlib.import_module(f"stages.{name}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Settings) and getattr(value, "name", "") == name:
            return value
    raise LookupError(f"stages/{name} defines no stage with name = {name!r}")


def stage_class(name: str) -> type[Stage]:
    """The class of the stage `stages.<name>`; ModuleNotFoundError or LookupError when there is none."""
    cls = settings_class(name)
    if not issubclass(cls, Stage):
        raise LookupError(f"{name} is a program of its own: python -m stages.{name}")
    return cls
