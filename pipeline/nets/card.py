"""The memory of a GPU: how much is free, asked of the driver, and how much of it a session may take.

NVML is asked: it comes with the driver, opens no context on the card, and knows of all processes that are on it.
"""

import ctypes
import logging
import os
from dataclasses import dataclass
from functools import lru_cache

LARGEST_BATCH = 64
_LIBRARY = "libnvidia-ml.so.1"
_GIB = 1 << 30
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
class _Ours:
    """This process's share of a card, of which a server has all, and workers with nets of their own have parts."""

    share: float = 1.0


OURS = _Ours()


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
    arena = int(max(0, _SHARE * free * min(1.0, OURS.share) - _BESIDE_BYTES) / max(1, nets))
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
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise CannotAsk(f"{_LIBRARY} is not here: {error}") from error
    _ask(library, "nvmlInit_v2")
    try:
        return min(_free(library, handle) for handle in _handles(library, card))
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
    """The GPUs that CUDA may mean by this number.

    NVML counts in the order of the bus, CUDA by speed unless CUDA_DEVICE_ORDER is PCI_BUS_ID: where that may matter, all that this
    process sees are returned, of which the one with the least memory free is safe.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        count = ctypes.c_uint()
        _ask(library, "nvmlDeviceGetCount_v2", ctypes.byref(count))
        names = [str(number) for number in range(count.value)]
    else:
        names = [name.strip() for name in visible.split(",") if name.strip()]
    if card >= len(names):
        raise CannotAsk(f"there are {len(names)} GPUs")
    by_number = all(name.isdigit() for name in names)
    if not by_number or os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        names = [names[card]]
    return [_handle(library, name) for name in names]


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
