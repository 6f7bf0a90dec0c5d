"""Workers with a server of nets: whatever a worker, the server or the driver does, units end as they would without."""

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.base.errors import StageError
from pipeline.cli.faults import INTERRUPTED
from pipeline.engine import devices
from pipeline.engine.executors import net_server
from pipeline.engine.executors.executor import Job, Result
from pipeline.engine.executors.local import LocalExecutor
from pipeline.engine.executors.net_server import wanted
from pipeline.engine.executors.on_ray import _orders
from pipeline.engine.executors.worker import Worker
from pipeline.engine.profile import Machine, ProfileError, load
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.nets.server.credit import ACCOUNT
from pipeline.nets.server.held import How
from pipeline.nets.server.keeper import NAME, Keeper
from pipeline.tables.arrow import packed_schema
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import FAILED, OK
from pipeline.tables.store import Store
from tests.pipeline.engine import drivers, toys
from tests.pipeline.nets.server import little_nets

ON = Machine(net_server="on")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(little_nets.loops(tmp_path_factory.mktemp("nets") / "loops.onnx"))


def job(run: Path, net: str, machine: Machine = ON, stage: type[toys.ToyServed] = toys.ToyServed, **more: Any) -> Job:
    return Job(stage(net=net, **more), Context(run), 2, machine=machine)


def results(of: Job, *names: str) -> Iterator[tuple[str, Result]]:
    units = enumerate(Unit(name, {}) for name in names)
    return ((names[index], result) for index, result in LocalExecutor(of).results(units))


def row(result: Result) -> dict[str, Any]:
    [found] = result.table(packed_schema(KINDS["videos"])).to_pylist()
    return {key: value for key, value in found.items() if key in ("width", "height", "title")}


def servers() -> list[Any]:
    return [process for process in multiprocessing.active_children() if process.name == NAME]


def test_units_end_alike_with_a_server_and_without(tmp_path: Path, net: str) -> None:
    names = [f"ask-{number}" for number in range(12)]
    with_it, without = (
        {name: row(result) for name, result in results(job(tmp_path, net, Machine(net_server=how)), *names)}
        for how in ("on", "off")
    )
    titles = [{found.pop("title") for found in run.values()} for run in (with_it, without)]
    assert titles == [{"ServedSession 0.5"}, {"InferenceSession 1"}]
    assert with_it == without and with_it["ask-7"] == {"width": 15, "height": 2}
    assert servers() == []


def test_time_of_a_server_is_that_of_the_units_that_asked(tmp_path: Path, net: str) -> None:
    """Workers' wall time would count a card once for each of them."""
    stage = toys.ToyServedOnGpu(net=net, pause_seconds=0.2)
    with Keeper(How(threads=1), 1, partial(os.getpid)) as address:
        context = Context(tmp_path, "cuda", net_server=address, gpu_share=0.25)
        worker, before = Worker(stage, context), ACCOUNT.spent
        units = [worker.run(Unit(f"ask-{number}", {})) for number in range(3)]
        spent = ACCOUNT.spent - before
    assert [result.status for result in units] == [OK] * 3
    assert sum(result.gpu_seconds for result in units) == pytest.approx(spent.device)
    assert all(0 < result.gpu_seconds < result.wall_seconds - 0.2 for result in units)
    alone = Worker(stage, Context(tmp_path, "cuda", gpu_share=0.25)).run(Unit("ask-3", {}))
    assert alone.gpu_seconds == pytest.approx(0.25 * alone.wall_seconds), "a net of its own, whatever was asked before"


def test_every_way_to_go_wrong_leaves_the_others_alone(tmp_path: Path, net: str) -> None:
    """A worker that dies, one out of memory, and a run that never ends, for which the server is ended."""
    names = ("ask-1", "die-1", "ask-2", "endless-1", "eat-1", "ask-3", "ask-4", "die-2", "ask-5")
    found = dict(results(job(tmp_path, net), *names))
    assert {name: (result.status, result.reason) for name, result in found.items()} == {
        **{name: (OK, "") for name in names if name.startswith("ask")},
        **dict.fromkeys(("die-1", "die-2", "endless-1"), (FAILED, "crashed")),
        "eat-1": (FAILED, "out_of_memory"),
    }
    assert "3 servers of nets died while they ran loops.onnx" in found["endless-1"].detail
    assert [row(found[f"ask-{number}"])["width"] for number in range(1, 6)] == [3, 5, 7, 9, 11]


def test_a_unit_has_its_time_and_no_more(tmp_path: Path, net: str) -> None:
    found = dict(results(job(tmp_path, net, stage=toys.ToyServedShort), "ask-1", "hang-1", "ask-2"))
    assert {name: result.reason for name, result in found.items()} == {"ask-1": "", "hang-1": "timed_out", "ask-2": ""}


def test_a_server_that_dies_costs_no_unit(tmp_path: Path, net: str) -> None:
    names, killed, found = [f"ask-{number}" for number in range(30)], [], {}
    for name, result in results(job(tmp_path, net, pause_seconds=0.1), *names):
        found[name] = result
        if len(found) in (3, 15):
            [server] = drivers.until(servers)
            os.kill(server.pid, signal.SIGKILL)
            killed.append(server.pid)
    assert len(set(killed)) == 2
    assert [row(found[f"ask-{number}"])["width"] for number in range(30)] == [2 * n + 1 for n in range(30)]


def test_a_server_that_may_not_start_again_stops_the_stage_with_the_reason(
    tmp_path: Path, net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(net_server, "Keeper", partial(Keeper, deaths=1))
    for _, result in results(job(tmp_path, net, pause_seconds=0.1), *(f"ask-{number}" for number in range(50))):
        if result.broken:
            break
        for server in servers():
            os.kill(server.pid, signal.SIGKILL)
    assert "machine.net_server=off does without it (the server of nets was ended by SIGKILL" in result.detail


@pytest.mark.slow
def test_a_killed_driver_leaves_nothing_and_the_same_command_goes_on(
    tmp_path: Path, net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_NET_SERVER", "on")
    monkeypatch.setenv("TOY_COMMIT_SECONDS", "0.2")
    stage = toys.ToyServed(net=net, units=tuple(f"ask-{number}" for number in range(40)), pause_seconds=0.2)
    for how in (signal.SIGKILL, signal.SIGINT):
        with drivers.driver(tmp_path, stage) as process:
            before = len(done(tmp_path))
            drivers.until(lambda before=before: len(done(tmp_path)) > before)
            family = psutil.Process(process.pid).children(recursive=True)
            slots = [one for one in family if "memfd:csg405-nets" in maps(one)]
            assert len(slots) >= 3, "two workers and the server have slots"
            if how == signal.SIGKILL:
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGINT)
                assert process.wait(60) == INTERRUPTED
            drivers.until(lambda slots=slots: not any(alive(one) for one in slots))
    assert not list(Path("/dev/shm").glob("*csg405*"))
    with drivers.driver(tmp_path, stage.model_copy(update={"pause_seconds": 0.0})) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    rows = Store(tmp_path).table("videos").rows(["source", "width"]).to_pylist()
    assert {one["source"]: one["width"] for one in rows} == {f"ask-{n}": 2 * n + 1 for n in range(40)}


def done(run: Path) -> list[str]:
    """Units with an outcome."""
    if not (run / "tables" / "videos").is_dir():
        return []
    return [str(unit) for unit in Store(run).table("videos").winners()["unit"].to_pylist()]


def maps(process: psutil.Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/maps").read_text()
    except OSError:
        return ""


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("how", "device", "workers", "gpus", "answer"),
    [
        ("auto", "cpu", 16, 0, False),
        ("auto", "cuda", 1, 1, False),
        ("auto", "cuda", 2, 1, True),
        ("auto", "cuda", 2, 2, False),
        ("auto", "cuda", 16, 2, True),
        ("off", "cuda", 16, 1, False),
        ("on", "cpu", 1, 0, True),
        ("on", "cuda", 1, 1, True),
        ("on", "cpu", 0, 0, False),  # in the driver itself, for a debugger
    ],
)
def test_where_there_is_a_server(
    monkeypatch: pytest.MonkeyPatch, how: str, device: str, workers: int, gpus: int, answer: bool
) -> None:
    monkeypatch.setattr(net_server, "cards", lambda: gpus)
    of = Job(toys.ToyServed(), Context(Path(), device), workers, machine=Machine(net_server=how))
    assert wanted(of) is answer
    assert not wanted(Job(toys.ToyCrawl(), Context(Path(), device), workers, machine=Machine(net_server=how)))


def test_other_systems_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not wanted(Job(toys.ToyServed(), Context(Path(), "cuda"), 4))
    with pytest.raises(StageError, match="darwin has no such server"):
        wanted(Job(toys.ToyServed(), Context(Path()), 4, machine=ON))


def test_nodes_of_a_cluster_are_told_of_no_server(tmp_path: Path) -> None:
    orders = _orders(
        Job(toys.ToyServed(), Context(tmp_path), 4, machine=Machine(executor="ray", net_server="on")), {"CPU": 1.0}
    )
    assert pickle.loads(orders.job)[1].net_server is None


@pytest.mark.parametrize(
    ("named", "count"), [(None, 3), ("0,2", 2), ("", 0), ("-1", 0), ("1,-1,0", 1), ("0,1,2,3,4", 3), ("MIG-a,MIG-b", 2)]
)
def test_gpus_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str | None, count: int) -> None:
    for number in range(3):
        (tmp_path / f"0000:0{number}:00.0").mkdir()
    monkeypatch.setattr(devices, "_GPUS", tmp_path)
    monkeypatch.setattr(devices, "_NODES", tmp_path / "none")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert devices.cards() == count


def test_of_gpus_that_a_container_was_not_given_none_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    for number in range(8):
        (tmp_path / "proc" / f"0000:0{number}:00.0").mkdir(parents=True)
    monkeypatch.setattr(devices, "_GPUS", tmp_path / "proc")
    monkeypatch.setattr(devices, "_NODES", tmp_path / "dev")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.cards() == 1


def test_the_setting_is_one_of_three() -> None:
    assert load("folder").machine.net_server == "auto"
    assert load("folder", ["machine.net_server=on"]).machine.net_server == "on"
    with pytest.raises(ProfileError, match=r"machine\.net_server=maybe"):
        load("folder", ["machine.net_server=maybe"])
