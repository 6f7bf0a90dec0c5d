"""Glances at a file's pictures, here and there: what only its pictures tell, at the price of a few of them."""

from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av

from pipeline.base.units import FPS
from pipeline.media.combing import PROGRESSIVE, Comb, Combing, comb_of, combing_of, luma_of_frame
from pipeline.media.frames import FrameSource
from pipeline.media.guard import Limits
from pipeline.media.picture import plausible_aspect
from pipeline.media.reading import Reading
from pipeline.media.timeline import read_packets
from pipeline.media.tone import is_hdr

FRAMES = 7  # of a glance: five with two neighbours, as many as telecine repeats its pattern after
_PACKETS = 1000  # without so many frames among them, then there is nothing to see
_EVERY_FRAMES = 50  # where frames are decoded anyway
_EVERY_SECONDS = 20.0
_MOST_PLACES = 12
_MORE = 4  # times as many places where the first ones left doubts


@dataclass
class Seen:
    """What the frames looked at have shown.

    Attributes:
        hdr: some are coded with PQ or HLG.
        flagged: some say that they are interlaced.
        aspects: shapes of pixels, in the order of the film.
    """

    hdr: bool = False
    flagged: bool = False
    combs: list[Comb] = field(default_factory=list)
    aspects: dict[Fraction, None] = field(default_factory=dict)

    def add(self, source: FrameSource, frames: list[Any]) -> None:
        """Look at consecutive frames, not deinterlaced."""
        for frame in frames:
            self.flagged |= bool(frame.interlaced_frame)
            self.hdr |= is_hdr(frame)
            self.aspects.setdefault(plausible_aspect(source.aspect_of(frame) or source.stream.sample_aspect_ratio))
        lumas = [luma_of_frame(frame) for frame in frames]
        for before, frame, luma, after in zip(lumas, frames[1:], lumas[1:], lumas[2:], strict=False):
            self.combs.append(comb_of(before, luma, after, flagged=bool(frame.interlaced_frame)))

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
        return 0 < found < FRAMES or moving < FRAMES


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
    reading, known = replace(reading, combed=PROGRESSIVE), set[int | None]()
    for places in (count, _MORE * count):
        for place in range(places):
            with closing(FrameSource(path, limits, reading=reading)) as source:
                frames = list(islice(source.near(round((place + 0.5) / places * seconds * FPS)), FRAMES))
                if frames and frames[0].pts not in known:
                    known.add(frames[0].pts)
                    seen.add(source, frames)
        if not seen.doubtful:
            return


def look_at_end(path: str | Path, limits: Limits, reading: Reading, last_pts: int, seen: Seen) -> bool:
    """Look at what leads to the last picture (`last_pts`: ticks); returns whether pictures of the last second decode."""
    with closing(FrameSource(path, limits, reading=replace(reading, combed=PROGRESSIVE))) as source:
        wanted, last = max(source.clock.first_picture(last_pts), 0), None
        held: list[Any] = []
        for number, frame in enumerate(source.frames_from(wanted)):
            last = frame.pts if frame.pts is not None else last
            if number % _EVERY_FRAMES < FRAMES:
                held.append(frame)
            elif held:
                seen.add(source, held)
                held = []
            seen.hdr |= is_hdr(frame)
        seen.add(source, held)
        return last is not None and (last_pts - last) * source.clock.time_base < 1
