"""Glances at a file's pictures, here and there: what only its pictures tell, at the price of a few of them."""

from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av

from pipeline.base.units import FPS
from pipeline.media.combing import PROGRESSIVE, Comb, Combing, comb_of, combing_of, thin_luma
from pipeline.media.frames import FrameSource
from pipeline.media.guard import Limits
from pipeline.media.picture import plausible_aspect
from pipeline.media.reading import Reading
from pipeline.media.timeline import read_packets
from pipeline.media.tone import is_hdr

FRAMES = 7  # of a glance: five with two neighbours, as many as telecine repeats its pattern after
_EVERY_SECOND = 2  # of the five: one of two neighbours that telecine combs is among them
_PACKETS = 1000  # without so many frames among them, then there is nothing to see
_ENOUGH = 3  # pictures, to be sure of them
_EVERY_FRAMES = 50  # where frames are decoded anyway
_EVERY_SECONDS = 20.0
_MOST_PLACES = 12
_MORE = 3  # times as many places where the first ones left doubts


@dataclass
class Seen:
    """What the frames looked at have shown.

    Attributes:
        hdr: some are coded with PQ or HLG.
        flagged: some say that they are interlaced.
        aspects: shapes of pixels, in the order of the film.
        starts: times, in ticks, of the first frames of glances.
    """

    hdr: bool = False
    flagged: bool = False
    combs: list[Comb] = field(default_factory=list)
    aspects: dict[Fraction, None] = field(default_factory=dict)
    starts: set[int | None] = field(default_factory=set)

    def add(self, source: FrameSource, frames: list[Any]) -> None:
        """Look at consecutive frames, not deinterlaced."""
        self.starts.update(frame.pts for frame in frames[:1])
        for frame in frames:
            self.flagged |= bool(frame.interlaced_frame)
            self.hdr |= is_hdr(frame)
            self.aspects.setdefault(plausible_aspect(source.aspect_of(frame) or source.stream.sample_aspect_ratio))
        lumas = [thin_luma(frame) for frame in frames]
        for n in range(1, len(frames) - 1, _EVERY_SECOND):
            self.combs.append(comb_of(*lumas[n - 1 : n + 2], flagged=bool(frames[n].interlaced_frame)))

    def aspects_text(self) -> str | None:
        """`1:1 2:1`, where the shape of pixels changes; else None."""
        return " ".join(f"{a.numerator}:{a.denominator}" for a in self.aspects) if len(self.aspects) > 1 else None

    @property
    def combing(self) -> Combing:
        """What it says about combed pictures."""
        return combing_of(self.combs)

    @property
    def doubtful(self) -> bool:
        """Whether more is to be looked at: combed pictures are few, or next to nothing moves."""
        found, moving = sum(c.order is not None for c in self.combs), sum(c.moving > 0 for c in self.combs)
        return 0 < found < _ENOUGH or moving < _ENOUGH


def first_frames(source: FrameSource) -> list[Any]:
    """The first frames of a source that has not been read yet, without regard to its clock."""
    frames: list[Any] = []
    for number, packet in enumerate(read_packets(source.container, source.stream)):
        try:
            frames += source.stream.codec_context.decode(packet if packet.size else None)
        except av.FFmpegError:
            continue
        finally:
            enough = len(frames) >= FRAMES or number > _PACKETS
        if enough:
            break
    return frames[:FRAMES]


def look_within(path: str | Path, limits: Limits, reading: Reading, seconds: float, seen: Seen) -> None:
    """Look at some places between the first picture and the last."""
    count = min(_MOST_PLACES, 1 + int(seconds / _EVERY_SECONDS) + 2 * sum(map(len, reading.clock.turns.values())))
    places = [Fraction(2 * n + 1, 2 * count) for n in range(count)]
    _look_at(path, limits, reading, [round(place * seconds * FPS) for place in places], seen)
    if seen.doubtful:
        more = [Fraction(2 * n + 1, 2 * _MORE * count) for n in range(_MORE * count)]
        _look_at(path, limits, reading, [round(p * seconds * FPS) for p in more if p not in places], seen)


def _look_at(path: str | Path, limits: Limits, reading: Reading, pictures: list[int], seen: Seen) -> None:
    for picture in pictures:
        with closing(_source(path, limits, reading)) as source:
            near = source.near(picture)
            first = next(near, None)
            if first is not None and first.pts not in seen.starts:
                seen.add(source, [first, *islice(near, FRAMES - 1)])


def _source(path: str | Path, limits: Limits, reading: Reading) -> FrameSource:
    """A source of frames as they are decoded, without threads that would decode ahead."""
    return FrameSource(path, limits, threads=1, reading=replace(reading, combed=PROGRESSIVE))


def look_at_end(path: str | Path, limits: Limits, reading: Reading, last_pts: int, seen: Seen) -> bool:
    """Look at what leads to the last picture (`last_pts`: ticks); returns whether pictures of the last second decode."""
    with closing(FrameSource(path, limits, reading=replace(reading, combed=PROGRESSIVE))) as source:
        wanted, last = max(source.clock.first_picture(last_pts), 0), None
        held: list[Any] = []
        every = 2 * FRAMES if seen.doubtful else _EVERY_FRAMES
        for number, frame in enumerate(source.frames_from(wanted)):
            last = frame.pts if frame.pts is not None else last
            if number % every < FRAMES:
                held.append(frame)
            elif held:
                seen.add(source, held)
                held = []
            seen.hdr |= is_hdr(frame)
        seen.add(source, held)
        return last is not None and (last_pts - last) * source.clock.time_base < 1
