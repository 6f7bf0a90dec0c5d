"""Whether the videos of a release were there when they were last looked at."""

from collections.abc import Sequence

from pipeline.base.units import Row
from pipeline.tables.store import Store
from pipeline.views.availability import account
from pipeline.views.availability.account import NEVER

NO_LINK = "no link"


def states_of(store: Store, videos: Sequence[str]) -> list[Row]:
    """Rows of `availability`, in the order of the ids."""
    urls = {row["video_id"]: row["url"] for row in store.read("videos", ["video_id", "url"]).to_pylist()}
    seen = {source.video_id: source.evidence for source in account(store).sources if source.video_id}
    rows = []
    for video in videos:
        known = seen.get(video)
        state = (known.state if known else NEVER) if urls[video] else NO_LINK
        looked = (known.day if known and urls[video] else "") or None
        rows.append({"video_id": video, "url": urls[video], "state": state, "looked": looked})
        rows[-1]["reason"] = known.reason if known and urls[video] else ""
    return rows
