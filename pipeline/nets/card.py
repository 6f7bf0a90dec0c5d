"""The memory of a GPU: how much is free, asked of the driver, and how much of it a session may take.

NVML is asked: it comes with the driver, opens no context on the card, and knows of all processes that are on it.
"""

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

LARGEST_BATCH = 64
_LIBRARY = "libnvidia-ml.so.1"
_GIB = 1 << 30
_NAME_BYTES = 96  # as NVML says
# CUDA's context, the libraries' code and what cuDNN works in, all of which no arena counts.
_BESIDE_BYTES = _GIB
# A limit under which a net may not run at all helps nobody: then the card's own end is the limit.
_LEAST_BYTES = 2 * _GIB
_SHARE = 0.9  # of what is free then: other programs may want some
# A row of YOLOX-l on 640 x 640: maps of 64 x 320 x 320 floats are 26 MB, and about six of that size are alive at a time.
_ROW_BYTES = 160 << 20

log = logging.getLogger(__name__)


class CannotAsk(RuntimeError):
    """Raised where the driver does not say how much memory a GPU has; the message says why."""


@dataclass(frozen=True)
class Room:
    """What there is for a session on a card.

    Attributes:
        arena: bytes of its arena, onnxruntime's `gpu_mem_limit`; None where nobody knows, and there is no limit.
        rows: of a batch.
    """

    arena: int | None = None
    rows: int = LARGEST_BATCH


class _Memory(ctypes.Structure):
    """NVML's nvmlMemory_t, bytes."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


@dataclass
class _CardShare:
    """This process's part of a card, of which a server has all, and workers with nets of their own have fractions."""

    part: float = 1.0


CARD_SHARE = _CardShare()


def room(card: int = 0, nets: int = 2) -> Room:
    """What a session may take now, of this process's share; it is said where the driver cannot be asked.

    Args:
        card: number of the GPU, among those that this process sees.
        nets: that share the room, each with a session of its own.
    """
    try:
        free = free_bytes(card)
    except CannotAsk as error:
        _say(card, str(error))
        return Room()
    arena = int(max(0, _SHARE * free * min(1.0, CARD_SHARE.part) - _BESIDE_BYTES) / max(1, nets))
    rows = max(1, min(LARGEST_BATCH, arena // _ROW_BYTES))
    return Room(max(arena, _LEAST_BYTES), 1 << (rows.bit_length() - 1))


@lru_cache(maxsize=16)
def _say(card: int, why: str) -> None:
    """Once a process and card."""
    log.warning(
        "how much memory GPU %d has free cannot be asked (%s): arenas have no limit, batches become smaller once one fails",
        *(card, why),
    )


def free_bytes(card: int = 0) -> int:
    """Memory of a GPU that no process has taken. Raises CannotAsk."""
    with _opened() as library:
        return min(_free(library, handle) for handle in _handles(library, card))


def name(card: int = 0) -> str:
    """What a GPU is called; the names of all that may be meant, joined with "or"; "unknown" where nobody can be asked."""
    try:
        with _opened() as library:
            return " or ".join(sorted({_name(library, handle) for handle in _handles(library, card)}))
    except CannotAsk:
        return "unknown"


@contextmanager
def _opened() -> Iterator[ctypes.CDLL]:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise CannotAsk(f"{_LIBRARY} is not here: {error}") from error
    _ask(library, "nvmlInit_v2")
    try:
        yield library
    finally:
        library.nvmlShutdown()


def _ask(library: ctypes.CDLL, name: str, *arguments: object) -> None:
    try:
        code = getattr(library, name)(*arguments)
    except AttributeError as error:
        raise CannotAsk(f"this driver has no {name}") from error
    if code:
        raise CannotAsk(f"{name} says {code}")


def _handles(library: ctypes.CDLL, card: int) -> list[ctypes.c_void_p]:
    """The GPUs that CUDA may mean by this number. Raises CannotAsk, too where one is divided and nothing says which part is meant.

    NVML counts in the order of the bus, CUDA by speed unless CUDA_DEVICE_ORDER is PCI_BUS_ID, in CUDA_VISIBLE_DEVICES too: a number
    may mean any GPU then, of which the one with the least memory free is safe.
    """
    count = ctypes.c_uint()
    _ask(library, "nvmlDeviceGetCount_v2", ctypes.byref(count))
    every = [str(number) for number in range(count.value)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = every if visible is None else [one.strip() for one in visible.split(",") if one.strip()]
    if card >= len(seen):
        raise CannotAsk(f"there are {len(seen)} GPUs")
    by_speed = seen[card].isdigit() and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID"
    handles = {one: _handle(library, one) for one in (every if by_speed else [seen[card]])}
    for one, handle in handles.items():
        if not one.startswith("MIG-") and _is_divided(library, handle):
            raise CannotAsk(f"GPU {one} is divided, MIG, and CUDA_VISIBLE_DEVICES does not name a part of it")
    return list(handles.values())


def _is_divided(library: ctypes.CDLL, handle: ctypes.c_void_p) -> bool:
    """Whether a GPU is in MIG mode; of one, or a driver, that knows no such mode it is not."""
    now, later = ctypes.c_uint(), ctypes.c_uint()
    try:
        _ask(library, "nvmlDeviceGetMigMode", handle, ctypes.byref(now), ctypes.byref(later))
    except CannotAsk:
        return False
    return bool(now.value)


def _handle(library: ctypes.CDLL, name: str) -> ctypes.c_void_p:
    handle = ctypes.c_void_p()
    if name.isdigit():
        _ask(library, "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(int(name)), ctypes.byref(handle))
    else:  # GPU-... or MIG-...
        _ask(library, "nvmlDeviceGetHandleByUUID", ctypes.c_char_p(name.encode()), ctypes.byref(handle))
    return handle


def _free(library: ctypes.CDLL, handle: ctypes.c_void_p) -> int:
    memory = _Memory()
    _ask(library, "nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
    return int(memory.free)


def _name(library: ctypes.CDLL, handle: ctypes.c_void_p) -> str:
    text = ctypes.create_string_buffer(_NAME_BYTES)
    _ask(library, "nvmlDeviceGetName", handle, text, ctypes.c_uint(_NAME_BYTES))
    return text.value.decode(errors="replace")
