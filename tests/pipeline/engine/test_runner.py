"""The runner: what is done is committed and what is not is done next time, whatever ends a run."""

import errno
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from pipeline.base import files, install
from pipeline.base.errors import StageError
from pipeline.engine import commits
from pipeline.engine.console import run_shown
from pipeline.engine.plan import plan
from pipeline.engine.runner import Options, OutOfRoom, Skipped, Summary, run_stage
from pipeline.engine.stage_nets import net_hashes
from pipeline.registry.archives import BadModel
from pipeline.registry.models import Registry
from pipeline.tables import heartbeat, parts
from pipeline.tables.lock import Occupied, driving
from pipeline.tables.outcome import FAILED, OK
from pipeline.tables.store import Store
from tests.pipeline.engine import toys
from tests.pipeline.engine.drivers import driver, until, workers
from tests.pipeline.engine.runs import HERE, chain, contents, go, go_all, outcomes

TWO = Options(workers=2)


def logged(run: Path, stage: str = "toy_crawl") -> int:
    """Units whose end the driver has logged: they are done, and perhaps not committed yet."""
    path = run / "logs" / f"{stage}.jsonl"
    return path.read_text().count('"status"') if path.is_file() else 0


SLOW = toys.ToyCrawl(units=tuple(f"u{n:02d}" for n in range(40)), pause_seconds=0.1)


@pytest.mark.parametrize(("number", "group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_an_interruption_commits_what_is_done(tmp_path: Path, number: int, group: bool) -> None:
    """Ctrl-C reaches every process of a terminal; a service manager tells the driver alone."""
    with driver(tmp_path, SLOW) as process:
        until(lambda: logged(tmp_path) >= 3)
        children = workers(process.pid)
        (os.killpg if group else os.kill)(process.pid, number)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 130, err
    assert "Traceback" not in err and "KeyboardInterrupt" not in err
    done = outcomes(tmp_path)
    assert 3 <= len(done) < 40 and {o["status"] for o in done.values()} == {OK}
    assert len(done) == logged(tmp_path)
    assert not [p for p in children if p.is_running()], "no worker survives"
    assert not list(tmp_path.rglob(".writing-*")) and not list(tmp_path.rglob("*heartbeat*"))
    assert go(SLOW.model_copy(update={"pause_seconds": 0.0}), tmp_path).counts == {OK: 40 - len(done)}


def test_a_second_interruption_ends_at_once_and_still_commits(tmp_path: Path) -> None:
    stage = toys.ToyCrawl(units=("a", "b", "hang"))
    with driver(tmp_path, stage, workers=0) as process:  # in the driver, "hang" cannot be stopped politely
        until(lambda: logged(tmp_path) >= 2)
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert set(outcomes(tmp_path)) == {"a", "b"}


def test_workers_end_soon_after_a_killed_driver_and_the_same_command_goes_on(tmp_path: Path) -> None:
    with driver(tmp_path, toys.ToyCrawl(units=("a", "hang", "b", "c"))) as process:
        until(lambda: logged(tmp_path) >= 3)
        children = workers(process.pid)
        assert children
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: not [p for p in children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE])
    assert outcomes(tmp_path) == {}, "nothing was committed yet"
    assert list(tmp_path.rglob("*heartbeat.json")), "the dead driver's heartbeat is still there, and is no obstacle"
    assert go(toys.ToyCrawl(units=("a", "b", "c")), tmp_path).counts == {OK: 3}


def test_results_are_committed_while_a_long_unit_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The long one ends once the others are seen in the table, or at its time limit."""
    monkeypatch.setattr(commits, "COMMIT_SECONDS", 0.5)
    seen, long = tmp_path / "seen", f"until-{tmp_path / 'seen'}"
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            if set(outcomes(tmp_path / "run")) == {"a", "b"}:
                seen.touch()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        go(toys.ToyCrawl(units=("a", "b", long)), tmp_path / "run", TWO)
    finally:
        over.set()
        thread.join()
    assert seen.exists()
    assert outcomes(tmp_path / "run")[long]["status"] == OK


def test_a_second_driver_is_refused_and_told_who_is_at_it(tmp_path: Path) -> None:
    with driver(tmp_path, SLOW) as process:
        until(lambda: (tmp_path / "locks" / "videos.heartbeat.json").is_file())
        with pytest.raises(Occupied, match=f"process {process.pid} on {socket.gethostname()}.*wait for it or stop it"):
            go(toys.ToyCrawl(units=("z",)), tmp_path)
        with pytest.raises(Occupied), driving(tmp_path, "videos", (0, 2)):
            pass
        with driving(tmp_path, "clips"):
            pass


def test_shards_work_side_by_side_and_shut_whole_drivers_out(tmp_path: Path) -> None:
    with driving(tmp_path, "videos", (0, 3)), driving(tmp_path, "videos", (2, 3)):
        for rival in ((0, 3), (1, 2), None):
            with pytest.raises(Occupied), driving(tmp_path, "videos", rival):
                pass
    with driving(tmp_path, "videos"):
        pass


def test_drivers_on_other_machines_are_known_by_their_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.1)
    beat = tmp_path / "locks" / "videos.heartbeat.json"
    beat.parent.mkdir(parents=True)

    def write(at: float) -> None:
        files.write_text(beat, json.dumps({"host": "elsewhere", "pid": 7, "time": at}))

    write(time.time() + 1e6)  # its clock is wrong, and it is dead
    with driving(tmp_path, "videos"):
        pass
    assert not beat.exists()
    assert "waiting up to 0.3 s to see whether process 7 on elsewhere still works on videos" in capsys.readouterr().err
    with driving(tmp_path, "videos"):
        pass
    assert not capsys.readouterr().err, "where nobody was, nobody is waited for"
    stop = threading.Event()

    def alive() -> None:
        while not stop.wait(0.02):
            write(time.monotonic())

    thread = threading.Thread(target=alive)
    thread.start()
    try:
        until(beat.exists)
        with pytest.raises(Occupied, match="process 7 on elsewhere"), driving(tmp_path, "videos"):
            pass
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"host": 3}'])
def test_a_broken_heartbeat_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    beat = tmp_path / "locks" / "videos.heartbeat.json"
    beat.parent.mkdir(parents=True)
    beat.write_text(content)
    with driving(tmp_path, "videos"):
        pass


# Stages that cannot go on


@pytest.mark.parametrize("options", [HERE, TWO])
def test_a_stage_that_cannot_start_stops_the_run(tmp_path: Path, options: Options) -> None:
    with pytest.raises(StageError, match="toy_broken cannot start: the net does not load"):
        go(toys.ToyBroken(units=("a", "b", "c")), tmp_path, options)
    assert outcomes(tmp_path) == {}


@pytest.mark.parametrize(
    ("deed", "error", "words"),
    [
        ("full", OutOfRoom, "no space left.*free some"),
        (
            "limit",
            OutOfRoom,
            r"downloads take 3 GiB\. Let the later stages run with --discard raw.*web.max_raw_gigabytes",
        ),
        ("wall", StageError, r"sign in first\. Wait some hours.*web.cookies=FILE.*web.requests_per_hour=N.*cool_down"),
    ],
)
def test_what_would_fail_every_unit_stops_the_stage(
    tmp_path: Path, deed: str, error: type[StageError], words: str
) -> None:
    stage = toys.ToyCrawl(units=("a", "b", f"{deed}-", "z"))
    with pytest.raises(error, match=rf"toy_crawl stopped: .*{words}.*run the same command"):
        go(stage, tmp_path)
    # Who met a wall is on record; a full disk could not take the record.
    assert set(outcomes(tmp_path)) == ({"a", "b", "wall-"} if deed == "wall" else {"a", "b"})
    assert go(toys.ToyCrawl(units=("a", "b", "z")), tmp_path).counts == {OK: 1}


def test_every_outcome_of_a_bad_unit_is_kept(tmp_path: Path) -> None:
    units = ("a", "raise", "reject", "fail", "odd", "unknown", "twice", "keyless", "quit", "denied")
    summary = go(toys.ToyCrawl(units=units), tmp_path)
    assert summary.counts == {OK: 1, "rejected": 2, FAILED: 7}
    found = outcomes(tmp_path)
    assert set(found) == set(units)
    assert found["odd"]["detail"].startswith("a? name?[31m of two lines")
    assert found["a"]["rows"] == 1 and found["a"]["host"] and "toy_crawl 1" in found["a"]["versions"]


def test_missing_packages_and_nets_skip_a_stage_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toys.ToyCrawl, "modules", ("numpy", "no_such_package.inside"))
    monkeypatch.setattr(toys.ToyCrawl, "extra", "speech")
    with pytest.raises(Skipped, match=re.escape(f"no_such_package.inside: {install.with_extra('speech')}")):
        go(toys.ToyCrawl(), tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(toys.ToyCrawl, "model_names", lambda self: (("no_such_net",),))
    with pytest.raises(Skipped, match="no net is called 'no_such_net'"):
        go(toys.ToyCrawl(), tmp_path)


def test_optional_nets_are_done_without_and_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A needed net skips the stage; of optional ones, one will do; and each that comes makes the work pending again."""
    registry = Registry(cache=tmp_path / "nets", download=False)

    def pending(units: tuple[str, ...] = ("a",)) -> int:
        return run_stage(toys.ToyCrawl(units=units), tmp_path / "run", registry, Options(workers=0)).pending

    optional = (("deepface_age",), ("deepface_gender",))
    monkeypatch.setattr(toys.ToyCrawl, "optional_model_names", lambda self: optional, raising=False)
    with pytest.raises(Skipped, match=r"none of its nets is here: csg405 models fetch deepface_age deepface_gender"):
        pending()
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets/gender_model_weights.onnx").write_bytes(b"a net")
    with pytest.raises(Skipped, match="there, but no hash is recorded: csg405 models pin deepface_gender"):
        pending()
    registry.pin("deepface_gender")
    assert pending() == 1 and pending() == 0
    (tmp_path / "nets/age_model_weights.onnx").write_bytes(b"another net")
    assert pending() == 0, "what nobody vouches for is not there"
    registry.pin("deepface_age")
    assert pending() == 1 and pending() == 0
    (tmp_path / "nets/age_model_weights.onnx").write_bytes(b"another net, changed")
    with pytest.raises(BadModel, match="is not deepface_age"):
        pending()
    monkeypatch.setattr(toys.ToyCrawl, "model_names", lambda self: (("dwpose_l",),))
    with pytest.raises(Skipped, match="dwpose_l"):
        pending()


VERSION = 1  # of the recipe below


def puzzled(source: Path, target: Path) -> str:
    return "an operator Loop\x1b[2J"


def test_a_net_that_could_not_be_prepared_is_told_and_its_recipe_is_part_of_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(cache=tmp_path / "nets")
    known = registry.entry("deepface_age").model_copy(update={"preparer": f"{__name__}:puzzled"})
    registry.entries = {**registry.entries, "deepface_age": known}
    monkeypatch.setattr(toys.ToyCrawl, "model_names", lambda self: (("deepface_age",),))
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets/age_model_weights.onnx").write_bytes(b"a net")
    registry.pin("deepface_age")

    run = tmp_path / "run"

    def go_on() -> Summary:
        return run_shown(toys.ToyCrawl(units=("a",)), run, registry, Options(workers=0), Store(run))

    [(net, why)] = go_on().slow_nets.items()
    assert net == "deepface_age" and why.startswith("an operator Loop")
    told = capsys.readouterr().out
    assert "deepface_age ran as it is, which is slower: it could not be prepared (an operator Loop" in told
    assert "\x1b" not in told
    assert not go_on().slow_nets, "nothing ran"
    monkeypatch.setitem(globals(), "VERSION", 2)
    assert go_on().counts == {OK: 1}, "another recipe may give other results"


@dataclass(frozen=True)
class Verdict:
    """As recipes give it."""

    refused: str = "41.0 % of 100 points\x1b[2J"
    words: str = refused
    failed: bool = False


def runner(device: str) -> str:
    """What verdicts of this recipe hold for."""
    return device


def unsteady(source: Path, target: Path, device: str) -> Verdict:
    """A recipe for half precision, which a net does not stand."""
    return Verdict()


def test_what_comes_of_half_precision_is_told_and_several_machines_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(cache=tmp_path / "nets")
    known = registry.entry("deepface_age").model_copy(update={"halver": f"{__name__}:unsteady"})
    registry.entries = {**registry.entries, "deepface_age": known}
    monkeypatch.setattr(toys.ToyCrawl, "model_names", lambda self: (("deepface_age",),))
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets/age_model_weights.onnx").write_bytes(b"a net")
    registry.pin("deepface_age")
    stage = toys.ToyCrawl(units=("a",))
    assert not run_shown(stage, tmp_path / "whole", registry, Options(workers=0), Store(tmp_path / "whole")).precisions
    monkeypatch.setattr(toys.ToyCrawl, "net_precision", lambda self: "fp16")
    told = run_shown(stage, tmp_path / "run", registry, Options(workers=0), Store(tmp_path / "run"))
    assert told.counts == {OK: 1} and list(told.precisions) == ["deepface_age"]
    shown = capsys.readouterr().out
    assert (
        "deepface_age ran in single precision, for half is refused: 41.0 % of 100 points" in shown
        and "\x1b" not in shown
    )
    elsewhere = Registry(cache=tmp_path / "nets", device="cuda").looking()  # which saw no trial
    elsewhere.entries = registry.entries
    assert not len(plan(stage, Store(tmp_path / "run"), net_hashes(stage, elsewhere)).pending), "the same work is done"
    with pytest.raises(StageError, match=r"toy_crawl\.precision=fp32, or machine\.executor=local"):
        run_shown(stage, tmp_path / "run", registry, Options(executor="ray"), Store(tmp_path / "run"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_card_that_workers_share_is_counted_once(tmp_path: Path, workers: int) -> None:
    go(toys.ToyOnGpu(units=("a", "b", "c", "d")), tmp_path, Options(workers=workers, device="cuda"))
    for outcome in outcomes(tmp_path).values():
        assert outcome["gpu_seconds"] == pytest.approx(outcome["wall_seconds"] / max(1, workers))


# Disks


def test_a_full_disk_at_the_commit_loses_nothing_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go(toys.ToyCrawl(units=("a",)), tmp_path)
    before = contents(tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "tables"))

    monkeypatch.setattr(parts.pq, "write_table", full)
    with pytest.raises(StageError, match=r"no space left.*What was committed is safe"):
        go(toys.ToyCrawl(units=("a", "b")), tmp_path)
    monkeypatch.undo()
    assert contents(tmp_path) == before and not list(tmp_path.rglob(".writing-*"))
    assert go(toys.ToyCrawl(units=("a", "b")), tmp_path).counts == {OK: 1}


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("options", [HERE, TWO])
def test_a_disk_that_is_really_full(tiny_disk: Path, monkeypatch: pytest.MonkeyPatch, options: Options) -> None:
    monkeypatch.setattr(commits, "COMMIT_BYTES", 1 << 19)
    run = tiny_disk / "run"
    stage = toys.ToyHeavy(units=tuple(f"u{n}" for n in range(20)))
    with pytest.raises(StageError, match="no space left"):
        go(stage, run, options)
    done = set(Store(run).table("persons").winners()["unit"].to_pylist())
    assert 0 < len(done) < 20
    subprocess.run(["mount", "-o", "remount,size=64m", str(tiny_disk)], check=True)
    assert go(stage, run, options).counts == {OK: 20 - len(done)}
    assert len(Store(run).table("persons").rows(["person_id"])) == 20
    assert not list(run.rglob(".writing-*"))


@pytest.mark.parametrize("kind", [errno.EROFS, errno.EACCES])
def test_a_run_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: int) -> None:
    go(toys.ToyCrawl(units=("a",)), tmp_path)
    before = contents(tmp_path)

    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(kind, os.strerror(kind), str(self))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StageError, match="cannot be written: check its owner and mount"):
        go(toys.ToyCrawl(units=("a", "b")), tmp_path)
    monkeypatch.undo()
    assert contents(tmp_path) == before


def test_a_disk_mounted_read_only(tiny_disk: Path) -> None:
    run = tiny_disk / "run"
    go(toys.ToyCrawl(units=("a",)), run)
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    assert go(toys.ToyCrawl(units=("a",)), run).pending == 0, "looking needs no writing"
    with pytest.raises(StageError, match="cannot be written"):
        go(toys.ToyCrawl(units=("a", "b")), run)


@pytest.mark.parametrize("name", ["tables", "locks", "logs"])
def test_a_file_where_a_folder_should_be(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("in the way")
    with pytest.raises((StageError, NotADirectoryError), match=rf"{name}"):
        go(toys.ToyCrawl(units=("a",)), tmp_path)


# Finish


def test_finish_runs_again_after_a_kill_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = chain()
    go_all(tmp_path, stages[:-1])
    index = tmp_path / "index.txt"

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(toys.ToyExport, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            go(stages[-1], tmp_path)
    assert len(Store(tmp_path).read("samples")) == 4 and not index.exists()
    assert go(stages[-1], tmp_path).pending == 0 and index.read_text().count("\n") == 3
    index.unlink()
    go(stages[-1], tmp_path)
    assert not index.exists(), "and not when nothing has changed since"
    go(toys.ToyJudge(most=100.0), tmp_path)
    assert go(stages[-1], tmp_path).pending == 0
    assert index.read_text().count("\n") == 1, "a sample less is a change too"


def test_a_broken_stamp_only_costs_another_finish(tmp_path: Path) -> None:
    go_all(tmp_path)
    for text in ("{", "[]", '{"rows": 3}'):
        (tmp_path / "stamps" / "toy_export.json").write_text(text)
        (tmp_path / "index.txt").unlink()
        go(toys.ToyExport(), tmp_path)
        assert (tmp_path / "index.txt").exists()


# Logs


def test_logs_are_json_lines_that_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.base.log.LOG_BYTES", 2000)
    monkeypatch.setattr("pipeline.base.log.LOG_FILES", 2)
    go(toys.ToyCrawl(units=("raise", "odd", *(f"u{n}" for n in range(30)))), tmp_path)
    names = sorted(p.name for p in (tmp_path / "logs").iterdir())
    assert names == ["toy_crawl.jsonl", "toy_crawl.jsonl.1", "toy_crawl.jsonl.2"]
    lines = [json.loads(line) for p in (tmp_path / "logs").iterdir() for line in p.read_text("utf-8").splitlines()]
    assert all({"at", "level", "logger", "message"} <= set(line) for line in lines)
    assert {line.get("stage") for line in lines} <= {"toy_crawl"}


class Careless(toys.ToyCrawl):
    name: ClassVar[str] = "careless"

    def process(self, unit: Any) -> Any:
        import logging

        key = os.environ["OPENAI_API_KEY"]
        logging.getLogger("client").warning("asking with %s at http://me:%s@proxy/", key, "hunter22")
        if unit.id == "raise":
            raise RuntimeError(f"401 for key {key}, Authorization: Bearer abc.def-123")
        yield from super().process(unit)


@pytest.mark.parametrize("options", [HERE, TWO])
def test_keys_reach_neither_logs_nor_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Options) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecret")
    monkeypatch.setenv("HF_TOKEN", "hf_alsosecret")
    go(Careless(units=("a", "raise", "secret")), tmp_path, options)
    found = outcomes(tmp_path)
    assert "401 for key ***, Authorization: Bearer ***" in found["raise"]["detail"]
    assert "refused ***" in found["secret"]["detail"]
    logs = "".join(p.read_text() for p in (tmp_path / "logs").iterdir())
    assert "asking with ***" in logs and "RuntimeError" in logs
    for secret in ("verysecret", "alsosecret", "hunter22", "abc.def"):
        assert secret not in logs and secret not in json.dumps(list(found.values()), default=str)
