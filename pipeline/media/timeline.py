"""Time: presentation zero, the 25-fps grid in integer arithmetic, and what the packets of a file span."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import FPS
from pipeline.media.clock import RUNS_ON, Clock
from pipeline.media.pieces import PacketTimes

LONGEST_LAST_SECONDS = 10
_MAX_READ_ERRORS = 50  # in a row, each without a packet between


def presentation_zero(container: Any, clock: Clock = RUNS_ON) -> Fraction:
    """The time, in seconds of the file's own clock, that a player and `ffmpeg -ss` call 0.

    libavformat rounds the container's start to microseconds. The stream that begins there gives it exactly, and a
    picture that stands exactly between two grid times must not change sides for a rounding.
    """
    if clock.zero is not None:
        return clock.zero
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


def read_packets(container: Any, *streams: Any, clock: Clock = RUNS_ON) -> Iterator[Any]:
    """Packets of these streams to the end of the file, going on after unreadable ones.

    Where the clock does not run on they are to be read from the file's first: their times are mended.
    Raises Reject(DRM_PROTECTED) for encrypted ones, which would decode to noise.

    Ends with a flush packet (size 0) of every stream when the end was reached in order; stops without one after 50
    failed reads in a row.
    """
    errors, menders = 0, clock.menders()
    while errors < _MAX_READ_ERRORS:
        try:
            for packet in container.demux(*streams):
                errors = 0
                if packet.has_sidedata("encryption_info"):
                    raise Reject(Reason.DRM_PROTECTED, "its samples are encrypted")
                if packet.size and packet.stream_index in menders:
                    menders[packet.stream_index].mend(packet)
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
    steps: NDArray[np.int64]  # ticks between neighbours in presentation order


def span_of(times: PacketTimes, grid: GridClock, clock: Clock = RUNS_ON) -> Span | None:
    """What a stream's packets span on the mended clock; None when none carries a time."""
    pts, durations = times.mended(clock)
    if not len(pts):
        return None
    last = int(np.argmax(pts))
    order = np.sort(pts)
    steps = np.diff(order)
    end_pts = int(order[-1]) + last_step(int(durations[last]), int(steps[-1]) if len(steps) else 0, grid.time_base)
    return Span(len(order), grid.seconds(int(order[0])), grid.seconds(end_pts), int(order[-1]), end_pts, steps)


def last_step(duration: int, previous: int, time_base: Fraction) -> int:
    """How long the last frame stays, in ticks: its own duration, else the step before it, else one grid step; 10 s at most.

    A longer one is a damaged number, or a still that nobody speaks under.
    """
    step = duration or previous or max(1, round(Fraction(1, FPS) / time_base))
    return min(step, max(1, int(LONGEST_LAST_SECONDS / time_base)))
