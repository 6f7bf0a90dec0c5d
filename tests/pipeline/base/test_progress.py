"""What is shown while something goes on: rate and time left of known work, and a bar that fits."""

import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.spinner import Spinner

from pipeline.base import bar, progress, pulse
from pipeline.base.estimate import Estimate
from pipeline.base.progress import Progress, doing


def test_time_left_follows_from_all_that_was_done() -> None:
    one = Estimate(100.0)
    assert one.left(50.0) is None, "nothing is done: nobody knows"
    one.done = 25.0
    assert one.left(60.0) == pytest.approx(180.0)
    assert one.left(120.0) == pytest.approx(360.0), "while nothing more is done, it grows"
    assert one.left(1.0) is None, "too early to tell"
    one.done = 100.0
    assert one.left(60.0) == 0.0
    assert Estimate(0.0).left(60.0) is None


def test_a_unit_under_way_counts_by_its_frames() -> None:
    one = Estimate(100.0, passes=1.0)
    assert one.left(60.0, under_way=25.0) == pytest.approx(180.0)
    assert one.share(under_way=1e9) < 1.0, "it is not done before it is"
    one.done = 20.0
    one.learn(60.0)  # every frame is read three times
    assert one.share(under_way=30.0) == pytest.approx(0.3)
    assert Estimate(10.0).share(under_way=50.0) == 0.0, "units without a length: frames tell nothing yet"


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[pulse.Pulse]:
    """A pulse into which this process counts."""
    pulse.count_into(tmp_path)
    yield pulse.Pulse(tmp_path)
    pulse.count_into(None)


def test_processes_are_added_up_and_the_dead_keep_what_they_did(counted: pulse.Pulse) -> None:
    with pulse.loading():
        assert counted.read() == pulse.Beats(processes=1, loading=1)
    pulse.beat(frames=3)
    pulse.beat(frames=4, fetched=1000, read=7)
    assert counted.read() == pulse.Beats(1, 0, 7, 7, 1000, 7)
    pulse.begin_unit()
    gone = 2**22 + 1  # above any process id
    (counted.folder / str(gone)).write_bytes(pulse._FORM.pack(1, 5, 100, 50, 60))
    (counted.folder / "7").write_bytes(b"")  # one that only begins
    assert counted.read() == pulse.Beats(1, 0, 0, 107, 1050, 67)


def test_nobody_counts_where_nobody_listens(tmp_path: Path) -> None:
    pulse.count_into(None)
    pulse.beat(frames=1)
    pulse.count_into(tmp_path / "not there")
    pulse.beat(frames=1)
    with pulse.listening() as job:
        pulse.count_into(job.folder)
        pulse.beat(frames=2)
        assert job.read().frames == 2
    pulse.beat(frames=2)
    assert not job.folder.exists()


def shown(counted: pulse.Pulse, monkeypatch: pytest.MonkeyPatch, units: int = 4) -> Progress:
    """A progress of two of four units, of 10 s each, after a minute."""
    monkeypatch.setattr(progress, "LOOK_SECONDS", -1.0)
    now = time.monotonic()
    one = Progress("annotate", stream=io.StringIO())
    one.expect(units, dict.fromkeys(range(units), 10.0), counted)
    one.began = one._working = now - 60
    for number in range(2):
        pulse.beat(frames=250)
        pulse.begin_unit()
        one.advance("ok" if number else "rejected", number)
    pulse.beat(frames=125)
    return one


def test_a_line_says_units_frames_rate_and_time_left(counted: pulse.Pulse, monkeypatch: pytest.MonkeyPatch) -> None:
    line = shown(counted, monkeypatch).line()
    assert re.fullmatch(r"2/4, 1 ok, 1 rejected, 625 frames, 10\.4/s, 1 min 0 s, 36 s left", line), line


def test_before_the_first_unit_it_says_what_it_waits_for(counted: pulse.Pulse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", -1.0)
    one = Progress("annotate", stream=io.StringIO(), doing="looking")
    assert one.line() == "looking, 0 s"
    one.doing = ""
    one.expect(3, {}, pulse.Pulse(counted.folder / "nobody"))
    assert one.line() == "0/3, starting, 0 s, ? left"
    one.listen(counted)
    with pulse.loading():
        assert "loading nets" in one.line() and "? left" in one.line()


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_bar_loses_nothing_in_few_columns(
    columns: int, counted: pulse.Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shown(counted, monkeypatch)
    console = Console(file=io.StringIO(), width=columns)
    console.print(bar._drawn(one, columns, Spinner("dots")))
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, drawn.splitlines())) <= columns
    words = " ".join(drawn.split())
    for part in ("annotate", "2/4", "1 min 0 s, 36 s left", "1 ok, 1 rejected, 625 frames"):
        assert part in words, drawn


def test_without_a_terminal_there_are_plain_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
    told = io.StringIO()
    with Progress("outer", 2, told) as outer, Progress("inner", 1, told):
        with doing("fetching a net"):
            wait_for(told, "inner: 0/1, fetching a net")
        assert "outer:" not in told.getvalue(), "a terminal has room for one"
    before = len(told.getvalue())
    with outer:
        wait_for(told, "outer: 0/2")
    assert "\x1b" not in told.getvalue() and "\r" not in told.getvalue()[before:]


def wait_for(stream: io.StringIO, words: str) -> None:
    """Return once a thread has written these words."""
    for _ in range(1000):
        if words in stream.getvalue():
            return
        time.sleep(0.01)
    raise AssertionError(f"{words!r} is not in {stream.getvalue()!r}")
