"""Trying again what was rejected or failed: marks that make an outcome count no longer."""

import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from pipeline.base.reasons import Reason
from pipeline.storage import tombstone_of
from pipeline.tables.lock import driving
from pipeline.tables.outcome import FAILED, REJECTED, RETRY, Outcome
from pipeline.tables.results import BrokenPromise, broken, promised
from pipeline.tables.store import Store
from pipeline.tables.table import remaking


def forget(store: Store, reasons: set[str], stages: set[str], *, all_failed: bool = False) -> dict[str, int]:
    """Mark rejected or failed units to be tried again; their rows no longer count.

    Raises KeyError on a reason that does not exist. Returns: units marked, by table kind.
    """
    for code in reasons:
        Reason.of(code)

    def wanted(outcome: dict[str, Any]) -> bool:
        meant = outcome["reason"] in reasons or (all_failed and outcome["status"] == FAILED)
        ended = outcome["status"] in (FAILED, REJECTED)
        return meant and ended and (not stages or outcome["stage"] in stages)

    with however_lost(store):
        return _counted({kind: _mark(store, kind, wanted) for kind in store.kinds})


@contextmanager
def however_lost(store: Store) -> Iterator[None]:
    """Let the block read tables whose lost rows are not made anew yet: it is what has them made."""
    with ExitStack() as stack:
        for kind in store.kinds:
            stack.enter_context(remaking(store.table(kind).folder))
        yield


def refetch(store: Store, stages: set[str], wanted: Collection[str] = ()) -> dict[str, int]:
    """Mark what waits for a source that was freed, and the crawl of those videos, to be done again.

    The crawl is marked last: of a call that was killed before, the next one still finds what waits. Where a result was lost whose
    source was freed, or is to be made anew, rows stay as they are: its tombstone goes, and the crawl fetches what is missing then.

    Args:
        store: the run's tables.
        stages: that are meant; none for all.
        wanted: videos whose sources are wanted again, if they were freed.

    Returns: units marked, by table kind, and sources to be fetched again.
    """
    with however_lost(store):
        return _refetch(store, stages, wanted)


def _refetch(store: Store, stages: set[str], also: Collection[str]) -> dict[str, int]:
    videos: set[str] = set()

    def waits(outcome: dict[str, Any]) -> bool:
        discarded = outcome["status"] == FAILED and outcome["reason"] == Reason.SOURCE_DISCARDED.code
        if not discarded or (stages and outcome["stage"] not in stages):
            return False
        videos.add(outcome["unit"].partition("/")[0])
        return True

    counts = {kind: _mark(store, kind, waits) for kind in store.kinds}
    crawled = {row["unit"] for row in store.live("videos", ["path"]).to_pylist() if _freed(store, row, videos)}
    counts["videos"] = counts.get("videos", 0) + _mark(store, "videos", lambda outcome: outcome["unit"] in crawled)
    counts["videos"] += _unbury(store, stages, videos, also)
    return _counted(counts)


def _unbury(store: Store, stages: set[str], marked: set[str], also: Collection[str]) -> int:
    """Take the tombstones from freed sources of which a result was lost, and from others; returns how many."""
    lost = {one.promise.unit.partition("/")[0] for kind in store.kinds for one in _lost(store, kind, stages)}
    wanted = {*lost, *also} - marked
    freed = [row["path"] for row in store.live("videos", ["path"]).to_pylist() if _freed(store, row, wanted)]
    for path in freed:
        store.storage.delete(tombstone_of(path))
    return len(freed)


def _lost(store: Store, kind: str, stages: set[str]) -> list[BrokenPromise]:
    """Files of a kind that are missing or have another size, if these stages wrote it."""
    if stages and not stages & set(store.outcomes(kind)["stage"].to_pylist()):
        return []
    return broken(store.storage, [one for one in promised(store, kind, live=True) if one.ours])


def _freed(store: Store, row: dict[str, Any], videos: set[str]) -> bool:
    """Whether a row is of one of these videos, and its file was freed."""
    if row["video_id"] not in videos or not row["path"]:
        return False
    return not store.storage.exists(row["path"]) and store.storage.exists(tombstone_of(row["path"]))


def supersede(store: Store, kind: str, units: set[str]) -> int:
    """Let rows of these units count no longer, because another unit takes their place; returns how many were marked.

    Raises `tables.lock.Occupied` while a driver is at it.
    """
    return _mark(store, kind, lambda outcome: outcome["unit"] in units)


def _mark(store: Store, kind: str, wanted: Callable[[dict[str, Any]], bool]) -> int:
    """Mark the outcomes of a kind that are wanted again; returns how many."""
    marks = [_again(outcome) for outcome in store.outcomes(kind).to_pylist() if wanted(outcome)]
    if marks:
        with driving(store.run, kind):
            store.table(kind).append([], marks)
    return len(marks)


def _again(outcome: dict[str, Any]) -> Outcome:
    return Outcome(
        outcome["unit"],
        outcome["stage"],
        outcome["fingerprint"],
        RETRY,
        attempt=outcome["attempt"] + 1,
        host=socket.gethostname(),
        at=datetime.now(UTC),
    )


def _counted(counts: dict[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in counts.items() if count}
