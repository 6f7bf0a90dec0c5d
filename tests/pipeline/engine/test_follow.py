"""Following: a stage keeps going while the one before it works, and ends when there is nothing more to come."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main as cli
from pipeline.engine import follow
from pipeline.engine.decoded import FOLDER
from pipeline.engine.profile import load
from pipeline.tables.lock import at_work, driving
from pipeline.tables.outcome import OK
from pipeline.tables.store import Store
from tests.pipeline.engine import toy_cli, toys
from tests.pipeline.engine.drivers import driver, until
from tests.pipeline.engine.runs import chain, contents, go, go_all, outcomes, same

UNITS = tuple(f"u{n:02d}" for n in range(16))


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    toy_cli.register(monkeypatch.setitem)
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(follow, "QUIET_SECONDS", 0.5)
    path = tmp_path / "toys.toml"
    path.write_text(toy_cli.PROFILE)
    return path


def followed(profile: Path, run: Path, *targets: str, code: int = 0) -> str:
    about = ["--profile", str(profile), "--run", str(run), "--workers", "0", "--follow"]
    found = CliRunner().invoke(cli.main, ["run", *targets, *about])
    assert found.exit_code == code, found.output + repr(found.exception)
    return found.output


def counted(said: str, stage: str) -> list[tuple[int, int]]:
    """(done, units known) of each pass that did something."""
    return [(int(a), int(b)) for a, b in re.findall(rf"^ *{stage}  (\d+) of (\d+) units", said, re.MULTILINE)]


def test_a_follower_works_while_its_leader_does(profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_COMMIT_SECONDS", "0.5")
    run, crawl = tmp_path / "run", toys.ToyCrawl(units=(*UNITS, "reject"), pause_seconds=0.2)
    with driver(run, crawl, workers=0) as leader:
        until(lambda: at_work(run, ["videos"]))
        said = followed(profile, run, "toy_split", "annotate", "filter")
        assert leader.wait(timeout=30) == 0, "the follower ends after its leader"
    splits = counted(said, "toy_split")
    assert len(splits) >= 2 and sum(done for done, _ in splits) == len(UNITS)
    known = [units for _, units in splits]
    assert known == sorted(set(known)) and known[-1] == len(UNITS), "each pass knew of more units than the one before"
    assert "waits: process" in said and "writes videos" in said
    assert len(counted(said, "toy_annotate")) == len(splits)
    assert counted(said, "toy_judge") == [(1, 1)], "what looks at the whole run does so once"
    assert said.index("toy_judge") > said.rindex("waits:")
    assert {o["status"] for o in outcomes(run, "samples").values()} == {OK} and len(outcomes(run, "samples")) == 32
    undisturbed = tmp_path / "undisturbed"
    go_all(undisturbed, chain((*UNITS, "reject")))
    assert same(contents(run)["samples"], contents(undisturbed)["samples"])


def test_without_a_leader_it_ends_after_a_last_pass(profile: Path, tmp_path: Path) -> None:
    go(toys.ToyCrawl(units=("a", "b")), tmp_path)
    said = followed(profile, tmp_path, "toy_split", "annotate", "filter")
    assert counted(said, "toy_split") == [(2, 2)] and counted(said, "toy_judge") == [(1, 1)]
    assert "nobody before is at work" in said and "toy_export  4 of 4" in said


def test_what_was_decoded_for_later_passes_stays_until_the_last(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader may have kept it of units that are new to the next pass."""
    go(toys.ToyCrawl(units=("a",)), tmp_path)
    monkeypatch.setattr(toys.ToySplit, "reads_decoded", True)
    kept, seen, wait = tmp_path / FOLDER / "files/sound/a.wave", [], follow.Leader.wait
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"sound")

    def watched(leader: follow.Leader, say: Callable[[str], None]) -> bool:
        seen.append(kept.is_file())
        return wait(leader, say)

    monkeypatch.setattr(follow.Leader, "wait", watched)
    followed(profile, tmp_path, "toy_split")
    assert seen == [True] and not kept.exists()


def test_what_failed_is_tried_in_the_first_pass_and_the_last_only(profile: Path, tmp_path: Path) -> None:
    go(toys.ToyCrawl(units=("a",)), tmp_path)
    names = ["toy_split"]
    before = follow.leader(tmp_path, load(str(profile)), names)
    turns = follow.passes(load(str(profile)), names, before, lambda _: None)
    assert next(turns).whole
    go(toys.ToyCrawl(units=("a", "b")), tmp_path)
    assert not next(turns).whole, "there is news: a pass for what is new"
    assert next(turns).whole, "nobody is at work: the last pass"
    go(toys.ToyCrawl(units=("a", "b", "c")), tmp_path)
    assert not next(turns).whole, "there was news after all"
    assert next(turns).whole
    assert next(turns, None) is None


def test_what_comes_before(profile: Path, tmp_path: Path) -> None:
    found = load(str(profile))
    assert follow.leader(tmp_path, found, ["toy_measure", "toy_judge"]).kinds == ("videos", "clips", "persons")
    assert follow.leader(tmp_path, found, ["toy_split"]).kinds == ("videos",)
    assert follow.leader(tmp_path, found, ["toy_crawl", "toy_split"]).kinds == ()
    everything = follow.leader(tmp_path, load("folder"), ["annotate", "measure_pose", "judge", "report"]).kinds
    assert {"videos", "clips", "sound_measures", "samples"} <= set(everything) and "persons" not in everything


def test_stages_of_the_whole_run_alone_follow_too(profile: Path, tmp_path: Path) -> None:
    go_all(tmp_path, chain(("a",))[:4])
    names, before = ["toy_judge"], follow.leader(tmp_path, load(str(profile)), ["toy_judge"])
    turns = follow.passes(load(str(profile)), names, before, lambda _: None)
    assert next(turns).stages == ["toy_judge"]
    go_all(tmp_path, chain(("a", "b"))[:4])
    assert next(turns).stages == ["toy_judge"]


@pytest.fixture
def waiting(profile: Path, tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """A follower in another process, which waits for this one."""
    run = tmp_path / "run"
    command = [sys.executable, "-u", "-m", "tests.pipeline.engine.toy_cli", "run", "toy_split", "--follow"]
    with driving(run, "videos"):
        process = subprocess.Popen(
            [*command, "--profile", str(profile), "--run", str(run)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert process.stdout
            lines = iter(process.stdout.readline, "")
            assert any(f"waits: process {os.getpid()} on" in line for line in lines)
            yield process
        finally:
            process.kill()
            process.communicate()


def test_ctrl_c_ends_a_follower_that_waits(waiting: "subprocess.Popen[str]") -> None:
    waiting.send_signal(signal.SIGINT)
    said = waiting.communicate(timeout=60)[0]
    assert waiting.returncode == 130 and "interrupted" in said and "Traceback" not in said


def test_a_follower_in_the_way_of_another_driver_is_refused(profile: Path, tmp_path: Path) -> None:
    go(toys.ToyCrawl(units=("a",)), tmp_path)
    with driving(tmp_path, "clips"):
        assert f"process {os.getpid()} on" in followed(profile, tmp_path, "toy_split", code=1)


def test_who_is_at_work(tmp_path: Path) -> None:
    assert at_work(tmp_path, ["videos"]) == {} and not (tmp_path / "locks").exists()
    with driving(tmp_path, "videos"), driving(tmp_path, "clips", (0, 2)):
        found = at_work(tmp_path, ["videos", "clips", "persons"])
        assert set(found) == {"videos", "clips.0-of-2"} and f"process {os.getpid()}" in found["videos"]
        assert at_work(tmp_path, ["persons"]) == {}
    assert at_work(tmp_path, ["videos", "clips"]) == {}


def test_looking_never_refuses_a_driver(tmp_path: Path) -> None:
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            at_work(tmp_path, ["videos"])

    watchers = [threading.Thread(target=look) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    try:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            with driving(tmp_path, "videos"):
                assert "videos" in at_work(tmp_path, ["videos"])
    finally:
        over.set()
        for watcher in watchers:
            watcher.join()
    assert Store(tmp_path).kinds == []
