"""The base class of every error that a user is told in one line, without a traceback."""


class UserError(Exception):
    """Base of the errors whose message is written for the user: what is wrong, and what to do.

    Errors cross process borders: a subclass hands all that its constructor takes to `super().__init__`, so that it pickles.
    """


class StageError(UserError):
    """A stage could not go on; the message says why and what to do. What was done before is committed."""
