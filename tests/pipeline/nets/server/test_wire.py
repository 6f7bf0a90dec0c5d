"""What a server and its clients share: memory in which numbers lie, and a door that opens to this user's processes alone."""

import os
import secrets
import socket
from pathlib import Path

import numpy as np
import pytest

from pipeline.nets.server import wire
from pipeline.nets.server.wire import NoRoom, Slot


def test_arrays_lie_one_after_the_other_in_memory_that_both_ends_see() -> None:
    memory = wire.new_memory()
    theirs, ours = Slot(os.dup(memory)), Slot(memory)
    arrays = [np.arange(7, dtype=np.uint8), np.full((2, 3), 1.5, np.float32), np.zeros((0, 4), np.int64)]
    places, room = ours.put(arrays)
    for array, place in zip(arrays, places, strict=True):
        np.testing.assert_array_equal(theirs.view(place), array)
    assert room >= 64 + 7 + 24 and room % 64 == 0
    assert not theirs.running
    theirs.running = True
    assert ours.running


@pytest.mark.parametrize(
    "place",
    [
        ("|O", [1], 64),  # bytes of another process as addresses
        ("|S8", [1], 64),
        ("|V8", [1], 64),
        ("<f4", [-1], 64),
        ("<f4", [4], 0),  # the head
        ("<f4", [4], -64),
        ("<f4", [1 << 30], 64),
        ("<f4", [4], wire.SLOT_BYTES),
        ("no type", [1], 64),
    ],
)
def test_no_place_but_one_of_numbers_in_the_slot_is_looked_at(place: wire.Place) -> None:
    slot = Slot(wire.new_memory())
    with pytest.raises((ValueError, TypeError)):
        slot.view(place)


def test_what_does_not_fit_is_said() -> None:
    slot = Slot(wire.new_memory())
    with pytest.raises(NoRoom, match="1024 MiB"):
        slot.put([np.zeros(8, np.float32)], wire.SLOT_BYTES - 16)


def test_memory_that_could_be_pulled_away_is_known() -> None:
    good = wire.new_memory()
    assert wire.sealed(good)
    with pytest.raises(OSError, match=r"\[Errno"):
        os.ftruncate(good, 0)
    loose = os.memfd_create("loose", os.MFD_ALLOW_SEALING)
    os.ftruncate(loose, wire.SLOT_BYTES)
    read, write = os.pipe()
    assert not wire.sealed(loose) and not wire.sealed(read)
    for file in (good, loose, read, write):
        os.close(file)


def test_messages_arrive_whole_with_their_descriptor_and_an_end_is_an_end() -> None:
    name = f"csg405-test-{secrets.token_hex(8)}"
    with wire.listening(name) as door, wire.connected(name) as ours:
        theirs, _ = door.accept()
        assert wire.same_user(theirs)
        memory = wire.new_memory()
        wire.send(ours, {"a": ["b", 1]}, memory)
        wire.send(ours, {"second": True})
        os.close(memory)
        message, [file] = wire.receive(theirs, 1)
        assert message == {"a": ["b", 1]} and wire.sealed(file)
        os.close(file)
        assert wire.receive(theirs) == ({"second": True}, [])
        with pytest.raises(NoRoom, match="bytes"):
            wire.send(ours, {"long": "x" * (1 << 17)})
        theirs.close()
        with pytest.raises((EOFError, ConnectionError)):
            wire.receive(ours)
    with pytest.raises(ConnectionRefusedError):
        wire.connected(name)
    assert not list(Path("/dev/shm").glob("*csg405*"))


def test_nobody_finds_it_in_a_file_system() -> None:
    name = f"csg405-test-{secrets.token_hex(8)}"
    with wire.listening(name) as door:
        assert door.getsockname() == f"\0{name}".encode()
        assert door.family == socket.AF_UNIX
