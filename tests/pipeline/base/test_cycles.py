"""The search for cycles of objects rests for a while, and goes on as it was."""

import gc
import threading

import pytest

from pipeline.base.cycles import gc_paused


def test_the_search_rests_within_and_goes_on_behind() -> None:
    assert gc.isenabled()
    with gc_paused():
        with gc_paused():
            assert not gc.isenabled()
        assert not gc.isenabled(), "the inner block ends, and the outer one goes on"
    assert gc.isenabled()


def test_blocks_of_two_threads_may_end_in_any_order() -> None:
    begun, end = threading.Event(), threading.Event()

    def other() -> None:
        with gc_paused():
            begun.set()
            assert end.wait(60)

    thread = threading.Thread(target=other)
    with gc_paused():
        thread.start()
        assert begun.wait(60)
    assert not gc.isenabled(), "the first block ended, and the other thread's goes on"
    end.set()
    thread.join(60)
    assert gc.isenabled()


def test_the_search_goes_on_after_an_error() -> None:
    with pytest.raises(KeyError), gc_paused():
        raise KeyError
    assert gc.isenabled()


def test_who_does_without_the_search_goes_on_without() -> None:
    gc.disable()
    try:
        with gc_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
