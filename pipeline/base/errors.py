"""The base class of every error that a user is told in one line, without a traceback."""

from typing import ClassVar


class UserError(Exception):
    """Base of the errors whose message is written for the user: what is wrong, and what to do.

    Errors cross process borders: a subclass hands all that its constructor takes to `super().__init__`, so that it pickles.
    """

    exit_code: ClassVar[int] = 1  # of a command that it ends


class BadUse(UserError):
    """Raised for a command line that makes no sense; the message says what would."""

    exit_code = 2


class UnitsFailed(UserError):
    """Everything was tried, and units failed that should not have; the message counts them and says how to try again."""

    exit_code = 3


class Interrupted(UserError):
    """Ctrl-C or SIGTERM ended a run; what was done is committed."""

    exit_code = 130


class StageError(UserError):
    """A stage could not go on; the message says why and what to do. What was done before is committed."""
