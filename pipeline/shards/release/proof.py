"""Whether what belongs together lies in one split: twins, speakers and channels of a release, checked against the tables."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.tables.store import Store


@dataclass(frozen=True)
class Shared:
    """One thing that videos share.

    Attributes:
        what: its name, in the plural.
        groups: how many of them have a video in the splits.
        across: those with videos in two splits or more, sorted.
        measured: whether the run knows it of any video.
    """

    what: str
    groups: int
    across: list[str]
    measured: bool

    def __str__(self) -> str:
        """`3 of 12 channels are in two splits`."""
        if not self.measured:
            return f"{self.what} were not measured"
        verb = "is" if len(self.across) == 1 else "are"
        return f"{len(self.across) or 'none'} of {self.groups:,} {self.what} {verb} in two splits"


def shared_across(store: Store, split_of: Mapping[str, str]) -> list[Shared]:
    """What twins, speakers and channels come to.

    Args:
        store: the run's tables.
        split_of: video_id -> split, of the videos in question.
    """
    twins = store.read("twins", ["video_id", "near_cluster_id"]).to_pylist()
    speakers = store.read("speakers", ["video_id", "speaker"]).to_pylist()
    videos = store.read("videos", ["video_id", "channel", "channel_id"]).to_pylist()
    return [
        _shared("clusters of twins", ((r["video_id"], r["near_cluster_id"]) for r in twins), split_of, len(twins) > 0),
        _shared("speakers", ((r["video_id"], r["speaker"]) for r in speakers), split_of, len(speakers) > 0),
        _shared("channels", ((r["video_id"], r["channel_id"] or r["channel"]) for r in videos), split_of, True),
    ]


def _shared(what: str, pairs: Iterable[tuple[str, str | None]], split_of: Mapping[str, str], measured: bool) -> Shared:
    """Of (video, what it has): in how many splits each lies."""
    splits: dict[str, set[str]] = {}
    for video, value in pairs:
        if value and video in split_of:
            splits.setdefault(value, set()).add(split_of[video])
    across = sorted(value for value, found in splits.items() if len(found) > 1)
    return Shared(what, len(splits), across, measured)
