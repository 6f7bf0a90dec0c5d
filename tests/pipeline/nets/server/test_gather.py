"""Which requests are run together, and when."""

import threading

import numpy as np

from pipeline.nets.server.gather import Gather, Request

LONG = 3600.0  # nothing below becomes due by waiting


def request(net: str = "a", rows: int = 4, width: int = 3, *, together: bool = True, alone: bool = False) -> Request:
    return Request(net, None, {"x": np.zeros((rows, width), np.uint8)}, together, alone)


def gather(*requests: Request, limit: int = 16, seconds: float = LONG, lines: int = 99) -> Gather:
    made: Gather = Gather(limit, seconds)
    made.joined(lines)
    for one in requests:
        made.put(one)
    return made


def test_a_full_batch_goes_at_once_and_the_oldest_are_in_it() -> None:
    asked = [request() for _ in range(5)]
    full = gather(*asked)
    assert full.take() == asked[:4]
    full.joined(-98)  # the one that is left is all that can come
    full.ended(asked[:4])
    assert full.take() == asked[4:]


def test_a_batch_that_the_next_request_does_not_fit_into_is_full() -> None:
    asked = [request(rows=10), request(rows=10)]
    assert gather(*asked).take() == asked[:1]


def test_a_request_of_more_rows_than_a_batch_goes_by_itself() -> None:
    asked = [request(rows=40), request()]
    assert gather(*asked).take() == asked[:1]


def test_only_what_is_alike_meets_in_a_batch() -> None:
    a, b = request("a"), request("b")
    other_shape, other_type = request(width=5), request()
    other_type.feed = {"x": np.zeros((4, 3), np.float32)}
    again = request("a")
    taken = gather(a, b, other_shape, other_type, again, seconds=0)
    assert [taken.take() for _ in range(4)] == [[a, again], [b], [other_shape], [other_type]]


def test_nothing_waits_when_nobody_else_can_ask() -> None:
    asked = [request(), request("b")]
    waiting = gather(*asked, lines=2)
    assert waiting.take() == asked[:1]
    assert waiting.take() == asked[1:]  # whose request runs cannot ask either


def test_one_waits_while_others_may_come_and_no_longer() -> None:
    waiting, taken = gather(request(), seconds=0.05), []
    thread = threading.Thread(target=lambda: taken.append(waiting.take()))
    thread.start()
    thread.join(30)
    assert [len(batch) for batch in taken] == [1]

    waiting, taken = gather(request()), []
    thread = threading.Thread(target=lambda: taken.append(waiting.take()), daemon=True)
    thread.start()
    thread.join(0.2)
    assert taken == []
    for _ in range(3):
        waiting.put(request())
    thread.join(30)
    assert [len(batch) for batch in taken] == [4]


def test_what_a_server_died_of_runs_while_nothing_else_does() -> None:
    first, suspect, other = request(), request(alone=True), request()
    waiting, taken = gather(first, seconds=0), []
    assert waiting.take() == [first]
    waiting.put(suspect)
    waiting.put(other)
    thread = threading.Thread(target=lambda: taken.append(waiting.take()), daemon=True)
    thread.start()
    thread.join(0.2)
    assert taken == []  # the first still runs
    waiting.ended([first])
    thread.join(30)
    assert taken == [[suspect]]
    thread = threading.Thread(target=lambda: taken.append(waiting.take()), daemon=True)
    thread.start()
    thread.join(0.2)
    assert taken == [[suspect]]  # and nothing beside the suspect
    waiting.ended([suspect])
    thread.join(30)
    assert taken == [[suspect], [other]]


def test_nets_of_which_rows_belong_together_are_run_as_they_come() -> None:
    asked = [request(together=False), request(together=False)]
    waiting = gather(*asked)
    assert [waiting.take(), waiting.take()] == [asked[:1], asked[1:]]
