"""`status` and `runs`: who is at work, what was kept, what failed last, how much room and how many requests are left."""

import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import pytest
from click.testing import CliRunner

from pipeline.cli import main as cli
from pipeline.cli.printing import print_vitals
from pipeline.sources.web.settings import Web
from pipeline.tables.drivers import Driver, drivers
from pipeline.tables.lock import driving
from pipeline.views.vitals import Disk, Failure, Pace, Vitals, requests_left
from tests.pipeline.cli.toy_run import ToyRun


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyRun:
    made = ToyRun(tmp_path, monkeypatch, '["a", "b", "raise"]')
    made.all(code=3)
    return made


def test_status_says_how_the_run_is(toys: ToyRun) -> None:
    said, told = toys("status"), json.loads(toys("status", "--json"))
    assert "at work:      nobody" in said and "toy_crawl of raise: exception" in said and "GB free of" in said
    assert f"csg405 failed --run {toys.run}" in said
    failure = told["last_failure"]
    assert (failure["stage"], failure["unit"], failure["reason"]) == ("toy_crawl", "raise", "exception")
    assert datetime.fromisoformat(failure["at"]).tzinfo and told["drivers"] == [] and told["requests"] == []
    assert told["kept_hours"] > 0 and told["disk"]["free"] < told["disk"]["total"]
    assert told["disk"]["full_in_seconds"] is None, "nobody is at work"
    assert (told["run"], told["profile"]) == (str(toys.run), "toys")


def test_a_driver_at_work_is_named_with_the_time_it_began(toys: ToyRun) -> None:
    with driving(toys.run, "videos"):
        (one,) = drivers(toys.run)
        told = json.loads(toys("status", "--json"))
        said = toys("status")
    assert one.kind == "videos" and one.since is not None and abs(one.since.timestamp() - time.time()) < 60
    assert told["drivers"][0]["writes"] == "videos" and told["disk"]["growth"] > 0
    assert told["disk"]["full_in_seconds"] == pytest.approx(
        told["disk"]["free"] / told["disk"]["growth"] * 3600, rel=0.01
    )
    assert f"process {one.pid} on" in said and "an hour, as now, full in" in said
    assert not drivers(toys.run)


@pytest.mark.parametrize(
    ("beat", "alive"),
    [
        ({"host": "elsewhere", "pid": 1, "since": 5.0, "time": "now"}, True),
        ({"host": "elsewhere", "pid": 1, "time": "now"}, True),
        ({"host": "elsewhere", "pid": 1, "time": 6.0}, True),  # its clock is wrong
        ({"host": "elsewhere", "pid": 1, "time": 5.0}, False),
        ({"host": socket.gethostname(), "pid": 1, "time": "now"}, False),  # it was killed: nobody holds its lock
        ({"host": "elsewhere"}, False),
        ([], False),
    ],
)
def test_whose_heartbeat_counts(tmp_path: Path, beat: Any, alive: bool) -> None:
    (tmp_path / "locks").mkdir()
    if isinstance(beat, dict) and beat.get("time") == "now":
        beat = {**beat, "time": time.time()}
    path = tmp_path / "locks" / "videos.0-of-2.heartbeat.json"
    path.write_text(json.dumps(beat))
    if isinstance(beat, dict) and beat.get("time") == 5.0:
        os.utime(path, (5, 5))  # the disk's clock counts, not that of another machine
    found = drivers(tmp_path)
    assert bool(found) == alive
    assert all((one.writes, one.kind, one.pid) == ("videos.0-of-2", "videos", 1) for one in found)


@pytest.mark.parametrize(
    "wrong",
    [{"time": 1e30}, {"time": -1e15}, {"since": 1e300}, {"since": "now"}, {"pid": float("inf")}, {"pid": None}],
)
def test_a_damaged_heartbeat_is_told_and_hides_nothing(toys: ToyRun, wrong: dict[str, Any]) -> None:
    beat = {"host": "elsewhere", "pid": 1, "since": 5.0, "time": time.time()}
    (toys.run / "locks" / "clips.heartbeat.json").write_text(json.dumps({**beat, **wrong}))
    (toys.run / "locks" / "videos.heartbeat.json").write_text(json.dumps(beat))
    said = toys("status")
    assert f"passed over: {toys.run / 'locks' / 'clips.heartbeat.json'}\n" in said and "videos since" in said
    listed = CliRunner().invoke(cli.main, ["runs"])
    assert listed.exit_code == 0 and "at work:    videos since" in listed.output


def test_looking_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locks").mkdir()
    waited: list[float] = []
    monkeypatch.setattr(filelock.FileLock, "acquire", lambda self, *_, **__: waited.append(self.timeout))
    for kind, seen in (("videos", time.time()), ("clips", 5.0)):
        beat = {"host": socket.gethostname(), "pid": 1, "since": 5.0, "time": seen}
        path = tmp_path / "locks" / f"{kind}.heartbeat.json"
        path.write_text(json.dumps(beat))
        os.utime(path, (seen, seen))
    drivers(tmp_path)
    assert waited and set(waited) == {0}
    monkeypatch.undo()
    gates = [filelock.FileLock(tmp_path / "locks" / f"{kind}.gate", is_singleton=False) for kind in ("videos", "clips")]
    with gates[0], gates[1]:  # another process begins to drive both
        assert [one.kind for one in drivers(tmp_path)] == ["videos"], "the one whose heartbeat is fresh"
    assert not drivers(tmp_path)


def test_runs_lists_what_is_there(toys: ToyRun) -> None:
    broken = toys.run.parent / "broken"
    broken.mkdir()
    (broken / "settings.toml").write_text("= broken")
    (toys.run.parent / "no run").mkdir()
    found = CliRunner().invoke(cli.main, ["runs", "--json"])
    lines = json.loads(found.output)["runs"]
    assert [Path(line["run"]).name for line in lines] == ["broken", "toys"] and found.exit_code == 0
    assert "settings.toml" in lines[0]["problem"]
    one = lines[1]
    assert one["profile"] == "toys" and not one["problem"] and one["bytes"] > 0 and one["people"] >= one["kept"] > 0
    assert abs(datetime.fromisoformat(one["changed"]).timestamp() - time.time()) < 600
    said = CliRunner().invoke(cli.main, ["runs"]).output
    assert f"{one['kept']} of {one['people']} people kept" in said and "problem:" in said
    assert CliRunner().invoke(cli.main, ["runs", str(toys.folder / "none")]).exit_code == 2


def test_requests_left_this_hour(tmp_path: Path) -> None:
    assert not requests_left(tmp_path, Web(), 0.0), "nobody was asked yet"
    (tmp_path / "pace.json").write_text('{"a.example": 1790, "b.example": 5000, "c.example": "soon"}')
    web = Web(requests_per_hour=360, jitter=0)  # one every 10 s
    a, b = requests_left(tmp_path, web, 1800.0)
    assert (a.host, a.left_this_hour, a.wait_seconds) == ("a.example", 181, 0.0)
    assert (b.host, b.left_this_hour, b.wait_seconds) == ("b.example", 0, 3200.0)
    assert requests_left(tmp_path, web, 1400.0)[0].left_this_hour == 182, "from 1790 to 3600"
    assert requests_left(tmp_path, web, 0.0)[0].left_this_hour == 182


def test_every_line_fits_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
    found = Vitals(
        405.1234,
        [Driver("videos.0-of-2", 123456, "node-with-a-rather-long-name-17", at, at)],
        Failure("crawl", "yt:aaaaaaaaaaa", "network", "no answer \x1b[31m " + "and so on " * 20, at),
        Disk(10**12, 10**13, 10.0**9, 86400.0 * 40),
        [Pace("www.youtube.com", 299, 300, 3599.0)],
    )
    print_vitals(tmp_path / "x", found)
    said = capsys.readouterr().out
    short = [line for line in said.splitlines() if str(tmp_path) not in line]
    assert max(map(len, short)) <= 80 and "\x1b" not in said and "405 hours" in said and "40 d 0 h" in said
