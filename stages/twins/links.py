"""What joins two videos, by sound or by motion, and whether that makes them twins or only near."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.media.chromaprint import Items
from pipeline.media.twins.candidates import candidates
from pipeline.media.twins.comparison import Match, sounding_seconds
from pipeline.media.twins.link import is_enough, linked, offsets_of
from stages.twins.films import Films, for_reuse
from stages.twins.motion import Film, Meeting, Shared, meetings, shared
from stages.twins.settings import TwinsSettings

log = logging.getLogger(__name__)

Pair = tuple[str, str]


@dataclass(frozen=True)
class Found:
    """What one video shares with another, as this one sees it: by sound, by motion, or both."""

    sound: Match | None
    motion: Shared | None

    @property
    def match(self) -> Match:
        """That by sound, where there is one: it tells finer when and how fast."""
        found = self.sound or (self.motion and self.motion.match)
        assert found
        return found

    @property
    def how(self) -> str:
        if self.sound:
            return "both" if self.motion else "sound"
        return "motion"


@dataclass(frozen=True)
class Link:
    """What two videos share, seen from each of the two; `twins` by the limits for twins, else near ones."""

    of: Mapping[str, Found]
    twins: bool

    @property
    def videos(self) -> Pair:
        first, second = self.of
        return first, second


def by_sound(prints: Mapping[str, Items], settings: TwinsSettings) -> Iterator[Link]:
    """The links between videos that share sound, by their ids."""
    ids, limits = sorted(prints), settings.limits
    listed = [prints[video] for video in ids]
    heard: dict[int, float] = {}  # of those alone that are compared
    for pair in candidates(listed):
        for at in (pair.a, pair.b):
            if at not in heard:
                heard[at] = sounding_seconds(listed[at])
        least = min(heard[pair.a], heard[pair.b])
        if found := linked(ids[pair.a], ids[pair.b], prints, offsets_of(pair), least, limits):
            yield Link({video: Found(match, None) for video, match in found.of.items()}, found.twins)


def with_motion(
    heard: Mapping[Pair, Link], studios: Sequence[Pair], films: Films, settings: TwinsSettings, until: float
) -> Iterator[Link]:
    """The links by sound and what motion says of them, and links by motion alone. No link by sound is lost, however long it takes.

    Args:
        heard: links by sound, by their videos.
        studios: pairs of one studio, which alone are looked at where sound makes no twins.
        films: of the run.
        settings: of the stage.
        until: of `time.monotonic`; what was not looked at then stays as it was heard, and is told.
    """
    pairs = for_reuse({*heard, *studios})
    compared = 0
    for pair, (a, b) in zip(pairs, films.of(pairs), strict=True):
        if time.monotonic() > until:
            break
        compared += 1
        if link := _joined(pair, heard.get(pair), a, b, settings):
            yield link
    if left := pairs[compared:]:
        log.warning(
            "%d of %d pairs are not compared by motion: it took too long; what their sound says stays. A smaller "
            "twins.motion_pairs chooses the likest ones",
            len(left),
            len(pairs),
        )
        yield from (heard[pair] for pair in left if pair in heard)


def _joined(pair: Pair, link: Link | None, a: Film, b: Film, settings: TwinsSettings) -> Link | None:
    """What joins two videos, by sound if they are `link`ed, and by motion."""
    if link and link.twins:
        return _seen_too(link, a, b, settings)
    seen = _seen(pair, a, b, settings)
    return seen if seen and (seen.twins or not link) else link


def _seen_too(link: Link, a: Film, b: Film, settings: TwinsSettings) -> Link:
    """Twins by sound, and what their pictures have in common where their sound meets."""
    sound = link.of[link.videos[0]].sound
    assert sound
    found = shared(a, b, [Meeting.of(sound)], 1 - settings.min_motion_likeness)
    if found is None or found[0].match.seconds < settings.min_matched_seconds:
        return link
    seen = zip(link.videos, found, strict=True)
    return Link({video: Found(link.of[video].sound, motion) for video, motion in seen}, True)


def _seen(pair: Pair, a: Film, b: Film, settings: TwinsSettings) -> Link | None:
    """What joins two videos by motion alone."""
    where, of = meetings(a, b), settings
    senses = (
        (of.min_motion_likeness, of.min_matched_share, of.long_matched_seconds, True),
        (of.near_motion_likeness, of.near_matched_share, of.near_matched_seconds, False),
    )
    least = min(a.moving.seconds, b.moving.seconds)
    for likeness, share, long_seconds, twins in senses if where else ():
        found = shared(a, b, where, 1 - likeness)
        if found and is_enough(found[0].match, least, share, long_seconds, of.limits):
            return Link({video: Found(None, motion) for video, motion in zip(pair, found, strict=True)}, twins)
    return None
