"""What joins two videos, by sound or by motion, and whether that makes them twins or only near."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.media.chromaprint import Items
from stages.twins.candidates import BIN, candidates
from stages.twins.comparison import Match, compare, sounding_seconds
from stages.twins.films import Films
from stages.twins.motion import Film, Meeting, Shared, meetings, shared
from stages.twins.settings import TwinsSettings

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
    ids = sorted(prints)
    listed = [prints[video] for video in ids]
    heard: dict[int, float] = {}  # of those alone that are compared
    for pair in candidates(listed):
        offsets = [int(first) + step for first in pair.offsets for step in range(BIN)]
        for at in (pair.a, pair.b):
            if at not in heard:
                heard[at] = sounding_seconds(listed[at])
        least = min(heard[pair.a], heard[pair.b])
        for limits in (_strict(settings), _near(settings)):
            found = _heard(listed[pair.a], listed[pair.b], offsets, limits.bit_error)
            if found and limits.are_met(found[0], least):
                a, b = (Found(match, None) for match in found)
                yield Link({ids[pair.a]: a, ids[pair.b]: b}, limits.twins)
                break


def with_motion(
    heard: Mapping[Pair, Link], studios: Sequence[Pair], films: Films, settings: TwinsSettings
) -> Iterator[Link]:
    """The links by sound and what motion says of them, and links by motion alone.

    Args:
        heard: links by sound, by their videos.
        studios: pairs of one studio, which alone are looked at where sound makes no twins.
        films: of the run.
        settings: of the stage.
    """
    pairs = sorted({*heard, *studios})
    for pair, (a, b) in zip(pairs, films.of(pairs), strict=True):
        link = heard.get(pair)
        if link and link.twins:
            yield _seen_too(link, a, b, settings)
        elif seen := _seen(pair, a, b, settings):
            yield seen if seen.twins or not link else link
        elif link:
            yield link


@dataclass(frozen=True)
class _Limits:
    """When two videos are joined, in one of the two senses."""

    bit_error: float
    unlikeness: float
    share: float
    long_seconds: float
    least_seconds: float
    twins: bool

    def are_met(self, match: Match, least: float) -> bool:
        """Whether a match is long enough; `least`: seconds of evidence of the one that has less."""
        enough = match.seconds >= self.share * least or match.seconds >= self.long_seconds
        return match.seconds >= self.least_seconds and enough


def _strict(of: TwinsSettings) -> _Limits:
    unlikeness = 1 - of.min_motion_likeness
    return _Limits(
        of.max_bit_error, unlikeness, of.min_matched_share, of.long_matched_seconds, of.min_matched_seconds, True
    )


def _near(of: TwinsSettings) -> _Limits:
    unlikeness = 1 - of.near_motion_likeness
    return _Limits(
        of.near_bit_error, unlikeness, of.near_matched_share, of.near_matched_seconds, of.min_matched_seconds, False
    )


def _heard(a: Items, b: Items, offsets: Sequence[int], max_error: float) -> tuple[Match, Match] | None:
    """The match of two videos' sound as each of them hears it; None where either hears none."""
    here = compare(a, b, offsets, max_error)
    there = here and compare(b, a, [-offset for offset in offsets], max_error)
    return (here, there) if here and there else None


def _seen_too(link: Link, a: Film, b: Film, settings: TwinsSettings) -> Link:
    """Twins by sound, and what their pictures have in common where their sound meets."""
    limits = _strict(settings)
    sound = link.of[link.videos[0]].sound
    assert sound
    found = shared(a, b, [Meeting.of(sound)], limits.unlikeness)
    if found is None or found[0].match.seconds < limits.least_seconds:
        return link
    seen = zip(link.videos, found, strict=True)
    return Link({video: Found(link.of[video].sound, motion) for video, motion in seen}, True)


def _seen(pair: Pair, a: Film, b: Film, settings: TwinsSettings) -> Link | None:
    """What joins two videos by motion alone."""
    where = meetings(a, b)
    for limits in (_strict(settings), _near(settings)):
        found = shared(a, b, where, limits.unlikeness) if where else None
        if found and limits.are_met(found[0].match, min(a.moving.seconds, b.moving.seconds)):
            return Link({video: Found(None, motion) for video, motion in zip(pair, found, strict=True)}, limits.twins)
    return None
