"""Who is to be taken out of a release: ids and links as they are given, and what of a release they come to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.base.ids import check_clip_id, check_person_id
from pipeline.base.links import normalised, video_id_of
from pipeline.base.reasons import Reject
from pipeline.shards.release import AVAILABILITY
from pipeline.tables import opt_out
from pipeline.tables.opt_out import OptOut, OptOutError


@dataclass
class Wanted:
    """Entries of a takedown.

    Attributes:
        persons, clips, videos, urls, channels: what they name, each with the entry that names it.
        looked_up: whether the videos of the channels, as far as a run knows them, are among the videos.
    """

    persons: dict[str, str] = field(default_factory=dict)
    clips: dict[str, str] = field(default_factory=dict)
    videos: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    channels: dict[str, str] = field(default_factory=dict)
    looked_up: bool = False

    def means(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of `links` is named."""
        return (
            row["person_id"] in self.persons
            or row["clip_id"] in self.clips
            or row["video_id"] in self.videos
            or row["url"] in self.urls
        )

    @property
    def channels_alone(self) -> list[str]:
        """The entries that name a channel of which no video is known, and nothing else."""
        return sorted(set(self.channels.values()) - set(self.videos.values()))

    def unresolved(self, gone: "Gone") -> list[str]:
        """The entries that came to nothing and name, or may name, a channel whose videos are not known."""
        unknown = self.channels_alone if self.looked_up else self.channels.values()
        return sorted(set(unknown) & set(self.unmatched(gone)))

    def unmatched(self, gone: "Gone") -> list[str]:
        """The entries that came to nothing."""
        met = gone.persons | gone.of_clips | gone.of_videos | gone.of_urls
        named = [self.persons, self.clips, self.videos, self.urls]
        hit = {entry for of in named for identity, entry in of.items() if identity in met}
        return sorted({entry for of in [*named, self.channels] for entry in of.values()} - hit)


@dataclass
class Gone:
    """What a takedown takes out of a release.

    Attributes:
        persons: their ids.
        of_clips, of_videos, of_urls, of_names: of the rows that go; others of the same may stay.
        clips, videos, urls, names: those of which nothing stays.
    """

    persons: set[str] = field(default_factory=set)
    of_clips: set[str] = field(default_factory=set)
    of_videos: set[str] = field(default_factory=set)
    of_urls: set[str] = field(default_factory=set)
    of_names: set[str] = field(default_factory=set)
    clips: set[str] = field(default_factory=set)
    videos: set[str] = field(default_factory=set)
    urls: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)

    def add(self, row: Mapping[str, Any]) -> None:
        """Note a row of `links` that goes."""
        self.persons.add(row["person_id"])
        self.of_clips.add(row["clip_id"])
        self.of_videos.add(row["video_id"])
        self.of_names |= {row["name"]} if row["name"] else set()
        self.of_urls |= {row["url"]} if row["url"] else set()

    def keep(self, clips: set[str], videos: set[str], names: set[str], urls: set[str]) -> None:
        """Tell which clips, videos, names and links stay in the release."""
        self.clips, self.videos = self.of_clips - clips, self.of_videos - videos
        self.names, self.urls = self.of_names - names, self.of_urls - urls

    def has(self, table: str, row: Mapping[str, Any]) -> bool:
        """Whether a row of a table goes."""
        return row["video_id"] in self.videos if table == AVAILABILITY else row["person_id"] in self.persons

    def __str__(self) -> str:
        return f"{_counted(self.persons, 'speaker')} in {_counted(self.of_clips, 'clip')}"


def _counted(ids: set[str], what: str) -> str:
    return f"{len(ids):,} {what}{'s' if len(ids) != 1 else ''}"


def wanted_of(entries: Sequence[str]) -> Wanted:
    """What entries name: persons, clips, videos and channels by id, videos and channels by link.

    Raises:
        OptOutError: an entry names nobody.
    """
    found = Wanted()
    for entry in (" ".join(text.split()) for text in entries):
        for one in _ids(entry, found):
            one[0].setdefault(one[1], entry)
    return found


def _ids(entry: str, found: Wanted) -> Iterable[tuple[dict[str, str], str]]:
    for of, check in ((found.persons, check_person_id), (found.clips, check_clip_id)):
        try:
            check(entry)
        except Reject:
            continue
        yield of, entry
        return
    try:
        named = opt_out.parse(entry)
    except OptOutError:
        yield found.urls, _link(entry)
        return
    yield from ((found.videos, video) for video in named.videos)
    yield from ((found.channels, channel) for channel in named.channels)


def _link(entry: str) -> str:
    """Another site's link, in the one spelling that releases have."""
    unknown = OptOutError(f"{entry[:100]!r} names no person, clip, video or channel")
    try:
        if video_id_of(entry) is None:
            return normalised(entry)
    except Reject as reject:
        raise unknown from reject
    raise unknown


def with_channels(wanted: Wanted, videos: Iterable[Mapping[str, Any]]) -> Wanted:
    """The same with the videos of its channels, which a release does not name.

    Args:
        wanted: what entries named.
        videos: rows of a run's table: `video_id` and columns of channels.
    """
    wanted.looked_up = True
    who = {entry: OptOut(channels=frozenset({channel})) for channel, entry in wanted.channels.items()}
    for row in videos:
        channels = [value for name, value in row.items() if name != "video_id"]
        for entry, one in who.items():
            if one.names(None, *channels):
                wanted.videos.setdefault(row["video_id"], entry)
    return wanted
