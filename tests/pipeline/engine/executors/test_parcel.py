"""Parcels: what large arrays and rows are when they come out of a pipe, and that nothing of them is copied into a pickle."""

from multiprocessing import Pipe
from threading import Thread

import numpy as np
import pyarrow as pa
import pytest

from pipeline.engine.executors.executor import Result
from pipeline.engine.executors.parcel import ASIDE_BYTES, packed, receive, send, unpacked
from pipeline.engine.unit import Unit
from pipeline.tables.outcome import OK


def through_a_pipe(value: object) -> object:
    here, there = Pipe()
    sender = Thread(target=send, args=(here, packed(value)))
    sender.start()
    found = unpacked(receive(there))
    sender.join()
    return found


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_out_as_they_were_and_may_be_written_to(order: str) -> None:
    rows = [{"keypoints": np.asarray(np.random.default_rng(1).normal(size=(250, 266)), order=order), "frames": 250}]  # type: ignore[call-overload]
    found = through_a_pipe(Unit("a", {"persons": rows}))
    assert isinstance(found, Unit)
    (row,) = found.rows("persons")
    np.testing.assert_array_equal(row["keypoints"], rows[0]["keypoints"])
    row["keypoints"][0, 0] = 1.0


def test_rows_go_beside_the_pickle_where_they_are_many() -> None:
    few, many = (Result(OK, rows=pa.py_buffer(b"x" * size)) for size in (ASIDE_BYTES, 5_000_000))
    assert len(packed(few)) == 1 and [len(piece) < 1000 for piece in packed(many)[:1]] == [True]
    for result in (few, many):
        found = through_a_pipe(result)
        assert isinstance(found, Result) and pa.py_buffer(found.rows).equals(result.rows)


def test_a_pipe_without_another_end_is_an_error() -> None:
    here, there = Pipe()
    here.close()
    with pytest.raises(EOFError):
        receive(there)
    with pytest.raises(BrokenPipeError):
        send(there, packed("anything"))
