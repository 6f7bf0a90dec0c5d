"""What every test shares."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

import pipeline  # noqa: F401 - what it sets has to be set before a test imports numpy
from tests.encoders import scheduled_ordinarily

# The same examples every time: a change that breaks something fails at once, and one that does not never fails by luck.
settings.register_profile("csg405", derandomize=True, deadline=None)
settings.load_profile("csg405")

# A shell that starts the suite in the background has it ignore Ctrl-C, and so would every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def ordinary() -> Iterator[None]:
    """No test leaves behind a priority that starves the ones after it."""
    yield
    assert scheduled_ordinarily(), "something made this process a real-time one: see tests/encoders.py"
