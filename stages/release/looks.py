"""Whether the videos of a release were there when they were last looked at."""

from collections.abc import Sequence

from pipeline.base.units import Row
from pipeline.tables.store import Store
from pipeline.views.availability.account import Evidence, last_seen

NO_LINK = "no link"


def states_of(store: Store, videos: Sequence[str]) -> list[Row]:
    """Rows of `availability`, in the order of the ids."""
    about = {row["video_id"]: row for row in store.read("videos", ["video_id", "url", "source"]).to_pylist()}
    seen = last_seen(store)
    return [_row(video, about[video]["url"], seen.get(about[video]["source"] or "", Evidence())) for video in videos]


def _row(video: str, url: str | None, seen: Evidence) -> Row:
    if not url:
        return {"video_id": video, "url": None, "state": NO_LINK, "reason": "", "looked": None}
    return {"video_id": video, "url": url, "state": seen.state, "reason": seen.reason, "looked": seen.day or None}
