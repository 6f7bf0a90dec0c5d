"""The bar of a progress on a terminal: two lines, which fit into 80 columns and lose nothing there."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.file_proxy import FileProxy
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from pipeline.base.progress import Progress

INDENT = 18  # where the words of a stage's line begin
REST = 58  # columns of the longest line without its bar
NARROWEST, WIDEST = 8, 40  # bars, columns
TIMES_A_SECOND = 5


@contextmanager
def showing(shown: "Progress") -> Iterator[None]:
    """Draw what a progress says, again and again while the block lasts; nothing of it stays."""
    console, spinner = Console(file=shown.stream), Spinner("dots")
    live = Live(
        console=console,
        get_renderable=lambda: _drawn(shown, console.width, spinner),
        refresh_per_second=TIMES_A_SECOND,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with live, ExitStack() as redirected:
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream.isatty():  # what goes to a file must go on doing so
                redirected.enter_context(redirect(_Above(console, stream)))
        yield


class _Above(FileProxy):
    """Prints lines above the bar. It names an encoding: click goes around a stream that has none, and through the bar."""

    encoding = "utf-8"
    errors = "replace"


def _drawn(shown: "Progress", columns: int, spinner: Spinner) -> RenderableType:
    """The bar between what it is of and the times, and below it what there is to say."""
    share = shown.share
    bar = ProgressBar(1.0, share or 0.0, min(WIDEST, max(NARROWEST, columns - REST)), pulse=share is None)
    count = f"{shown.done:,}/{shown.total:,}" if shown.total else ""
    line = Table.grid(padding=(0, 1))
    for _ in range(5):
        line.add_column(no_wrap=True)
    line.add_row(spinner, Text(f"{shown.name:>14}", "bold"), bar, count, shown.times())
    details = shown.details()
    return Group(line, Padding(Text(details, "dim"), (0, 0, 0, INDENT))) if details else line
