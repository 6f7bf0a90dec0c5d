"""A group of commands that are loaded when they are called, so that each imports what it needs at its top."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from pipeline.base.progress import Progress
from pipeline.cli.session import Guarded


@dataclass(frozen=True)
class Lazy:
    """A command that is not loaded yet.

    Attributes:
        where: "module:attribute".
        summary: its line in the group's help, the first sentence of its own; a test compares them.
    """

    where: str
    summary: str

    def load(self) -> click.Command:
        """The command itself."""
        module, _, attribute = self.where.partition(":")
        with Progress("csg405", doing="starting"):
            command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), self.where
        return command


class LazyGroup(Guarded):
    """Lists commands from a table and loads the one that is called, as click's documentation describes it.

    Args:
        lazy: the commands, by name.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy] | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None where there is none of this name."""
        found = self.lazy.get(cmd_name)
        return found.load() if found else super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the lines of all commands without loading one."""
        limit = formatter.width - 6 - max(map(len, self.lazy))
        with formatter.section("Commands"):
            formatter.write_dl([(name, _shortened(self.lazy[name].summary, limit)) for name in sorted(self.lazy)])


def _shortened(summary: str, limit: int) -> str:
    """A summary as click shortens that of a command which it has loaded."""
    return click.Command(None, help=summary).get_short_help_str(limit)
