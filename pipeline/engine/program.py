"""Programs: work that fills no table, such as training."""

from importlib import import_module
from typing import TYPE_CHECKING

from pipeline.engine.settings import Settings

if TYPE_CHECKING:
    from pipeline.engine.session import Session


class Program(Settings):
    """Work that fills no table, such as training: `python -m stages.<name>` runs it in its own process."""

    def run(self, session: "Session") -> None:
        """Do it, in the session's run folder and with its nets, by `run` of the module of that name beside the declaration."""
        import_module(f"{type(self).__module__}.run").run(self, session)


class StagedProgram(Program):
    """A program with stages of its own, whose finished work a newer version may make new."""

    def run(self, session: "Session", *, redo: bool = False, keep: bool = False) -> None:
        """Do it; `redo` and `keep` say what is to become of results of older versions, as for `csg405 run`."""
        import_module(f"{type(self).__module__}.run").run(self, session, redo=redo, keep=keep)
