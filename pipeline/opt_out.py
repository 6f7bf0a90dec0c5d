"""Opt-out: video ids and channels whose owners asked not to be included, honoured at every stage."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OptOut:
    """Who is left out.

    Attributes:
        videos: video ids, such as yt:<11 characters>.
        channels: channel ids, handles and names, in lower case.
    """

    videos: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.videos or self.channels)

    def names(self, video_id: str | None, channel: str | None = None, channel_id: str | None = None) -> bool:
        """Whether a video, or the channel behind it, is on the list."""
        return video_id in self.videos or any(c and c.lower() in self.channels for c in (channel, channel_id))


def read(paths: Iterable[str | Path]) -> OptOut:
    """Read lists: one entry a line, `#` starts a comment. Files that are not there are empty, and so is the path "".

    An entry is a video id (`yt:` or `file:`, or a link to a YouTube video); everything else is a channel: its id, its
    @handle or its name.
    """
    from pipeline.web.links import video_id_of

    videos, channels = set(), set()
    for path in paths:
        if not str(path) or not Path(path).is_file():
            continue
        for line in Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines():
            entry = line.partition("#")[0].strip()
            video = video_id_of(entry)
            if video:
                videos.add(video)
            elif entry:
                channels.add(entry.lower())
    return OptOut(frozenset(videos), frozenset(channels))
