"""Workers forked from a process that has imported what they need: as good as those that start afresh."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from pipeline.engine.executors import expected, forked
from pipeline.engine.executors.executor import Job
from pipeline.engine.executors.expected import modules
from pipeline.engine.executors.local import LocalExecutor
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.tables.outcome import OK
from stages.judge import Judge
from stages.measure_pose import MeasurePose
from tests.pipeline.engine import toys
from tests.pipeline.engine.drivers import driver, forkservers, until, workers
from tests.pipeline.engine.executors.told import ROOT, told

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers start afresh")]


@pytest.fixture(autouse=True)
def begun_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that ran before may have begun the server of this process under circumstances of its own."""
    if forkservers(os.getpid()):
        forkserver._forkserver._stop()
    monkeypatch.setattr(forked, "_began", None)


TOLD = str(ROOT / "tests" / "pipeline" / "engine" / "executors" / "told.py")


def test_a_fork_finds_things_as_they_are_with_its_driver_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    first = told(tmp_path, "CSG405_TOLD")
    assert first["value"] is None and first["parent"] in {process.pid for process in forkservers(os.getpid())}
    assert first["foreign"] == [] and first["limit"] == 2 << 30

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("CSG405_TOLD", "now")
    before = os.umask(0o27)
    capfd.readouterr()
    try:
        second = told(tmp_path, "CSG405_TOLD")
    finally:
        os.umask(before)
    assert second["parent"] == first["parent"]
    assert second["value"] == "now" and second["umask"] == 0o27
    assert second["folder"] == str(tmp_path / "elsewhere")
    assert capfd.readouterr().out == "to standard output, for CSG405_TOLD\n"


def test_workers_start_afresh_where_a_fork_would_be_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries read some variables as they are loaded; a process cannot raise its own priority; no fork may have a CUDA."""
    told(tmp_path)
    assert told(tmp_path, device="cuda")["parent"] == os.getpid()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = told(tmp_path, "OMP_NUM_THREADS")
    assert found["parent"] == os.getpid() and found["value"] == "3" and found["limit"] == 2 << 30


def test_workers_start_afresh_where_a_socket_has_no_room_for_its_path(tmp_path: Path) -> None:
    """The forked process listens below TMPDIR, by a name of 32 characters; a socket's path has 107 at most."""
    place = tmp_path / ("x" * max(1, 99 - len(str(tmp_path))))
    place.mkdir()
    code = (
        "import json, os, pathlib; from tests.pipeline.engine.drivers import forkservers\n"
        "from tests.pipeline.engine.executors.told import told\n"
        "found = [told(pathlib.Path.cwd(), 'TMPDIR') for _ in range(2)]\n"
        "print(json.dumps([[one['parent'] == os.getpid(), one['value']] for one in found] + forkservers(os.getpid())))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(place)}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == [[True, str(place)]] * 2, "and no forked process is left"


def test_nothing_in_the_process_that_is_forked_starts_a_thread(tmp_path: Path) -> None:
    """With the modules of every stage; and it imports ours, whatever lies in the folder that the driver is in."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").write_text("raise RuntimeError('not ours')")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, TOLD]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert {"stages.annotate.worker", "stages.evaluate.scores.worker", "stages.crawl.warm", "wave"} <= set(
        found["asked"]
    )
    assert (found["threads"], found["missing"]) == (1, [])


def test_a_command_imports_for_its_stages_from_the_first_with_work_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected, "_expected", [toys.ToyCrawl(), MeasurePose(), Judge()])
    assert modules(MeasurePose())[0] == "stages.measure_pose.worker"
    assert "stages.judge.worker" in modules(MeasurePose()) and toys.__name__ not in modules(MeasurePose())
    assert modules(toys.ToyTold())[:2] == [toys.__name__, "wave"], "a stage that nobody expected comes first"


def test_a_module_that_cannot_be_imported_is_left_to_the_worker_that_needs_it(tmp_path: Path) -> None:
    code = (
        "import pipeline.engine.executors.preload as p, sys; print('wave' in sys.modules, *p.forked.brought_variables)"
    )
    (tmp_path / "breaks.py").write_text("import os; os.environ['SET_BY_IT'] = '1'; raise SystemError('broken')")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    environment[forked.MODULES] = json.dumps(["no_such_module", "breaks", "wave"])
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["True", "SET_BY_IT"]


@pytest.mark.parametrize("moment", ["importing", "working"])
def test_nothing_is_left_of_a_driver_that_was_killed(tmp_path: Path, moment: str) -> None:
    with driver(tmp_path, toys.ToyCrawl(units=("a", "hang"))) as process:
        servers = until(lambda: forkservers(process.pid))
        forks = until(lambda: workers(process.pid)) if moment == "working" else []
        process.kill()
        process.wait()
        until(lambda: not [p for p in (*servers, *forks) if p.is_running() and p.status() != psutil.STATUS_ZOMBIE])


def test_a_driver_ends_after_the_process_that_was_forked(tmp_path: Path) -> None:
    with driver(tmp_path, toys.ToyCrawl(units=("a",), pause_seconds=0.5)) as process:
        (server,) = until(lambda: forkservers(process.pid))
        assert process.wait(60) == 0
        assert not server.is_running()


def test_another_one_begins_where_the_forked_process_was_killed(tmp_path: Path) -> None:
    def drawn() -> Iterator[tuple[int, Unit]]:
        yield 0, Unit("first", {})
        for process in until(lambda: forkservers(os.getpid())):
            process.kill()
        time.sleep(0.5)
        yield from ((n, Unit(f"later-{n}", {})) for n in range(1, 4))

    found = dict(LocalExecutor(Job(toys.ToyCrawl(), Context(tmp_path), 1)).results(drawn()))
    assert [found[index].status for index in (1, 2, 3)] == [OK, OK, OK]
    assert told(tmp_path)["parent"] in {process.pid for process in forkservers(os.getpid())}
