"""Parts of a bench end when their time is over, whatever they do, and keep what they told."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.bench.parts import Times, told
from tests.bench.table import Goal, Row, Skipped

FOREVER = 3600.0
LONG = Times(each=300.0, together=600.0, least=1.0)


def quick(count: int) -> Iterator[Row]:
    for number in range(count):
        yield Row(f"row {number}", "s", float(number), goal=Goal("value", 1))


def endless(mark: Path) -> Iterator[Row]:
    """A row, and then one that never comes, for which another process works."""
    yield Row("before", "s", 1.0)
    helper = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({FOREVER})"])
    mark.write_text(f"{os.getpid()} {helper.pid}", encoding="utf-8")
    time.sleep(FOREVER)
    yield Row("never", "s", 2.0)


def broken() -> Iterator[Row]:
    yield Row("before it broke", "s", 1.0)
    raise ValueError("planted")


def killed() -> Iterator[Row]:
    yield Row("before it died", "s", 1.0)
    os._exit(7)


def elsewhere() -> Iterator[Row]:
    yield Row("before it stopped", "s", 1.0)
    raise Skipped("needs another machine")


def gone(mark: Path) -> bool:
    """Whether the processes that a part noted have ended."""
    return not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        for pid in map(int, mark.read_text(encoding="utf-8").split())
    )


def wait_until_gone(mark: Path) -> None:
    for _ in range(200):
        if gone(mark):
            return
        time.sleep(0.05)
    raise AssertionError("processes of the part live on")


def test_rows_come_whole_and_in_order() -> None:
    rows = list(told({"one": partial(quick, 2), "two": partial(quick, 1)}, LONG))
    assert rows == [*quick(2), *quick(1)]


def test_a_row_that_never_comes_is_cut_with_its_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark, rows = tmp_path / "ids", list[Row]()
    times = Times(each=20.0, together=600.0, least=1.0)
    with pytest.raises(Skipped, match=r"^slow: cut after 20 s"):
        rows.extend(told({"slow": partial(endless, mark), "next": partial(quick, 1)}, times))
    assert [row.what for row in rows] == ["before", "row 0"], "the next part is not lost"
    assert "slow: cut after 20 s; rows that came before hold" in capsys.readouterr().out
    wait_until_gone(mark)


def test_who_stops_reading_ends_the_part(tmp_path: Path) -> None:
    mark = tmp_path / "ids"
    rows = told({"slow": partial(endless, mark)}, LONG)
    assert next(rows).what == "before"
    while not mark.is_file() or len(mark.read_text(encoding="utf-8").split()) < 2:
        time.sleep(0.05)
    rows.close()  # type: ignore[attr-defined]
    wait_until_gone(mark)


def test_a_killed_bench_leaves_nothing_behind(tmp_path: Path) -> None:
    mark = tmp_path / "ids"
    code = (
        "from functools import partial\nfrom pathlib import Path\nfrom tests.bench.parts import told\n"
        f"from tests.bench.test_parts import LONG, endless\nlist(told({{'slow': partial(endless, Path({str(mark)!r}))}}, LONG))\n"
    )
    bench = subprocess.Popen([sys.executable, "-c", code])
    while not mark.is_file() or len(mark.read_text(encoding="utf-8").split()) < 2:
        assert bench.poll() is None
        time.sleep(0.05)
    bench.kill()
    bench.wait()
    wait_until_gone(mark)


def test_what_fails_is_told_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    rows, parts = list[Row](), {"bad": broken, "dead": killed, "not here": elsewhere, "good": partial(quick, 1)}
    with pytest.raises(
        RuntimeError, match=r"^bad: failed: its process ended with 1; dead: failed: its process ended with 7;"
    ):
        rows.extend(told(parts, LONG))
    assert [row.what for row in rows] == ["before it broke", "before it died", "before it stopped", "row 0"]
    assert "not here: needs another machine" in capsys.readouterr().out


def test_a_part_without_time_is_left_out() -> None:
    with pytest.raises(Skipped, match=r"^one: left out, for 5 s are all"):
        list(told({"one": partial(quick, 1)}, Times(each=60.0, together=5.0, least=6.0)))
