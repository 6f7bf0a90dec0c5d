"""Errors of commands: each in one line, with its exit code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from pipeline.base import files
from pipeline.base.errors import BadUse, Interrupted, UserError

BAD_USE, STOPPED, INTERRUPTED = BadUse.exit_code, UserError.exit_code, Interrupted.exit_code


class Fault(click.ClickException):
    """An error that the user can mend: printed in one line, without a traceback."""

    def __init__(self, message: object, code: int = STOPPED) -> None:
        super().__init__(str(message))
        self.exit_code = code


@contextmanager
def errors_in_a_line() -> Iterator[None]:
    """Errors that are written for users, and those of the disk, end in one line and an exit code, and Ctrl-C in a word."""
    try:
        yield
    except KeyboardInterrupt:
        raise Fault("interrupted; what was committed is safe, the same command goes on", INTERRUPTED) from None
    except UserError as error:
        raise Fault(error, error.exit_code) from error
    except OSError as error:
        known = files.failure_of(error)
        raise Fault(known.detail if known else error) from error


class Guarded(click.Group):
    """Commands that tell known errors in a line."""

    def invoke(self, ctx: click.Context) -> Any:
        with errors_in_a_line():
            return super().invoke(ctx)
