"""Clocks that restart, jump or are damaged: the packets of a file laid on one clock, picture and sound alike.

Joined .ts files, VOB and HLS with discontinuities begin to count anew; recorders jump; bits of times flip. Each stream's times, in
the order of the file, are parted where they step back or leap ahead while nothing else is shown or heard; parts of several streams
that move by the same belong together and keep their sync; each follows where the one before it ends.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.base.arrays import Ints
from pipeline.media.clock import Clock, Turn

_BACK_SECONDS = Fraction(1, 2)  # encoders that reorder step back by less
_AHEAD_SECONDS = Fraction(10)  # ffmpeg's own limit between a gap and another clock
_ALIKE_SECONDS = 2  # by which streams of one piece may differ where it ends and begins
_SLACK_SECONDS = Fraction(1, 2)  # sound that overhangs its pictures by less is laid under those of the next piece
_LEAST_PACKETS = 5  # that run on make a piece; fewer are damaged times
_NONE = -(1 << 63)


class PacketTimes:
    """Times of one stream's packets as the file has them, in its order; 40 bytes a packet."""

    def __init__(self, index: int, time_base: Fraction) -> None:
        self.index, self.time_base = index, time_base
        self.corrupt = False  # the last packet arrived incomplete
        self._dts, self._pts, self._order, self._durations = (array("q") for _ in range(4))
        self._shown = array("b")

    def add(self, packet: Any, order: int) -> None:
        """Note a packet; `order` counts those of all streams. Flush packets have no time and no place."""
        if packet.size == 0:
            return
        pts = packet.pts if packet.pts is not None else packet.dts
        dts = packet.dts if packet.dts is not None else packet.pts
        self.corrupt = packet.is_corrupt if pts is not None else self.corrupt
        self._pts.append(_NONE if pts is None else pts)
        self._dts.append(_NONE if dts is None else dts)
        self._order.append(order)
        self._durations.append(packet.duration or 0)
        self._shown.append(pts is not None and not packet.is_discard and not packet.is_corrupt)

    def __len__(self) -> int:
        return len(self._pts)

    @property
    def usable(self) -> Ints:
        """Numbers of the packets that cover time: hidden ones (edit lists) and incomplete ones do not."""
        return np.flatnonzero(np.frombuffer(self._shown, np.int8))

    @property
    def dts(self) -> Ints:
        """(packets,) ticks, in the order of the file; where there are none, presentation times."""
        return np.frombuffer(self._dts, np.int64)

    @property
    def pts(self) -> Ints:
        """(packets,) ticks; where there are none, decoding times."""
        return np.frombuffer(self._pts, np.int64)

    @property
    def order(self) -> Ints:
        """(packets,) places among the packets of all streams."""
        return np.frombuffer(self._order, np.int64)

    @property
    def durations(self) -> Ints:
        """(packets,) ticks; 0 where unknown."""
        return np.frombuffer(self._durations, np.int64)

    @cached_property
    def in_order(self) -> Ints:
        """Decoding times of usable packets, ascending; asked for when all packets are there."""
        return np.sort(self.dts[self.usable])

    def mended(self, clock: Clock) -> tuple[Ints, Ints]:
        """(ticks, ticks) presentation times and durations of usable packets, on the mended clock."""
        numbers, turns = self.usable, clock.turns.get(self.index, ())
        if not turns:
            return self.pts[numbers], self.durations[numbers]
        pts = self.pts.copy()
        lost = np.zeros(len(pts), bool)
        for turn, end in zip(turns, [*(t.packet for t in turns[1:]), len(pts)], strict=True):
            lost[turn.packet : end] = turn.shift is None
            pts[turn.packet : end] += round((turn.shift or 0) / self.time_base)
        numbers = numbers[~lost[numbers]]
        return pts[numbers], self.durations[numbers]


@dataclass
class _Piece:
    """Packets of a stream whose times run on. Times are seconds of the file's clock."""

    first: int  # number of its first packet
    order: int
    start: Fraction  # of its first picture or sample, in presentation order
    end: Fraction  # of its last, its length included
    shift: Fraction | None = None


def clock_of(streams: Sequence[PacketTimes], zero: Fraction) -> Clock:
    """How to mend a file.

    Args:
        streams: times of all its packets, the stream that leads (the pictures') first.
        zero: presentation zero as the container has it, seconds.
    """
    streams = [times for times in streams if len(times.usable)]
    parted = [_parted(times, [o for o in streams if o is not times]) for times in streams]
    if not parted:
        return Clock()
    pieces = [found for found, _ in parted]
    _lay(pieces)
    turns = {
        times.index: made
        for times, (found, strays) in zip(streams, parted, strict=True)
        if (made := _turns(found, strays))
    }
    firsts = [found[0].start + (found[0].shift or 0) for found in pieces if found]
    begins = min(firsts, default=zero)
    wrong = abs(begins - zero) > _AHEAD_SECONDS
    return Clock(turns, begins if wrong else None)


def _parted(times: PacketTimes, others: Sequence[PacketTimes]) -> tuple[list[_Piece], list[int]]:
    """The pieces of a stream, and the numbers of packets whose times are damaged."""
    ahead, back = (int(limit / times.time_base) for limit in (_AHEAD_SECONDS, _BACK_SECONDS))
    usable = times.usable
    torn = np.abs(times.pts[usable] - times.dts[usable]) > ahead  # one of the two is damaged
    numbers, strays = usable[~torn], usable[torn].tolist()
    dts = times.dts[numbers]
    steps = np.diff(dts)
    jumps = [
        int(at) + 1
        for at in np.flatnonzero((steps > ahead) | (steps < -back))
        if steps[at] < 0 or not _covered(int(dts[at]) * times.time_base, int(dts[at + 1]) * times.time_base, others)
    ]
    if not jumps:
        return [_piece(times, numbers)] if len(numbers) else [], strays
    runs = np.split(np.arange(len(numbers)), jumps)
    kept: list[list[Any]] = []
    for run in runs:
        if len(run) < _LEAST_PACKETS:
            strays += numbers[run].tolist()
        elif kept and -back <= dts[run[0]] - dts[kept[-1][-1][-1]] <= ahead:
            kept[-1].append(run)  # what lay between was damaged
        else:
            kept.append([run])
    return [_piece(times, numbers[np.concatenate(joined)]) for joined in kept], strays


def _covered(start: Fraction, end: Fraction, others: Sequence[PacketTimes]) -> bool:
    """Whether another stream goes on through a gap, so that the clock runs on and only nothing new is shown or heard."""
    for times in others:
        low, high = (int(edge / times.time_base) for edge in (start, end))
        dts = times.in_order
        inside = dts[np.searchsorted(dts, low, "right") : np.searchsorted(dts, high)]
        holes = np.diff(np.concatenate([[low], inside, [high]]))
        if int(holes.max()) * times.time_base <= _AHEAD_SECONDS:
            return True
    return False


def _piece(times: PacketTimes, numbers: Ints) -> _Piece:
    base = times.time_base
    pts = np.sort(times.pts[numbers])
    length = int(np.median(np.diff(pts))) if len(pts) > 1 else int(times.durations[numbers[0]])
    first = int(numbers[0])
    return _Piece(
        first=first,
        order=int(times.order[first]),
        start=int(pts[0]) * base,
        end=(int(pts[-1]) + length) * base,
    )


def _lay(streams: Sequence[list[_Piece]]) -> None:
    """Give every piece its shift: pieces that belong together the same one, where the last ones end."""
    for pieces in streams:
        if pieces:
            pieces[0].shift = Fraction(0)
    for number, pieces in enumerate(streams):
        for at, piece in enumerate(pieces[1:], start=1):
            if piece.shift is None:
                until = pieces[at + 1].order if at + 1 < len(pieces) else None
                _follow([(pieces, at), *_together(piece, until, streams[number + 1 :])])
    if streams[0]:
        for pieces in streams[1:]:
            _join_late(pieces, streams[0])


def _together(piece: _Piece, until: int | None, others: Sequence[list[_Piece]]) -> list[tuple[list[_Piece], int]]:
    """The pieces of other streams that belong to this one: begun before the next (`until`) in the file, within its times."""
    found = []
    for pieces in others:
        for at, other in enumerate(pieces):
            begun = other.shift is None and (until is None or other.order < until)
            if begun and piece.start - _ALIKE_SECONDS < other.start < piece.end + _ALIKE_SECONDS:
                found.append((pieces, at))
                break
    return found


def _follow(together: Sequence[tuple[list[_Piece], int]]) -> None:
    """Lay pieces right after those before them; the first of them leads, the others may overhang it a little."""
    ends, starts = [], []
    for number, (pieces, at) in enumerate(together):
        before, slack = pieces[at - 1], _SLACK_SECONDS if number else Fraction(0)
        ends.append(before.end + (before.shift or 0) - slack)
        starts.append(pieces[at].start + slack)
    shift = max(ends) - min(starts)
    if len(together) == 1:
        [(pieces, at)] = together
        back = [s for p in pieces[:at] if (s := p.shift) is not None and -_BACK_SECONDS <= s - shift <= _AHEAD_SECONDS]
        shift = back[-1] if back else shift  # from damaged times to where it was, in step with the others
    for pieces, at in together:
        pieces[at].shift = shift


def _join_late(pieces: list[_Piece], leader: Sequence[_Piece]) -> None:
    """Move a stream that begins in a later piece of the leader's with it, and let one of another clock begin with the leader."""
    if not pieces:
        return
    first = pieces[0]
    while_shown = [piece for piece in leader if piece.order <= first.order]
    shift = while_shown[-1].shift if while_shown else None
    shown, heard = (max(piece.end + (piece.shift or 0) for piece in found) for found in (leader, pieces))
    if shift and first.start >= while_shown[-1].start - _AHEAD_SECONDS:
        first.shift = shift
    elif first.start - shown > _AHEAD_SECONDS or leader[0].start - heard > _AHEAD_SECONDS:
        first.shift = leader[0].start - first.start


def _turns(pieces: Sequence[_Piece], strays: Sequence[int]) -> tuple[Turn, ...]:
    """The turns of a stream from its pieces and damaged packets."""
    if not pieces:
        return (Turn(0, None),)
    shifts: dict[int, Fraction | None] = {piece.first: piece.shift for piece in pieces}
    if set(shifts.values()) == {Fraction(0)} and not strays:
        return ()
    starts = sorted(shifts)
    for number in strays:
        shifts[number] = None
        following = number + 1
        if following not in strays and following not in shifts:
            shifts[following] = next((shifts[s] for s in reversed(starts) if s <= following), Fraction(0))
    turns: list[Turn] = []
    for number, shift in sorted(shifts.items()):
        if (turns[-1].shift if turns else Fraction(0)) != shift:
            turns.append(Turn(number, shift))
    return tuple(turns)
