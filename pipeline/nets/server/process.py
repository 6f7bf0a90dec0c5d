"""The server's process: a thread for each connection, which waits for requests, and runners, which run them in batches."""

import contextlib
import hmac
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.nets.card import Room, room
from pipeline.nets.server import wire
from pipeline.nets.server.credit import Meter
from pipeline.nets.server.gather import Gather, Request
from pipeline.nets.server.held import HeldNet, How
from pipeline.nets.server.wire import Array, Message, Slot

LATE_EXIT = 124  # a run never ended; as of coreutils' timeout
BROKEN_EXIT = 70  # nothing runs any more, as of EX_SOFTWARE
_LOOK_SECONDS = 0.2
_ADMIT_SECONDS = 10.0  # for a client to show its token

log = logging.getLogger(__name__)
Outcome = list[Array] | Exception
Asked = Request[HeldNet, Outcome]


@dataclass(frozen=True)
class Order:
    """What a server is started with.

    Attributes:
        door: the socket on which it hears clients; it is the keeper's, and outlives a server that dies.
        token: that clients show.
        how: nets are run.
        card: number of the GPU.
        begin: called first, for limits of the process.
    """

    door: socket.socket
    token: str
    how: How
    card: int
    begin: Callable[[], object]


def serve(order: Order) -> None:
    """Serve until the process that started this one is gone, or ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the keeper's business
    order.begin()
    server = Server(order)
    threading.Thread(target=server.hear, daemon=True).start()
    for _ in range(order.how.runners):
        threading.Thread(target=server.work, daemon=True).start()
    keeper = multiprocessing.parent_process()
    while keeper is not None and keeper.is_alive():
        time.sleep(_LOOK_SECONDS)
        if server.longest_run() > order.how.run_seconds:
            os._exit(LATE_EXIT)
    os._exit(0)


class Server:
    """Nets, the requests that wait for them, and the threads' work.

    Args:
        order: of its keeper.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._room = room(order.card, order.how.nets) if order.how.device == "cuda" else Room()
        limit = min(order.how.limit, self._room.rows)
        self._gather: Gather[HeldNet, Outcome] = Gather(limit, order.how.wait_seconds)
        self._nets: dict[str, HeldNet] = {}
        self._opening, self._meter = threading.Lock(), Meter()
        self._since: dict[int, float] = {}  # by runner, when its run began

    def hear(self) -> None:
        """Accept clients for ever, of this user alone; without descriptors or threads left it waits for some."""
        while True:
            try:
                line, _ = self._order.door.accept()
                if not wire.same_user(line):
                    line.close()
                    continue
                threading.Thread(target=self._attend, args=(line,), daemon=True).start()
            except (OSError, RuntimeError) as error:
                log.warning("a client could not be heard: %s", error)
                time.sleep(_LOOK_SECONDS)

    def work(self) -> None:
        """Run batches for ever."""
        while True:
            self._run(self._gather.take())

    def _run(self, batch: Sequence[Asked]) -> None:
        """Run a batch; nothing of it, and of its workers' slots, is kept afterwards."""
        self._since[threading.get_ident()] = time.monotonic()
        for request in batch:
            request.mark(True)
        begun = self._meter.begin()
        outcomes = self._outcomes(batch)
        spent = self._meter.end(begun)
        for request, outcome, part in zip(batch, outcomes, _parts(batch), strict=True):
            request.mark(False)
            request.finish(outcome, spent.share(part))
        self._since.pop(threading.get_ident())
        self._gather.ended(batch)

    def longest_run(self) -> float:
        """Seconds since the longest of the runs under way began."""
        return max((time.monotonic() - began for began in list(self._since.values())), default=0.0)

    def _outcomes(self, batch: Sequence[Asked]) -> Sequence[Outcome]:
        """What came of each request; where a batch fails, each alone, so that none fails for another."""
        try:
            return batch[0].net.run(batch)
        except Exception as error:  # noqa: BLE001 - the client must hear of it, whatever it is
            if len(batch) > 1:
                outcomes = [outcome for request in batch for outcome in self._alone(request)]
                if not any(isinstance(outcome, Exception) for outcome in outcomes):
                    self._lower(sum(request.rows for request in batch), error)
                return outcomes
            if not batch[0].net.works():
                os._exit(BROKEN_EXIT)  # another server will do it
            return [error.with_traceback(None)]  # whose frames hold slots

    def _alone(self, request: Asked) -> Sequence[Outcome]:
        """What came of one request of a batch that failed, with all the time that a run has."""
        self._since[threading.get_ident()] = time.monotonic()
        return self._outcomes([request])

    def _lower(self, rows: int, error: Exception) -> None:
        """Take fewer rows for a batch from now on: so many failed together, and none alone, as where the GPU's memory is small."""
        limit = self._gather.limit = max(1, min(self._gather.limit, rows // 2))
        log.warning("a batch of %d rows failed, and none of its parts: %d at most from now on: %s", rows, limit, error)

    def _attend(self, line: socket.socket) -> None:
        """Answer a client until it is gone, or makes no sense."""
        with line, contextlib.suppress(EOFError, OSError, ValueError):
            line.settimeout(_ADMIT_SECONDS)
            if (slot := self._admitted(line)) is None:
                return
            line.settimeout(None)
            self._gather.joined(1)
            try:
                while True:
                    message, _ = wire.receive(line)
                    _reply(line, self._answer(message, slot))
            finally:
                self._gather.joined(-1)

    def _admitted(self, line: socket.socket) -> Slot | None:
        """The slot of a client that shows the token; None for others, which hear nothing more."""
        message, files = wire.receive(line, 1)
        known = hmac.compare_digest(str(message.get("token")).encode(), self._order.token.encode())
        if not (known and files and wire.sealed(files[0])):
            for file in files:
                os.close(file)
            log.warning("a client without the token, or without memory that stays, was turned away")
            return None
        return Slot(files[0])

    def _answer(self, message: Message, slot: Slot) -> Message:
        try:
            net = self._net(str(message["net"]))
            return self._ran(net, message, slot) if "feed" in message else net.about()
        except Exception as error:  # noqa: BLE001 - as above
            return _refusal(error)

    def _net(self, path: str) -> HeldNet:
        with self._opening:
            if path not in self._nets:
                self._nets[path] = HeldNet(path, self._order.how, self._order.card, self._room.arena)
            return self._nets[path]

    def _ran(self, net: HeldNet, message: Message, slot: Slot) -> Message:
        feed = {str(name): slot.view(place) for name, place in message["feed"]}
        names = tuple(map(str, message["names"])) if message["names"] else None
        counts = {array.shape[:1] for array in feed.values()}  # of rows; () of a single number
        together = bool(message["together"]) and len(counts) == 1 and () not in counts
        alone = bool(message["alone"])
        request: Asked = Request(net, names, feed, together, alone, lambda running: _mark(slot, running))
        self._gather.put(request)
        request.done.wait()
        spent = [request.spent.device, request.spent.processor]
        if isinstance(request.answer, Exception):
            return _refusal(request.answer, spent)
        outputs: Any = request.answer
        try:
            return {"outputs": slot.put(outputs, int(message["room"]))[0], "spent": spent}
        except wire.NoRoom as error:
            return _refusal(error, spent)


def _parts(batch: Sequence[Asked]) -> list[float]:
    """What each request takes of a batch's cost, by its rows; a request alone has all of it, and may have no rows."""
    if len(batch) == 1:
        return [1.0]
    rows = max(1, sum(request.rows for request in batch))
    return [request.rows / rows for request in batch]


def _refusal(error: Exception, spent: Sequence[float] = ()) -> Message:
    """What a client is told of an error, and of what it cost to find."""
    name = next((name for name, kind in wire.REFUSALS.items() if isinstance(error, kind)), "")
    return {"error": name, "words": str(error)[:4000] or type(error).__name__, "spent": list(spent)}


def _reply(line: socket.socket, answer: Message) -> None:
    try:
        wire.send(line, answer)
    except wire.NoRoom as error:
        wire.send(line, _refusal(error, answer.get("spent", ())))


def _mark(slot: Slot, running: bool) -> None:
    slot.running = running
