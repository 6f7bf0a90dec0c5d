"""What a server and its clients say to each other: short messages of JSON, and beside them a slot of memory that both have mapped.

Each slot has a connection of its own and holds one request at a time. It is an unnamed file in memory (memfd), which is gone with
the last process that has it, however that ends: nothing lies in /dev/shm, and that folder's size does not matter. Nothing is
unpickled.
"""

import fcntl
import json
import mmap
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.errors import UserError
from pipeline.nets.session import DeviceMissing, ModelRefused

Array = NDArray[Any]
Message = dict[str, Any]
Place = tuple[str, Sequence[int], int]
"""Of an array in a slot: its type as numpy writes it, its shape, and where it begins, bytes."""

LOSSES = 3  # servers that a request may take down with it before it counts as the reason
SLOT_BYTES = 1 << 30  # of addresses: memory is taken by what is written, and a batch of large crops is some 20 MB
_HEAD = _ALIGN = 64  # bytes: the first one says whether the request is being run
_MESSAGE_BYTES = 1 << 16
_PLAIN = "biuf"  # kinds of numpy's types whose bytes are numbers, never addresses
_PEER = struct.Struct("3i")  # pid, uid, gid


class ServerGone(UserError, RuntimeError):
    """Raised where no server listens any more: it died more often than it may be started again."""


class RunLost(UserError, RuntimeError):
    """Raised for a request at which `LOSSES` servers in a row died, the last ones while it ran alone."""


class NoRoom(UserError, ValueError):
    """Raised where a request, or its results, do not fit into a slot."""


REFUSALS: dict[str, type[Exception]] = {
    one.__name__: one for one in (ModelRefused, DeviceMissing, FileNotFoundError, NoRoom, ValueError, MemoryError)
}
"""Errors that a client raises as the server raised them; others are a RuntimeError there."""


@dataclass(frozen=True)
class Address:
    """Where the servers of a job listen.

    Attributes:
        names: of their sockets, one a GPU: Linux's abstract names, which are no files.
        token: what a client shows first.
    """

    names: tuple[str, ...]
    token: str


class Slot:
    """Memory for one request at a time and its results.

    Args:
        file: descriptor of the memory, which is closed; it can grow, but not shrink under the other process's feet.
    """

    def __init__(self, file: int) -> None:
        try:
            self._map = mmap.mmap(file, SLOT_BYTES)
        finally:
            os.close(file)

    @property
    def running(self) -> bool:
        """Whether the server is running the request, or was when it ended."""
        return bool(self._map[0])

    @running.setter
    def running(self, value: bool) -> None:
        self._map[0] = value

    def view(self, place: Place) -> Array:
        """The array in this place, not copied. Raises ValueError for a place that is none."""
        kind, shape, start = place
        dtype = np.dtype(str(kind))
        if dtype.kind not in _PLAIN or start < _HEAD or min(shape, default=0) < 0:
            raise ValueError(f"no place for numbers: {place!r}")
        return np.ndarray(tuple(shape), dtype, self._map, start)

    def put(self, arrays: Sequence[Array], start: int = _HEAD) -> tuple[list[Place], int]:
        """Copy arrays into the slot from a byte on; returns their places, and where the next one may begin. Raises NoRoom."""
        places: list[Place] = []
        for array in arrays:
            end = start + array.nbytes
            if end > SLOT_BYTES:
                raise NoRoom(f"a request of more than {SLOT_BYTES >> 20} MiB with its results: lower the batch")
            places.append((array.dtype.str, array.shape, start))
            np.copyto(self.view(places[-1]), array)
            start = -(-end // _ALIGN) * _ALIGN
        return places, start


def new_memory() -> int:
    """A descriptor of memory for a slot, which nobody can make smaller."""
    file = os.memfd_create("csg405-nets", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(file, SLOT_BYTES)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return file


def sealed(file: int) -> bool:
    """Whether a descriptor that came from outside is memory for a slot: else its sender could pull it away while it is read."""
    try:
        seals = fcntl.fcntl(file, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return bool(seals & fcntl.F_SEAL_SHRINK) and os.fstat(file).st_size == SLOT_BYTES


def listening(name: str) -> socket.socket:
    """A socket that listens under an abstract name."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.bind(f"\0{name}")
    door.listen(1024)
    return door


def connected(name: str) -> socket.socket:
    """A connection to whoever listens under this name; OSError where nobody does."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        line.connect(f"\0{name}")
    except OSError:
        line.close()
        raise
    return line


def same_user(line: socket.socket) -> bool:
    """Whether the other end of a connection is a process of this user."""
    sent = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return bool(_PEER.unpack(sent)[1] == os.getuid())


def send(line: socket.socket, message: Mapping[str, Any], file: int | None = None) -> None:
    """Send a message, and with it a descriptor. OSError where nobody is there any more; NoRoom for one that is too long."""
    data = json.dumps(message).encode()
    if len(data) > _MESSAGE_BYTES:
        raise NoRoom(f"a message of {len(data)} bytes: too many inputs or outputs")
    socket.send_fds(line, [data], [] if file is None else [file])


def receive(line: socket.socket, descriptors: int = 0) -> tuple[Message, list[int]]:
    """The next message, and as many descriptors of those that came with it. EOFError, OSError where nobody is there any more;
    json.JSONDecodeError for what is none.
    """
    data, files, _, _ = socket.recv_fds(line, _MESSAGE_BYTES, descriptors)
    try:
        if not data:
            raise EOFError
        message = json.loads(data)
    except BaseException as error:
        for file in files:
            os.close(file)
        if isinstance(error, RecursionError):
            raise json.JSONDecodeError("nested too deeply", "", 0) from None
        raise
    return message if isinstance(message, dict) else {}, list(files)
