"""`--on-end COMMAND`: a mail, a webhook, the next job, once a run has ended, however it ended."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from pipeline.base.errors import Interrupted, UserError
from pipeline.base.log import redact
from pipeline.base.text import printable
from pipeline.cli.faults import STOPPED
from pipeline.engine.session import Session

SECONDS = 300.0  # a mail server that hangs must not keep a run's end
_SHELL = "/bin/sh"


@contextmanager
def telling_the_end(command: str, session: Session, targets: Sequence[str]) -> Iterator[None]:
    """Run a shell command when the block ends, with what became of it in the environment.

    `CSG405_EXIT_CODE`, `CSG405_MESSAGE` (the last line), `CSG405_RUN`, `CSG405_PROFILE` and `CSG405_TARGETS`. Its failure is told
    and changes nothing; the block's own exception goes on. SIGTERM, by which Python would end at once, interrupts as Ctrl-C does.
    """
    code, message = 0, "all done"
    with _terminated_as_interrupted():
        try:
            yield
        except BaseException as error:
            code, message = _ended(error)
            raise
        finally:
            if command:
                about = {"RUN": str(session.run.absolute()), "PROFILE": session.profile.name}
                about |= {"TARGETS": " ".join(targets), "EXIT_CODE": str(code), "MESSAGE": redact(printable(message))}
                _call(command, about)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM raise KeyboardInterrupt; while units run, `Interrupt` has both end the run politely."""
    if threading.current_thread() is not threading.main_thread():  # the embedding program handles signals
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _ended(error: BaseException) -> tuple[int, str]:
    """The exit code that an exception will end the command with, and what will be said."""
    if isinstance(error, KeyboardInterrupt):
        return Interrupted.exit_code, "interrupted"
    if isinstance(error, SystemExit):
        return (error.code if isinstance(error.code, int) else STOPPED), "stopped"
    if isinstance(error, click.ClickException):
        return error.exit_code, error.format_message()
    return error.exit_code if isinstance(error, UserError) else STOPPED, f"{error}" or type(error).__name__


def _call(command: str, about: dict[str, str]) -> None:
    environment = {**os.environ, **{f"CSG405_{name}": value for name, value in about.items()}}
    try:
        done = subprocess.run([_SHELL, "-c", command], env=environment, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        click.echo(f"--on-end: {redact(str(error))}", err=True)
        return
    if done.returncode:
        click.echo(f"--on-end: {redact(command)}: ended with {done.returncode}", err=True)
