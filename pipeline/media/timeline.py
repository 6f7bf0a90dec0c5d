"""Time: presentation zero, the 25-fps grid in integer arithmetic, and what the packets of a file span."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av

from pipeline.base.units import FPS

_MAX_READ_ERRORS = 50  # in a row, each without a packet between


def presentation_zero(container: Any) -> Fraction:
    """The time, in seconds of the file's own clock, that a player and `ffmpeg -ss` call 0.

    libavformat rounds the container's start to microseconds. The stream that begins there gives it exactly, and a
    picture that stands exactly between two grid times must not change sides for a rounding.
    """
    if container.start_time is None:
        return Fraction(0)
    rounded = Fraction(container.start_time, av.time_base)
    starts = [s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base]
    near = [start for start in starts if abs(start - rounded) <= Fraction(1, av.time_base)]
    return min(near) if near else rounded


class GridClock:
    """Maps timestamps of one stream to the grid of 25 pictures a second.

    Picture n is the last source frame with presentation time strictly before n/25 + 1/50 s. So a frame at time t can be
    shown from picture floor(25 t + 1/2) on; three integers make that exact and cheap.
    """

    def __init__(self, zero: Fraction, time_base: Fraction) -> None:
        self.zero = zero
        self.time_base = time_base
        tn, td = time_base.numerator, time_base.denominator
        zn, zd = zero.numerator, zero.denominator
        self._scale = 2 * FPS * tn * zd
        self._shift = td * zd - 2 * FPS * zn * td
        self._divisor = 2 * td * zd

    def first_picture(self, pts: int) -> int:
        """The first grid picture that a frame with this timestamp (ticks) may be shown in; negative before zero."""
        return (self._scale * pts + self._shift) // self._divisor

    def ticks(self, picture: int) -> int:
        """The last timestamp (ticks) that is not after the grid time of this picture."""
        return (Fraction(picture, FPS) + self.zero) // self.time_base

    def seconds(self, pts: int) -> Fraction:
        """Presentation time of a timestamp (ticks), in seconds."""
        return pts * self.time_base - self.zero


def read_packets(container: Any, *streams: Any) -> Iterator[Any]:
    """Packets of these streams to the end of the file, going on after unreadable ones.

    Ends with a flush packet (size 0) of every stream when the end was reached in order; stops without one after 50
    failed reads in a row.
    """
    errors = 0
    while errors < _MAX_READ_ERRORS:
        try:
            for packet in container.demux(*streams):
                errors = 0
                yield packet
            return
        except av.FFmpegError:
            errors += 1
        except IndexError:
            return  # PyAV, at the end of a file in which streams turned up that its header did not announce


@dataclass(frozen=True)
class Span:
    """What the packets of one stream cover, on the presentation clock."""

    packets: int
    start: Fraction  # seconds
    end: Fraction  # seconds, the last packet's duration included
    last_pts: int  # ticks, of the last packet in presentation order
    end_pts: int  # ticks
    steps: "array[int]"  # ticks between neighbours in presentation order
    corrupt: bool  # the last packet arrived incomplete


class SpanMeter:
    """Collects timestamps of one stream's packets; memory is 16 bytes a packet."""

    def __init__(self, clock: GridClock) -> None:
        self._clock = clock
        self._pts: array[int] = array("q")
        self._last_pts: int | None = None
        self._last_duration = 0
        self._corrupt = False

    def add(self, packet: Any) -> None:
        """Count one packet; hidden ones (edit lists) and flush packets cover nothing."""
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is None or packet.size == 0:
            return
        self._corrupt = packet.is_corrupt
        if packet.is_discard or packet.is_corrupt:
            return
        self._pts.append(pts)
        if self._last_pts is None or pts > self._last_pts:
            self._last_pts = pts
            self._last_duration = packet.duration or 0

    def span(self) -> Span | None:
        """The span; None when no packet carried a time."""
        if self._last_pts is None:
            return None
        order = sorted(self._pts)
        steps = array("q", (b - a for a, b in pairwise(order)))
        end_pts = order[-1] + last_step(self._last_duration, steps[-1] if steps else 0, self._clock.time_base)
        return Span(
            packets=len(order),
            start=self._clock.seconds(order[0]),
            end=self._clock.seconds(end_pts),
            last_pts=order[-1],
            end_pts=end_pts,
            steps=steps,
            corrupt=self._corrupt,
        )


def last_step(duration: int, previous: int, time_base: Fraction) -> int:
    """How long the last frame stays, in ticks: its own duration, else the step before it, else one grid step."""
    return duration or previous or max(1, round(Fraction(1, FPS) / time_base))
