"""Reading ahead: decode in one thread while another looks at the pictures."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

_END = object()


@contextmanager
def reading_ahead(items: Iterable[T], depth: int = 16) -> Iterator[Iterator[T]]:
    """Iterate over `items` from a thread of their own, at most `depth` items ahead.

    An error of the source is raised where the consumer would have got the next item. Leaving the block stops the
    thread, at the latest when it has produced one more item.
    """
    waiting: queue.Queue[object] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    error: list[BaseException] = []

    def produce() -> None:
        try:
            for item in items:
                if not _put(waiting, item, stop):
                    return
        except BaseException as raised:  # noqa: BLE001 - handed over to the consumer
            error.append(raised)
        _put(waiting, _END, stop)

    thread = threading.Thread(target=produce, name="reading-ahead", daemon=True)
    thread.start()
    try:
        yield _consume(waiting, error)
    finally:
        stop.set()
        thread.join()


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items in lists of so many, the last one shorter: who looks at many in a row finds its code and tables in the caches."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def _put(waiting: "queue.Queue[object]", item: object, stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            waiting.put(item, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False


def _consume(waiting: "queue.Queue[object]", error: list[BaseException]) -> Iterator[T]:
    while (item := waiting.get()) is not _END:
        yield item  # type: ignore[misc]
    if error:
        raise error[0]
