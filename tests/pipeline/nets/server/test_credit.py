"""What runs cost: overlapping ones share the time, rows of a batch share their run's, and the sum is what was spent."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.nets.server.client import open_net
from pipeline.nets.server.credit import ACCOUNT, Account, Meter, Spent
from pipeline.nets.server.gather import Request
from pipeline.nets.server.held import How
from pipeline.nets.server.process import Order, Server
from pipeline.nets.server.wire import SLOT_BYTES, Slot, new_memory
from tests.pipeline.nets.server import little_nets
from tests.pipeline.nets.server.test_server import rows, server


class Clock:
    """A processor that is twice as busy as the clock on the wall goes."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> Spent:
        return Spent(self.seconds, 2 * self.seconds)


def test_runs_share_the_time_in_which_they_overlap() -> None:
    clock = Clock()
    meter = Meter(clock)
    clock.seconds += 50  # nothing runs
    first = meter.begin()
    clock.seconds += 3
    second = meter.begin()
    clock.seconds += 4
    assert meter.end(first) == Spent(3 + 2, 2 * (3 + 2))
    clock.seconds += 1
    assert meter.end(second) == Spent(2 + 1, 2 * (2 + 1))
    clock.seconds += 9
    assert meter.end(meter.begin()) == Spent()


def test_rows_share_their_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, any_order = Clock(), Order(*5 * [None])  # type: ignore[arg-type]
    one = Server(Order(**{**vars(any_order), "how": How()}))
    one._meter = Meter(clock)

    def run(batch: list[Request[Any, Any]]) -> list[list[np.ndarray]]:
        clock.seconds += 12
        return [[asked.feed["x"]] for asked in batch]

    net = SimpleNamespace(run=run)
    requests: list[Request[Any, Any]] = [Request(net, None, {"x": np.zeros((rows, 3))}, True) for rows in (1, 2, 3)]
    one._run(requests)
    assert [asked.spent.device for asked in requests] == pytest.approx([2, 4, 6])
    assert sum(asked.spent.processor for asked in requests) == pytest.approx(24)
    alone: Request[Any, Any] = Request(net, None, {"x": np.zeros((0, 3))}, False)
    one._run([alone])
    assert alone.spent.device == pytest.approx(12), "whatever its rows mean"
    for feed in ({}, {"x": np.array(1.0)}):
        none: Request[Any, Any] = Request(SimpleNamespace(run=lambda batch: [[]]), None, feed, False)
        one._run([none])
        assert none.done.is_set(), "it has no rows"


def test_an_account_adds_up() -> None:
    account = Account()
    assert not account.open
    account.add(Spent())
    assert account.open and account.spent == Spent()
    account.add(Spent(1, 2))
    account.add(Spent(0.5, 1))
    assert account.spent == Spent(1.5, 3)


def test_a_served_run_is_on_the_account_of_who_asked(tmp_path: Path) -> None:
    net, before = little_nets.doubles(tmp_path / "doubles.onnx"), ACCOUNT.spent
    with server() as address:
        session = open_net(net, server=address, together=True)
        assert ACCOUNT.open and ACCOUNT.spent == before, "to look at a net is free"
        session.run(None, {"x": rows(3)})
    spent = ACCOUNT.spent - before
    assert spent.device > 0 and spent.processor > 0


@pytest.mark.timeout(120)
def test_what_failed_is_on_the_account_too(tmp_path: Path) -> None:
    net = little_nets.doubles(tmp_path / "doubles.onnx")
    with server() as address:
        session = open_net(net, server=address, together=True)
        for feed in ({"x": rows(3)[:, 1:]}, {}, {"x": np.array(1.0, np.float32)}):
            before = ACCOUNT.spent
            with pytest.raises((ValueError, RuntimeError)):
                session.run(None, feed)
            assert (ACCOUNT.spent - before).device > 0
        session.run(None, {"x": rows(3)})


@pytest.mark.timeout(120)
def test_results_without_room_were_paid_for_all_the_same() -> None:
    clock, any_order = Clock(), Order(*5 * [None])  # type: ignore[arg-type]
    one = Server(Order(**{**vars(any_order), "how": How()}))
    one._meter = Meter(clock)

    def run(batch: list[Request[Any, Any]]) -> list[list[np.ndarray]]:
        clock.seconds += 12
        return [[rows(2)]]

    threading.Thread(target=one.work, daemon=True).start()
    slot = Slot(new_memory())
    places, _ = slot.put([rows(2)])
    asked = {"feed": [["x", places[0]]], "names": None, "together": False, "alone": False, "room": SLOT_BYTES}
    answer = one._ran(SimpleNamespace(run=run), asked, slot)  # type: ignore[arg-type]
    assert answer["error"] == "NoRoom" and answer["spent"] == [12, 24]
