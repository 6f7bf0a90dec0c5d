"""Frames that no picture shows: of 30 a second one in six, of 60 more than half, and those between a keyframe and what is wanted.

A decoder can leave out frames that no other refers to, and all the others stay what they are to the bit. Which those are it knows
itself; which frames are not shown is told here, by the times of the packets around them.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

DECODERS = ("h264", "hevc")
"""Those that leave out what nothing refers to, packet by packet, and nothing else."""
_NOTHING, _NOT_REFERRED_TO = "DEFAULT", "NONREF"  # ffmpeg's names of what is left out
_AHEAD = 8  # packets read before one is decoded: what is shown after it often lies behind it in the file
_AROUND = 40  # packets among whose times that of the next frame is looked for


class Economy:
    """Tells an open decoder, packet by packet, to leave out what nobody is shown and nothing refers to.

    The first frame of a file fills what comes before it, and fields have times of their own: until a frame came out, and once
    one is interlaced, nothing is left out.

    Args:
        context: of the decoder.
    """

    def __init__(self, context: Any) -> None:
        self._context, self._told = context, False
        self._begun, self._fields = False, False
        context.skip_frame = _NOTHING  # whoever read before may have stopped anywhere

    def before(self, idle: bool) -> None:
        """Call it before a packet is decoded; `idle`: its frame is shown to nobody."""
        idle = idle and self._begun and not self._fields
        if idle != self._told:
            self._context.skip_frame, self._told = _NOT_REFERRED_TO if idle else _NOTHING, idle

    def after(self, frames: Sequence[Any]) -> None:
        """Call it with what came out."""
        self._begun |= bool(frames)
        self._fields |= any(frame.interlaced_frame for frame in frames)


def unshown(
    packets: Iterable[Any], first_picture: Callable[[int], int], wanted: Sequence[int]
) -> Iterator[tuple[Any, bool]]:
    """Packets of one stream in their order, each with whether its frame is shown in none of the pictures that are wanted.

    Args:
        packets: as they are decoded.
        first_picture: the first picture in which a frame of this time (ticks) may be shown.
        wanted: numbers of pictures, ascending.
    """
    waiting: deque[Any] = deque()
    times: deque[int] = deque(maxlen=_AROUND)
    for packet in packets:
        waiting.append(packet)
        if packet.pts is not None and packet.size and not packet.is_corrupt and not packet.is_discard:
            times.append(packet.pts)
        if len(waiting) > _AHEAD:
            yield waiting[0], _is_unshown(waiting.popleft(), times, first_picture, wanted)
    for packet in waiting:
        yield packet, _is_unshown(packet, times, first_picture, wanted)


def _is_unshown(packet: Any, times: Sequence[int], first_picture: Callable[[int], int], wanted: Sequence[int]) -> bool:
    """Whether another frame takes this one's place before a picture is wanted. The last two are shown: by them the end is told."""
    pts = packet.pts
    if pts is None or times.count(pts) != 1:
        return False
    after = sorted(time for time in times if time > pts)[:2]
    if len(after) < 2:
        return False
    n = bisect_left(wanted, first_picture(pts))
    return n < len(wanted) and wanted[n] >= first_picture(after[0])
