"""What each file of tests takes of the processors: a plugin of pytest, `python -m pytest -p tests.processor_time ...`.

Processor time hardly depends on what else a machine does, wall time does. What a test waits for, rather than computes, costs a
process of `make test` as well: it is told beside it, without the time for which others had the processor.
"""

import os
import resource
import threading
import time
from collections import defaultdict
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest

NAME = "processor_time"
SHOWN = 40  # files
COLUMNS = ("own", "children", "clock", "asleep")
Seconds = dict[str, float]
spent: dict[str, Seconds] = defaultdict(lambda: dict.fromkeys(COLUMNS, 0.0))


def _now() -> Seconds:
    """Seconds so far: of this process, of children that ended, on the clock, and on the clock with this thread asleep."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    clock = time.monotonic()
    return {
        "own": own.ru_utime + own.ru_stime,
        "children": children.ru_utime + children.ru_stime,
        "clock": clock,
        "asleep": clock - _awake(),
    }


def _awake() -> float:
    """Seconds that this thread ran, or was ready to run."""
    stat = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    if stat.is_file():
        ran, queued, _ = stat.read_text().split()
        return (int(ran) + int(queued)) / 1e9
    return time.thread_time()


def _measured(item: pytest.Item) -> Generator[None, object, object]:
    before = _now()
    try:
        return (yield)
    finally:
        item.user_properties.append((NAME, {name: value - before[name] for name, value in _now().items()}))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _measured(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _measured(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _measured(item))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the process that reports: with pytest-xdist another one than those that test."""
    if "PYTEST_XDIST_WORKER" in os.environ or report.when != "teardown":
        return
    file = report.nodeid.partition("::")[0]
    for name, value in report.user_properties:
        if name == NAME and isinstance(value, dict):
            spent[file] = _sum([spent[file], value])


def _sum(parts: Iterable[Seconds]) -> Seconds:
    parts = list(parts)
    return {name: sum(part[name] for part in parts) for name in COLUMNS}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line a file, those that take most first."""
    files = sorted(spent.items(), key=lambda one: -(one[1]["own"] + one[1]["children"]))
    lines = [(f"all {len(files)} files", _sum(spent.values())), *files[:SHOWN]]
    terminalreporter.section("processor time, seconds")
    terminalreporter.line("".join(f"{name:>10}" for name in COLUMNS))
    for file, seconds in lines:
        terminalreporter.line("".join(f"{seconds[name]:>10.1f}" for name in COLUMNS) + f"  {file}")
