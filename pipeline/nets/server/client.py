"""A worker's side: what looks like an onnxruntime session, and asks a server to run the net."""

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.nets.server import wire
from pipeline.nets.server.credit import ACCOUNT, Spent
from pipeline.nets.server.wire import LOSSES, Address, Array, Message, RunLost, ServerGone, Slot
from pipeline.nets.session import Device, open_session

_TRIES = 100  # of a request: connections from before a server's death are found broken one by one


class _Died(Exception):
    """The server died while this request waited, or ran."""

    def __init__(self, running: bool) -> None:
        super().__init__(running)
        self.running = running


def open_net(
    path: str | Path, device: Device = "cpu", threads: int = 0, server: Address | None = None, *, together: bool = False
) -> Any:
    """A session of a net that is not trusted: of this process's own, or of a server.

    Args:
        path: of the .onnx file.
        device: "cpu" or "cuda"; of a session of our own.
        threads: CPU threads within an operator, likewise; 0 takes one a core.
        server: whose session it is to be; None for one of our own.
        together: rows, along the first axis of all inputs and outputs, have nothing to do with each other, so that rows of several
            workers may be run in one batch; a net with a fixed number of rows is run for each worker alone all the same.

    Raises:
        ServerGone: no server listens. What `open_session` raises.
    """
    if server is None:
        return open_session(path, device, threads)
    return ServedSession(server, str(Path(path).absolute()), together=together)


@dataclass(frozen=True)
class Value:
    """An input or output, as onnxruntime's NodeArg."""

    name: str
    type: str
    shape: list[int | str | None]


@dataclass(frozen=True)
class Meta:
    """As onnxruntime's ModelMetadata, as far as nets of ours read it."""

    custom_metadata_map: Mapping[str, str]


class ServedSession:
    """The part of `onnxruntime.InferenceSession` that nets use, for a net that a server holds; any thread may call it.

    Attributes:
        served: True: the server fills batches up to the shapes that suit its device.
    """

    served = True

    def __init__(self, server: Address, path: str, *, together: bool) -> None:
        self._lines, self._path = _lines_of(server), path
        about = self._asked({"net": path})
        self._inputs, self._outputs = ([Value(*one) for one in about[key]] for key in ("inputs", "outputs"))
        self._providers, self._meta = list(about["providers"]), Meta(about["meta"])
        fixed = any(not one.shape or isinstance(one.shape[0], int) for one in (*self._inputs, *self._outputs))
        self._together = together and not fixed

    def get_inputs(self) -> list[Value]:
        return self._inputs

    def get_outputs(self) -> list[Value]:
        return self._outputs

    def get_providers(self) -> list[str]:
        return self._providers

    def get_modelmeta(self) -> Meta:
        return self._meta

    def run(self, names: Sequence[str] | None, feed: Mapping[str, Array]) -> list[Array]:
        """As `InferenceSession.run`, of arrays of numbers. Raises ServerGone, RunLost, NoRoom; what the server's session raises."""
        arrays = {name: np.asarray(array) for name, array in feed.items()}
        return list(self._asked({"net": self._path, "names": names, "together": self._together}, arrays)["outputs"])

    def _asked(self, message: Message, feed: Mapping[str, Array] | None = None) -> Message:
        """The answer to a request; where a server dies over it, that of the next one."""
        deaths = 0
        for _ in range(_TRIES):
            with self._lines.one() as line:
                try:
                    return line.asked({**message, "alone": deaths > 0}, feed)
                except _Died as died:
                    deaths += died.running
            if deaths == LOSSES:
                break
        raise RunLost(f"{LOSSES} servers of nets died while they ran {Path(self._path).name}; the run's log says how")


class _Line:
    """A connection to a server, and the slot that both have."""

    def __init__(self, name: str, token: str) -> None:
        try:
            self._socket = wire.connected(name)
        except ConnectionRefusedError as error:
            raise ServerGone(
                "no server of nets listens: it died more often than it is started again; machine.net_server=off does without it"
            ) from error
        self.whole = True
        try:
            self._slot = self._shown(token)
        except BaseException:
            self._socket.close()
            raise

    def _shown(self, token: str) -> Slot:
        """Show the token, and give the server the memory for requests."""
        memory = wire.new_memory()
        try:
            wire.send(self._socket, {"token": token}, memory)
        except OSError:  # it died just now; the first request will find out
            self.whole = False
        return Slot(memory)

    def asked(self, message: Message, feed: Mapping[str, Array] | None) -> Message:
        """The answer, its outputs as arrays of our own. Raises _Died, and what the server's session raises."""
        if feed is not None:
            places, room = self._slot.put(list(feed.values()))
            message = {**message, "feed": list(zip(feed, places, strict=True)), "room": room}
        self.whole = False  # until the answer is here: whoever is interrupted leaves one behind that is nobody's
        try:
            wire.send(self._socket, message)
            answer, _ = wire.receive(self._socket)
        except (EOFError, OSError, json.JSONDecodeError):
            raise _Died(self._slot.running) from None
        self.whole = True
        ACCOUNT.add(Spent(*answer.get("spent", ())))  # of what failed, too
        if "error" in answer:
            raise wire.REFUSALS.get(str(answer["error"]), RuntimeError)(answer["words"])
        if feed is None:
            return answer
        return {"outputs": [np.array(self._slot.view(place)) for place in answer["outputs"]]}

    def close(self) -> None:
        self._socket.close()


class _Lines:
    """The connections of this process to the servers of a job: as many as threads ask at a time."""

    def __init__(self, server: Address) -> None:
        self._server = server
        self._free: list[_Line] = []
        self._count = os.getpid()  # workers begin with different servers
        self._lock = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[_Line]:
        """A connection that no other thread uses meanwhile; each new one goes to the next server. Raises ServerGone."""
        with self._lock:
            line = self._free.pop() if self._free else None
            self._count += line is None
            number = self._count
        if line is None:
            names = self._server.names
            line = _Line(names[number % len(names)], self._server.token)
        try:
            yield line
        finally:
            if line.whole:
                with self._lock:
                    self._free.append(line)
            else:
                line.close()


@lru_cache(maxsize=4)
def _lines_of(server: Address) -> _Lines:
    return _Lines(server)
