"""What runs cost: overlapping ones share the time, rows of a batch share their run's, and the sum is what was spent."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.nets.server.client import open_net
from pipeline.nets.server.credit import OURS, Account, Meter, Spent
from pipeline.nets.server.gather import Request
from pipeline.nets.server.held import How
from pipeline.nets.server.process import Order, Server
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


def test_an_account_adds_up() -> None:
    account = Account()
    assert not account.open
    account.add(Spent())
    assert account.open and account.spent == Spent()
    account.add(Spent(1, 2))
    account.add(Spent(0.5, 1))
    assert account.spent == Spent(1.5, 3)


def test_a_served_run_is_on_the_account_of_who_asked(tmp_path: Path) -> None:
    net, before = little_nets.doubles(tmp_path / "doubles.onnx"), OURS.spent
    with server() as address:
        session = open_net(net, server=address, together=True)
        assert OURS.open and OURS.spent == before, "to look at a net is free"
        session.run(None, {"x": rows(3)})
    spent = OURS.spent - before
    assert spent.device > 0 and spent.processor > 0
