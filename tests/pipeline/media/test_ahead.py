"""Reading ahead: order, errors and an end that never hangs."""

import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.media.ahead import batches, reading_ahead


def test_items_come_in_order_from_another_thread() -> None:
    threads: set[str] = set()

    def items() -> Iterator[int]:
        for n in range(100):
            threads.add(threading.current_thread().name)
            yield n

    with reading_ahead(items(), depth=3) as ahead:
        assert list(ahead) == list(range(100))
    assert threads == {"reading-ahead"}


def test_it_reads_no_further_ahead_than_it_may() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for n in range(100):
            made.append(n)
            yield n

    with reading_ahead(items(), depth=4) as ahead:
        assert next(ahead) == 0
        time.sleep(0.2)
        assert len(made) <= 6
    assert len(made) <= 7  # and stops when nobody listens any more


def test_an_error_comes_where_the_next_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("broken")

    with reading_ahead(items()) as ahead:
        assert next(ahead) == 1
        with pytest.raises(LookupError, match="broken"):
            next(ahead)


def test_an_error_of_the_consumer_ends_the_thread() -> None:
    with pytest.raises(ValueError, match="mine"), reading_ahead(iter(range(1000)), depth=1):
        raise ValueError("mine")
    assert not [thread for thread in threading.enumerate() if thread.name == "reading-ahead"]


def test_batches_hold_all_items_in_order() -> None:
    assert list(batches(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches([], 3)) == []
