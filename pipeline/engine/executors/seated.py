"""Results of units whose worker gave none, as they go back to the driver."""

from typing import Any

from pipeline.base.reasons import Reason
from pipeline.engine.executors.executor import Result
from pipeline.engine.executors.parcel import Parcel, packed
from pipeline.tables.outcome import FAILED


def failure(reason: Reason, words: str, **more: Any) -> Parcel:
    """A failed result, packed; `more` are further columns of it."""
    return packed(Result(FAILED, reason.code, words, **more))
