"""The bar of a progress on a terminal: two lines, which fit into 80 columns and lose nothing there."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import progress as rich
from rich.console import Console, RenderableType
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    from pipeline.base.progress import Progress

STEPS = 1000  # of a whole bar
INDENT = 18  # where the words of a stage's line begin
REST = 58  # columns of the longest line without its bar
NARROWEST, WIDEST = 8, 40  # bars, columns
TIMES_A_SECOND = 5


class _Bar(rich.Progress):
    """Draws what a progress says whenever it is drawn: nothing has to be told to it."""

    def __init__(self, shown: "Progress") -> None:
        console = Console(file=shown.stream)
        width = min(WIDEST, max(NARROWEST, console.width - REST))
        super().__init__(
            rich.SpinnerColumn(),
            rich.TextColumn("[bold]{task.description:>14}", table_column=Column(no_wrap=True)),
            rich.BarColumn(width),
            rich.TextColumn("{task.fields[count]}", table_column=Column(no_wrap=True)),
            rich.TextColumn("{task.fields[times]}", table_column=Column(no_wrap=True)),
            console=console,
            refresh_per_second=TIMES_A_SECOND,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # what goes to a file must go on doing so
        )
        self._of = shown
        self._one = self.add_task(shown.name, total=None, count="", times="")

    def get_renderables(self) -> Iterable[RenderableType]:
        of, share = self._of, self._of.share
        task = self._tasks[self._one]  # not `update`, which would draw again
        task.total, task.completed = (None, 0) if share is None else (STEPS, STEPS * share)
        task.fields.update(count=f"{of.done:,}/{of.total:,}" if of.total else "", times=of.times())
        yield self.make_tasks_table([task])
        if details := of.details():
            words = Text(details, style="dim").wrap(self.console, max(20, self.console.width - INDENT - 1))
            yield Text("\n").join(Text(" " * INDENT) + line for line in words)


@contextmanager
def showing(shown: "Progress") -> Iterator[None]:
    """A bar while the block lasts; nothing of it stays."""
    with _Bar(shown):
        yield
