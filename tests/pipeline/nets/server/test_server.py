"""A server and its clients: results as without it, batches of several workers, deaths of either that cost the others nothing."""

import logging
import multiprocessing
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipeline.nets.footage import footage_of
from pipeline.nets.server import client, wire
from pipeline.nets.server.client import open_net
from pipeline.nets.server.held import HeldNet, How
from pipeline.nets.server.keeper import NAME, Keeper
from pipeline.nets.server.process import Order, Server
from pipeline.nets.server.wire import Address, RunLost, ServerGone
from pipeline.nets.session import ModelRefused, open_session
from tests.pipeline.nets.fakes import asset
from tests.pipeline.nets.server import little_nets

SOON = How(threads=1, wait_seconds=0.003, runners=1)
PATIENT = How(
    threads=1, wait_seconds=0.5, runners=1
)  # requests that are sent together meet, however busy the machine is


@contextmanager
def server(how: How = SOON, deaths: int = 12) -> Iterator[Address]:
    keeper = Keeper(how, 1, partial(os.getpid), deaths)
    with keeper as address:
        yield address


def processes() -> list[Any]:
    return [process for process in multiprocessing.active_children() if process.name == NAME]


def until(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
    return found


def rows(count: int, value: float = 1.0) -> np.ndarray:
    return np.full((count, little_nets.WIDTH), value, np.float32)


@pytest.fixture(scope="module")
def doubling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return little_nets.doubles(tmp_path_factory.mktemp("nets") / "doubles.onnx")


def test_a_served_session_says_and_does_what_an_own_one_does(doubling: Path) -> None:
    own = open_session(doubling, threads=1)
    with server() as address:
        served = open_net(doubling, server=address, together=True)
        for ours, theirs in ((served.get_inputs(), own.get_inputs()), (served.get_outputs(), own.get_outputs())):
            assert [(one.name, one.type, one.shape) for one in ours] == [(o.name, o.type, o.shape) for o in theirs]
        assert served.get_providers() == own.get_providers() and footage_of(served) == "theatre"
        for asked in (["y"], ["rows", "y"], None):
            for ours, theirs in zip(served.run(asked, {"x": rows(3)}), own.run(asked, {"x": rows(3)}), strict=True):
                np.testing.assert_array_equal(ours, theirs)
        kept = served.run(["y"], {"x": rows(2, 5)})[0]
        served.run(["y"], {"x": rows(2, 7)})
        assert (kept == 11).all(), "results are the caller's own, not the slot's"
    assert open_net(doubling, threads=1).get_providers() == own.get_providers()


def test_rows_of_several_workers_meet_in_a_batch_and_come_back_to_each(doubling: Path) -> None:
    with server(PATIENT) as address, ThreadPoolExecutor(8) as pool:
        served = open_net(doubling, server=address, together=True)
        barrier = threading.Barrier(8)

        def ask(number: int) -> tuple[np.ndarray, np.ndarray]:
            served.run(None, {"x": rows(1)})  # has a connection from here on
            barrier.wait(60)
            y, seen = served.run(None, {"x": rows(1 + number % 3, number)})
            return y, seen

        found = list(pool.map(ask, range(8)))
    assert [(y == 2 * number + 1).all() for number, (y, _) in enumerate(found)] == [True] * 8
    assert [len(y) for y, _ in found] == [1 + number % 3 for number in range(8)]
    assert max(float(seen.max()) for _, seen in found) > 3, "no batch held rows of more than one"


@pytest.mark.parametrize("bound", [False, True])
def test_batches_are_filled_up_so_that_few_shapes_are_seen(doubling: Path, bound: bool) -> None:
    with server(How(threads=1, padded=True, bound=bound)) as address:
        served = open_net(doubling, server=address, together=True)
        for count, full in ((1, 1), (3, 4), (4, 4), (5, 8), (33, 64), (70, 128)):
            y, seen = served.run(None, {"x": rows(count, count)})
            assert len(y) == count and (y == 2 * count + 1).all() and (seen == full).all()


def test_nets_of_which_rows_belong_together_are_run_as_they_are(doubling: Path, tmp_path: Path) -> None:
    fixed = little_nets.doubles(tmp_path / "fixed.onnx", rows=3)
    with server(How(threads=1, padded=True)) as address:
        for served in (open_net(doubling, server=address), open_net(fixed, server=address, together=True)):
            y, seen = served.run(None, {"x": rows(3)})
            assert len(y) == 3 and (seen == 3).all()


def test_a_bad_request_fails_alone_and_as_it_would_without_a_server(tmp_path: Path) -> None:
    path = little_nets.looks_up(tmp_path / "looks_up.onnx")
    with server(PATIENT) as address, ThreadPoolExecutor(6) as pool:
        served = open_net(path, server=address, together=True)
        barrier = threading.Barrier(6)

        def ask(number: int) -> Any:
            served.run(None, {"x": rows(1)})
            barrier.wait(60)
            try:
                return served.run(["y"], {"x": rows(2, 10_000 if number == 2 else number)})[0]
            except RuntimeError as error:
                return error

        found = list(pool.map(ask, range(6)))
        bad = found.pop(2)
        assert isinstance(bad, RuntimeError) and "Gather" in str(bad)
        assert [float(y.mean()) for y in found] == [1, 3, 7, 9, 11]
        assert float(served.run(["y"], {"x": rows(1, 4)})[0].mean()) == 9
        [process] = processes()
        assert process.is_alive()
        with pytest.raises((ValueError, RuntimeError)):
            served.run(None, {"x": np.array([["no number"] * 4])})
        with pytest.raises(ValueError, match="missing from input feed"):
            served.run(None, {"nothing of that name": rows(1)})
        path.with_name("rubbish.onnx").write_bytes(b"hello, I am no model at all" * 9)
        with pytest.raises(ModelRefused, match="not an ONNX model"):
            open_net(path.with_name("rubbish.onnx"), server=address)
        with pytest.raises(FileNotFoundError):
            open_net(tmp_path / "absent.onnx", server=address)


def test_where_the_memory_is_too_small_batches_become_smaller(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = little_nets.narrow(tmp_path / "narrow.onnx", most=5)
    with server(PATIENT) as address, ThreadPoolExecutor(4) as pool:
        served = open_net(path, server=address, together=True)
        barrier = threading.Barrier(4)

        def ask(number: int) -> list[float]:
            means = []
            for turn in range(4):
                barrier.wait(60)
                y, seen = served.run(None, {"x": rows(2, number + turn)})
                means.append(float(y.mean()))
                assert seen.max() <= 5
            return means

        found = list(pool.map(ask, range(4)))
    assert found == [[2 * (number + turn) + 1 for turn in range(4)] for number in range(4)]
    assert "at most from now on" in capfd.readouterr().err


def test_a_server_that_is_killed_is_started_again_and_nobody_notices(
    doubling: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with server() as address, ThreadPoolExecutor(4) as pool:
        served = open_net(doubling, server=address, together=True)
        stop = threading.Event()

        def ask(number: int) -> int:
            count = 0
            while not stop.is_set() or not count:
                [y] = served.run(["y"], {"x": rows(2, number)})
                assert (y == 2 * number + 1).all()
                count += 1
            return count

        asking = [pool.submit(ask, number) for number in range(4)]
        for _ in range(3):
            [process] = until(processes)
            until(lambda process=process: psutil.Process(process.pid).num_threads() > 3)
            os.kill(process.pid, signal.SIGKILL)
            until(lambda pid=process.pid: [one for one in processes() if one.pid != pid])
        stop.set()
        assert all(future.result(120) for future in asking)
    assert processes() == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert "was ended by SIGKILL" in caplog.text and "does what it had not done" in caplog.text


def test_a_run_that_never_ends_is_one_units_trouble(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = little_nets.loops(tmp_path / "loops.onnx")
    with server(How(threads=1, run_seconds=2.0, runners=2)) as address, ThreadPoolExecutor(2) as pool:
        served = open_net(path, server=address, together=True)
        bad = pool.submit(served.run, ["y"], {"x": rows(1, 1e15)})
        good = [served.run(["y"], {"x": rows(2, number)})[0] for number in range(5)]
        assert [float(y.mean()) for y in good] == [1, 3, 5, 7, 9]
        with pytest.raises(RunLost, match=r"3 servers of nets died while they ran loops\.onnx"):
            bad.result(120)
        assert float(served.run(["y"], {"x": rows(1, 3)})[0].mean()) == 7
    assert caplog.text.count("a run never came to an end") == 3


def test_a_server_that_dies_again_and_again_is_given_up_and_that_is_said(
    doubling: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(SOON, 1, partial(os._exit, 9), deaths=3)
    with keeper as address, pytest.raises(ServerGone, match=r"machine\.net_server=off"):
        open_net(doubling, server=address)
    assert "ended with exit code 9; it ended 3 times" in keeper.given_up and keeper.given_up in caplog.text


def test_a_net_that_ran_before_and_runs_no_more_makes_way_for_another_server(
    doubling: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a GPU after an error of its memory: everything fails from then on, in this process."""
    with Keeper(SOON, 1, partial(_break_once, doubling.with_name("broken"))) as address:
        served = open_net(doubling, server=address, together=True)
        served.run(["y"], {"x": rows(2)})
        doubling.with_name("broken").touch()
        [y] = served.run(["y"], {"x": rows(2, 3)})
    assert (y == 7).all() and "it ran nets before, and no more" in caplog.text


def _break_once(sign: Path) -> None:
    """In the server: runs fail from the moment on at which a file is there, unless it was there at the beginning."""
    ran = HeldNet._ran

    def broken(self: HeldNet, names: list[str], feed: Any) -> Any:
        if sign.exists() and not was_there:
            raise RuntimeError("CUDA failure 700")
        return ran(self, names, feed)

    was_there = sign.exists()
    HeldNet._ran = broken  # type: ignore[method-assign]


def test_a_worker_that_dies_leaves_nothing_behind(doubling: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with server() as address:
        served = open_net(doubling, server=address, together=True)
        served.run(["y"], {"x": rows(1)})
        [process] = processes()
        before = slots_of(process.pid)
        children = [spawn.Process(target=_ask_for_ever, args=(doubling, address)) for _ in range(2)]
        for child in children:
            child.start()
        until(lambda: slots_of(process.pid) == before + 2)
        for child in children:
            child.kill()
            child.join()
        until(lambda: slots_of(process.pid) == before)
        [y] = served.run(["y"], {"x": rows(1, 2)})
        assert (y == 5).all() and processes()[0].pid == process.pid


def slots_of(pid: int) -> int:
    """Slots that a process has mapped."""
    return Path(f"/proc/{pid}/maps").read_text().count("memfd:csg405-nets")


def _ask_for_ever(path: Path, address: Address) -> None:
    served = open_net(path, server=address, together=True)
    while True:
        served.run(["y"], {"x": rows(64)})


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_who_is_interrupted_leaves_no_answer_behind_for_the_next_request(
    doubling: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    with server() as address:
        served = open_net(doubling, server=address)
        with monkeypatch.context() as patch:

            def once(*_: Any) -> Any:
                patch.undo()
                raise error

            patch.setattr(client.wire, "receive", once)
            with pytest.raises(error):
                served.run(["y"], {"x": rows(1, 7.0)})
        for value in (8.0, 9.0):
            assert np.array_equal(
                served.run(["y"], {"x": rows(1, value)})[0], open_session(doubling).run(["y"], {"x": rows(1, value)})[0]
            )


def test_a_server_without_descriptors_left_waits_and_hears_the_next_client() -> None:
    heard = threading.Event()

    class Door:
        """Fails as `accept` does where there are too many files, then says that it was asked again."""

        def accept(self) -> Any:
            if not calls:
                calls.append(1)
                raise OSError(24, "Too many open files")
            heard.set()
            threading.Event().wait()

    calls: list[int] = []
    order = Order(Door(), "token", SOON, 0, partial(os.getpid))  # type: ignore[arg-type]
    threading.Thread(target=Server(order).hear, daemon=True).start()
    assert heard.wait(60)


def test_others_hear_nothing(doubling: Path) -> None:
    with server() as address:
        open_net(doubling, server=address)
        for token, sends in ((secrets.token_hex(32), True), (address.token, False)):
            with wire.connected(address.names[0]) as line:
                line.settimeout(60)
                memory = wire.new_memory()
                wire.send(line, {"token": token}, memory if sends else None)
                os.close(memory)
                with pytest.raises((EOFError, ConnectionError)):
                    wire.receive(line)
        with wire.connected(address.names[0]) as line:
            line.settimeout(60)
            line.send(b"\x80\x04no json")
            with pytest.raises((EOFError, ConnectionError)):
                wire.receive(line)
        with wire.connected(address.names[0]) as line:
            line.settimeout(60)
            line.send(b"[" * 60_000)
            with pytest.raises((EOFError, ConnectionError)):
                wire.receive(line)
        assert open_net(doubling, server=address).run(["y"], {"x": rows(1)})


@pytest.mark.parametrize(
    ("name", "shape"),
    [("pyannote_segmentation_2022", (4, 1, 160_000)), ("mobilefacenet_arcface_112", (1, 3, 112, 112))],
)
def test_other_nets_give_the_same_to_the_bit(name: str, shape: tuple[int, ...]) -> None:
    path = asset(f"models/{name}.onnx")
    own = open_session(path, threads=1)
    feed = {own.get_inputs()[0].name: np.random.default_rng(405).standard_normal(shape).astype(np.float32)}
    with server(How(threads=2)) as address:
        served = open_net(path, server=address).run(None, feed)
    for ours, theirs in zip(served, own.run(None, feed), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_several_servers_share_the_work_of_one_worker(doubling: Path) -> None:
    with Keeper(SOON, 2, partial(os.getpid)) as address:
        assert (open_net(doubling, server=address).run(["y"], {"x": rows(1)})[0] == 3).all()
        lines = client._lines_of(address)
        with lines.one(), lines.one():
            until(lambda: [slots_of(process.pid) for process in processes()] == [1, 1])
    assert processes() == []
