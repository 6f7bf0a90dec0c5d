"""How much of a GPU's memory a session may take: asked of the driver, here of one that says what a test tells it."""

import ctypes
import logging
from typing import Any

import pytest

from pipeline.nets import card, session
from pipeline.nets.card import CannotAsk, Room, free_bytes, room
from pipeline.nets.server.held import How
from pipeline.nets.server.process import Order, Server

GIB = 1 << 30


class Driver:
    """NVML for GPUs with so many bytes free, by their number on the bus."""

    def __init__(self, *free: int, code: int = 0, divided: tuple[int, ...] = ()) -> None:
        self.free, self.code, self.open, self.divided = free, code, 0, divided

    def nvmlInit_v2(self) -> int:  # noqa: N802 - NVML's names
        self.open += 1
        return self.code

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.open -= 1
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.free)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:  # noqa: N802
        handle._obj.value = 1 + index.value
        return 0 if index.value < len(self.free) else 2

    def nvmlDeviceGetHandleByUUID(self, name: Any, handle: Any) -> int:  # noqa: N802
        handle._obj.value = 1 + int(name.value.rpartition(b"-")[2])
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:  # noqa: N802
        memory._obj.free = self.free[handle.value - 1]
        return 0

    def nvmlDeviceGetName(self, handle: Any, text: Any, size: Any) -> int:  # noqa: N802
        text.value = f"Card of {self.free[handle.value - 1]}".encode()
        return 0

    def nvmlDeviceGetMigMode(self, handle: Any, now: Any, later: Any) -> int:  # noqa: N802
        now._obj.value = handle.value - 1 in self.divided
        return 0 if self.divided else 3


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.setattr(card.CARD_SHARE, "part", 1.0)
    card._say.cache_clear()


def with_driver(monkeypatch: pytest.MonkeyPatch, driver: Any) -> None:
    def opened(name: str) -> Any:
        assert name == "libnvidia-ml.so.1"
        if driver is None:
            raise OSError("cannot open shared object file")
        return driver

    monkeypatch.setattr(ctypes, "CDLL", opened)


@pytest.mark.parametrize(
    ("visible", "order", "asked", "free"),
    [
        (None, "PCI_BUS_ID", 1, 20),
        (None, "", 1, 10),  # CUDA may count them another way
        ("2,1", "PCI_BUS_ID", 0, 30),
        ("2,1", "", 0, 10),  # whose numbers they are, its own or the bus's, is not known either
        ("1", "FASTEST_FIRST", 0, 10),
        ("GPU-0000-2, GPU-0000-0", "", 0, 30),
        ("MIG-0000-1", "", 0, 20),
    ],
)
def test_the_card_that_cuda_means_is_asked(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, order: str, asked: int, free: int
) -> None:
    driver = Driver(10, 20, 30)
    with_driver(monkeypatch, driver)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", order)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert free_bytes(asked) == free
    assert driver.open == 0, "what was opened is closed"


@pytest.mark.parametrize(
    ("driver", "asked", "why"),
    [
        (None, 0, "libnvidia-ml.so.1 is not here"),
        (Driver(10, code=9), 0, "nvmlInit_v2 says 9"),
        (Driver(10), 1, "there are 1 GPUs"),
        (object(), 0, "this driver has no nvmlInit_v2"),
        (Driver(10, 20, divided=(1,)), 0, "GPU 1 is divided, MIG, and CUDA_VISIBLE_DEVICES does not name a part of it"),
    ],
)
def test_where_it_cannot_be_asked_it_is_said_once_and_nothing_is_limited(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, driver: Any, asked: int, why: str
) -> None:
    with_driver(monkeypatch, driver)
    with pytest.raises(CannotAsk, match=why):
        free_bytes(asked)
    with caplog.at_level(logging.WARNING):
        assert room(asked) == room(asked) == Room(None, 64)
    [record] = caplog.records
    assert why in record.getMessage() and f"GPU {asked}" in record.getMessage()


@pytest.mark.parametrize(
    ("free", "share", "nets", "arena", "rows"),
    [
        (140, 1.0, 2, (0.9 * 140 - 1) / 2, 64),
        (140, 1 / 16, 2, (0.9 * 140 / 16 - 1) / 2, 16),  # 3.4 GiB, of which a row takes 160 MiB
        (8, 1.0, 2, 3.1, 16),
        (8, 1.0, 1, 6.2, 32),
        (8, 0.25, 2, 2.0, 2),
        (0.5, 1.0, 2, 2.0, 1),  # somebody else has it all: whether it is enough the card will tell
    ],
)
def test_room_for_a_session(
    monkeypatch: pytest.MonkeyPatch, free: float, share: float, nets: int, arena: float, rows: int
) -> None:
    with_driver(monkeypatch, Driver(int(free * GIB)))
    monkeypatch.setattr(card.CARD_SHARE, "part", share)
    found = room(0, nets)
    assert found.arena == pytest.approx(arena * GIB, abs=8) and found.rows == rows


def test_a_part_of_a_divided_card_is_asked_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, Driver(10, 20, divided=(0, 1)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-0000-1")
    assert free_bytes() == 20
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-0000-1")
    with pytest.raises(CannotAsk, match="GPU GPU-0000-1 is divided"):
        free_bytes()


def test_what_a_card_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, Driver(10, 20))
    assert card.name(1) == "Card of 10 or Card of 20", "as CUDA may count"
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert card.name(1) == "Card of 20" and card.name(2) == "unknown"
    with_driver(monkeypatch, None)
    assert card.name() == "unknown"


def test_options_of_the_provider_have_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, Driver(40 * GIB, 40 * GIB))
    monkeypatch.setattr(card.CARD_SHARE, "part", 0.5)
    assert session._of_card(1, None) == {
        "device_id": "1",
        "gpu_mem_limit": "9126805504",
    }  # (0.9 x 40 / 2 - 1) / 2 = 8.5 GiB
    monkeypatch.setattr(card.CARD_SHARE, "part", 1.0)
    assert session._of_card(1, None) == {
        "device_id": "1",
        "gpu_mem_limit": "18790481920",
    }  # (0.9 x 40 - 1) / 2 = 17.5 GiB
    assert session._of_card(0, 123) == {"device_id": "0", "gpu_mem_limit": "123"}
    with_driver(monkeypatch, None)
    assert session._of_card(0, None) == {"device_id": "0"}


@pytest.mark.parametrize(
    ("device", "free", "rows"), [("cuda", 140, 64), ("cuda", 8, 16), ("cuda", None, 64), ("cpu", 1, 64)]
)
def test_a_server_takes_batches_that_fit(
    monkeypatch: pytest.MonkeyPatch, device: Any, free: int | None, rows: int
) -> None:
    with_driver(monkeypatch, None if free is None else Driver(free * GIB))
    order: Any = Order(None, "", How.on(device, 1, 60.0, 2), 0, lambda: None)  # type: ignore[arg-type]
    server = Server(order)
    assert server._gather.limit == rows
    assert (server._room.arena is None) == (device == "cpu" or free is None)
