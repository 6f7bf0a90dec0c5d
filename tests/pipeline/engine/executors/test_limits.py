"""What a process may use: memory of its own, and with CUDA what CUDA's libraries take beside it."""

import ctypes
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from pipeline.engine.executors.limits import limit_memory


def limit_of(device: str) -> int:
    """Bytes of a process that says it has this device."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(limit_memory, 2.0, device).result()
        return resource_of(pool)


def resource_of(pool: ProcessPoolExecutor) -> int:
    return int(pool.submit(resource.getrlimit, resource.RLIMIT_DATA).result()[0])


def test_a_process_with_cuda_may_have_what_its_libraries_take() -> None:
    assert (limit_of("cpu"), limit_of("cuda")) == (2 << 30, 10 << 30)


def test_addresses_that_are_only_reserved_are_not_counted() -> None:
    """As CUDA reserves them: far more than the limit; memory that is written is counted."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(limit_memory, 2.0).result()
        assert pool.submit(reserved, 64 << 30).result()
        with pytest.raises(MemoryError):
            pool.submit(np.empty, 3 << 30, np.uint8).result()


def reserved(size: int) -> bool:
    """Whether so many addresses can be reserved without leave to read or write."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    private, anonymous, no_reserve = 0x02, 0x20, 0x4000
    arguments = (None, ctypes.c_size_t(size), 0, private | anonymous | no_reserve, -1, ctypes.c_long(0))
    return bool(libc.mmap(*arguments) != ctypes.c_void_p(-1).value)
