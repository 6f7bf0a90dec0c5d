"""Objects on their way between processes and machines: a small pickle, and beside it large buffers, not copied into it."""

import pickle
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

ASIDE_BYTES = 16384  # larger buffers, of Arrow and numpy, go beside the pickle

Parcel = Sequence[Any]  # a pickle, then buffers of bytes


def packed(value: object) -> Parcel:
    """A value in pieces; what it holds must not change until they are sent."""
    buffers: list[pickle.PickleBuffer] = []

    def stays(buffer: pickle.PickleBuffer) -> bool:
        if small := memoryview(buffer).nbytes <= ASIDE_BYTES:
            return small
        buffers.append(buffer)
        return small

    return [pickle.dumps(value, protocol=5, buffer_callback=stays), *buffers]


def unpacked(parcel: Parcel) -> Any:
    """The value, which uses the parcel's own memory. Of processes that we started alone: a pickle may run anything."""
    return pickle.loads(parcel[0], buffers=parcel[1:])  # noqa: S301 - as said


def send(line: Connection, parcel: Parcel) -> None:
    """Send the pieces one after the other. OSError where nobody is there any more."""
    pieces = [pickle.PickleBuffer(piece).raw() for piece in parcel]
    line.send([piece.nbytes for piece in pieces])
    for piece in pieces:
        line.send_bytes(piece)


def receive(line: Connection) -> Parcel:
    """The pieces, in memory that may be written to, as a value's own would be. EOFError, OSError where the other end is gone."""
    pieces = [bytearray(size) for size in line.recv()]
    for piece in pieces:
        line.recv_bytes_into(piece)
    return [pieces[0], *map(pickle.PickleBuffer, pieces[1:])]  # so that sent on they stay beside a pickle
