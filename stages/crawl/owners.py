"""Notes of who owns a video, compared with the tables before anything is claimed: one that is lost or damaged is mended.

`raw/<2 hex>/NAME.owner` names the unit that came first, so that a video to which two links lead is fetched once. Without it the
second would fetch the video over the first one's file; one that names nobody would refuse the video to everybody, as a duplicate.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from stages.crawl import place

if TYPE_CHECKING:
    from pipeline.tables.store import Store


def mend(store: "Store", units: Iterable[str]) -> int:
    """Write again what does not name the unit that has the video, and take away what names nobody; each costs a read.

    Args:
        store: the run's tables.
        units: of today's input.

    Returns: how many notes were mended.
    """
    owned = _owned(store)
    lost = [(key, unit) for key, unit in owned.items() if not _names(store, key, unit)]
    for key, unit in lost:
        store.storage.delete(key)
        store.storage.claim(key, unit)
    loose = [key for key in store.storage.sizes("raw") if key.endswith(place.OWNER) and key not in owned]
    if loose:  # of a crawl that was cut short, or of units that were refused
        known = {*units, *store.table("videos").winners(["unit"])["unit"].to_pylist()}
        loose = [key for key in loose if place.noted_owner(store.run, key) not in known]
        for key in loose:
            store.storage.delete(key)
    return len(lost) + len(loose)


def _names(store: "Store", key: str, unit: str) -> bool:
    """Whether a note names a unit; in a bucket, which damages nothing, one of the same length does."""
    same = store.storage.remote and store.storage.sizes("raw").get(key) == len(unit.encode())
    return same or place.noted_owner(store.run, key) == unit


def _owned(store: "Store") -> Mapping[str, str]:
    """{key: unit} of the videos that there are; of several units with one video, the one whose row counts."""
    rows = store.live("videos", ["video_id", "unit"])
    return {
        place.owner_key(video): unit
        for video, unit in zip(*(rows[n].to_pylist() for n in ("video_id", "unit")), strict=True)
    }
