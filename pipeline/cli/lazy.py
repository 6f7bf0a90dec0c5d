"""A group of commands that are loaded when they are called, so that each imports what it needs at its top."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

from pipeline.base.attributes import load_attribute
from pipeline.base.cycles import gc_paused
from pipeline.base.progress import Progress
from pipeline.cli.faults import Guarded


@dataclass(frozen=True)
class Lazy:
    """A command that is not loaded yet.

    Attributes:
        where: "module:attribute".
        summary: its line in the group's help.
        stage: the stage or program of which it is the command; the attribute then makes it of the name.
    """

    where: str
    summary: str
    stage: str = ""

    def load(self) -> click.Command:
        """The command itself."""
        with Progress("csg405", doing="starting"), gc_paused():  # what modules make as they are imported stays
            found = load_attribute(self.where)
            command = found(self.stage) if self.stage else found
        assert isinstance(command, click.Command), self.where
        return command


class LazyGroup(Guarded):
    """Lists commands from a table and loads the one that is called, as click's documentation describes it.

    Args:
        lazy: the commands, by name.
        sections: {what one wants: names of the commands for it}; what stands in none comes last.
    """

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, Lazy] | None = None,
        sections: Mapping[str, Sequence[str]] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(*args, **more)
        self.lazy, self.sections = dict(lazy or {}), dict(sections or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None where there is none of this name."""
        found = self.lazy.get(cmd_name)
        return found.load() if found else super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the lines of all commands, section by section, without loading one."""
        placed = {name for names in self.sections.values() for name in names}
        sections = {**self.sections, "More": [name for name in sorted(self.lazy) if name not in placed]}
        width = max(map(len, self.lazy))
        for title, names in sections.items():
            rows = [(f"{name:<{width}}", self.lazy[name].summary) for name in names if name in self.lazy]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands with their lines, without loading one; options as click does."""
        if incomplete and not incomplete[0].isalnum():
            return click.Command.shell_complete(self, ctx, incomplete)
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [CompletionItem(name, help=self.lazy[name].summary if name in self.lazy else None) for name in names]
