"""Planted videos: what the search finds, what the player offers, and what goes wrong."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.youtube import films
from tests.youtube.faults import Refusal, Trouble

CREATIVE_COMMONS = "Creative Commons Attribution license (reuse allowed)"
PAGE_LENGTH = 20


def video_id(number: int) -> str:
    """An id of 11 characters; some begin with `-` or differ by case only, as the real ones do."""
    digits = hashlib.sha256(str(number).encode()).hexdigest()[:7]
    if number % 10 == 3:
        return f"-_a{number % 1000:03d}{digits[:5]}"
    if number % 10 == 4:  # as the one before, but for the case of a letter
        return video_id(number - 1).replace("a", "A", 1)
    return f"v{number % 1000:03d}{digits}"


@dataclass(frozen=True)
class Format:
    """One offer of the player.

    Attributes:
        itag: YouTube's number of the format.
        kind: of films.KINDS.
        mime: type and codecs, as the player states them.
        width, height: as announced, px; 0 for sound alone.
        quality: YouTube's label.
        track: (id, display name, is default) of a sound track where there are several; else None.
    """

    itag: int
    kind: str
    mime: str
    width: int = 0
    height: int = 0
    quality: str = "tiny"
    track: tuple[str, str, bool] | None = None

    @property
    def progressive(self) -> bool:
        return self.kind == "both"


AVC_1080 = Format(137, "avc", 'video/mp4; codecs="avc1.640028"', 1920, 1080, "hd1080")
AVC_720 = Format(136, "avc", 'video/mp4; codecs="avc1.4d401f"', 1280, 720, "hd720")
VP9_720 = Format(247, "vp9", 'video/webm; codecs="vp9"', 1280, 720, "hd720")
AV1_720 = Format(398, "av1", 'video/mp4; codecs="av01.0.05M.08"', 1280, 720, "hd720")
AVC_480 = Format(135, "avc", 'video/mp4; codecs="avc1.4d401e"', 854, 480, "large")
AVC_240 = Format(133, "avc", 'video/mp4; codecs="avc1.4d4015"', 426, 240, "small")
AAC = Format(140, "aac", 'audio/mp4; codecs="mp4a.40.2"')
OPUS = Format(251, "opus", 'audio/webm; codecs="opus"')
BOTH_360 = Format(18, "both", 'video/mp4; codecs="avc1.42001E, mp4a.40.2"', 640, 360, "medium")
BOTH_720 = Format(22, "both", 'video/mp4; codecs="avc1.64001F, mp4a.40.2"', 1280, 720, "hd720")
DUB = Format(140, "aac", 'audio/mp4; codecs="mp4a.40.2"', track=("de-DE.3", "German", True))
ORIGINAL = Format(140, "aac", 'audio/mp4; codecs="mp4a.40.2"', track=("en-US.4", "English original", False))

STANDARD = (AVC_1080, AVC_720, VP9_720, AV1_720, AVC_480, AAC, OPUS, BOTH_360)
PROGRESSIVE = (BOTH_720, BOTH_360)


@dataclass
class Video:
    """A planted video.

    Attributes:
        id: 11 characters.
        seconds: as announced; the films themselves last films.SECONDS.
        film: which of the films it is.
        live: "" or what the search says: is_live, is_upcoming or was_live.
        fault: what goes wrong with it.
        times: how many requests a `Trouble` hits before it is over; 0 is all of them.
    """

    id: str
    title: str = "A talk"
    channel: str = "Speakers"
    channel_id: str = "UC0000000000000000000000"
    handle: str = "@speakers"
    licence: str = ""
    seconds: int = films.SECONDS
    film: int = 0
    uploaded: str = "2024-05-17"
    formats: tuple[Format, ...] = STANDARD
    live: str = ""
    fault: Refusal | Trouble | None = None
    times: int = 0

    def content(self, form: Format) -> bytes:
        """The bytes of one of its streams."""
        return films.film(self.film, form.kind, self.id)

    def form(self, itag: int, track: str) -> Format | None:
        """The format of this number, and of this sound track where it has several."""
        found = (f for f in self.formats if f.itag == itag and (f.track[0] if f.track else "") == track)
        return next(found, None)


@dataclass
class Plan:
    """Videos by id, and which of them a query or a playlist finds, in order."""

    videos: dict[str, Video] = field(default_factory=dict)
    queries: dict[str, list[str]] = field(default_factory=dict)
    playlists: dict[str, list[str]] = field(default_factory=dict)

    def add(self, video: Video, queries: Iterable[str] = ()) -> Video:
        """Plant a video, at the end of what these queries find."""
        self.videos[video.id] = video
        for form in video.formats:
            films.draw(video.film, form.kind)  # before a client waits for an answer, two seconds at most
        for query in queries:
            self.queries.setdefault(query, []).append(video.id)
        return video

    def plant(self, count: int, queries: Iterable[str] = (), first: int = 0, **same: object) -> list[Video]:
        """Plant `count` videos that differ in id and title; of the films there are two."""
        queries = list(queries)
        made = []
        for number in range(first, first + count):
            own = {"id": video_id(number), "title": f"Talk {number}", "film": number, **same}
            made.append(self.add(Video(**own), queries))  # type: ignore[arg-type]
        return made
