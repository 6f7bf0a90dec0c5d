"""What a shell completes: paths, runs, profiles, targets, stages, tables and reasons."""

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from pipeline.base.attributes import load_attribute

_FILES = [CompletionItem("", type="file")]  # the shell's own completion of paths

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def paths(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """Files and folders, as the shell itself completes them."""
    return _FILES


def _asked_for(where: str) -> Completer:
    """A function that is imported once a shell asks: it reads profiles, runs or tables, for which no help should wait."""

    def completed(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
        found: list[CompletionItem] = load_attribute(where)(context, begun)
        return found

    return completed


profiles = _asked_for("pipeline.cli.names:profiles")
runs = _asked_for("pipeline.cli.names:runs")
targets = _asked_for("pipeline.cli.names:targets")
stages = _asked_for("pipeline.cli.names:stages")
kinds = _asked_for("pipeline.cli.names:kinds")
reasons = _asked_for("pipeline.cli.names:reasons")
