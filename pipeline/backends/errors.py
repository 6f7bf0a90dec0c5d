"""Errors of back-ends: one exception, with a class of trouble and what to do about it."""

from enum import StrEnum

from pipeline.base.errors import UserError


class Trouble(StrEnum):
    """The kind of a back-end's failure."""

    BAD_JOB = "bad_job"  # what it was asked to film, or an option, does not fit
    NO_CHECKOUT = "no_checkout"  # the folder is not there, or is not of this back-end
    NO_PYTHON = "no_python"  # its interpreter is not there
    NO_PACKAGE = "no_package"  # its environment lacks a package
    NO_GPU = "no_gpu"
    OUT_OF_MEMORY = "out_of_memory"
    NO_WEIGHTS = "no_weights"
    HANG = "hang"  # past the deadline
    CRASH = "crash"  # ended with another status than 0
    NOTHING_WRITTEN = "nothing_written"  # ended well, but left no pictures
    WRONG_FRAMES = "wrong_frames"  # another number of pictures, or of another size
    BAD_OUTPUT = "bad_output"  # a picture or video that cannot be read, or is not safe to


class BackendError(UserError, RuntimeError):
    """Raised when a back-end makes no video; the message says why and what to do.

    Args:
        trouble: its class.
        message: one or more lines for people; the log's path where there is a log.
    """

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(trouble, message)  # both in args, so that the error survives pickling
        self.trouble = trouble
        self.message = message

    def __str__(self) -> str:
        return self.message
