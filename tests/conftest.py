"""What every test shares."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Two test processes on two cores: with torch's default of a thread a core in each, threads that wait take the time of those
# that work. Set before anything imports torch, and for the programs that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from pipeline.base.process import prepare

prepare()  # as commands do, before anything imports numpy

from pipeline.engine.executors import forked  # noqa: E402
from pipeline.engine.executors.expected import expect  # noqa: E402
from pipeline.engine.lookup import settings_class  # noqa: E402
from pipeline.engine.stage import Stage  # noqa: E402
from tests.encoders import scheduled_ordinarily  # noqa: E402

# The same examples every time: a change that breaks something fails at once, and one that does not never fails by luck.
settings.register_profile("csg405", derandomize=True, deadline=None)
settings.load_profile("csg405")

forked.late.append("PYTEST_CURRENT_TEST")
STAGES = Path(__file__).parents[1] / "stages"

# A shell that starts the suite in the background has it ignore Ctrl-C, and so would every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests may take longest, by their time limits, begin first: two processes then end at about the same time."""
    longest: dict[Path, float] = {}
    for item in items:
        limit = item.get_closest_marker("timeout")
        longest[item.path] = max(longest.get(item.path, 0.0), float(limit.args[0]) if limit else 0.0)
    items.sort(key=lambda item: -longest[item.path])
    # One server forks the workers of all tests in this process, whichever comes first.
    if any("stages" in path.parts for path in longest):
        names = sorted(path.parent.name for path in STAGES.glob("*/worker.py"))
        expect(stage for name in names if isinstance(stage := settings_class(name)(), Stage))


def pytest_collection_finish() -> None:
    """What collecting 5,000 tests and their libraries left is there to the end: no collection of garbage looks through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def ordinary() -> Iterator[None]:
    """No test leaves behind a priority that starves the ones after it."""
    yield
    assert scheduled_ordinarily(), "something made this process a real-time one: see tests/encoders.py"
