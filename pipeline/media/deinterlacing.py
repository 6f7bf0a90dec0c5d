"""Interlaced and combed frames, rebuilt from their neighbours by bwdif: as many frames out as in, at the same times."""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

from av.filter import Graph

from pipeline.media.combing import PARTLY, PROGRESSIVE, Luma, looks_combed, thin_luma

_BY_FLAG = "mode=send_frame:parity=auto:deint=interlaced"


def deinterlace(frames: Iterable[Any], time_base: Fraction, rule: str | None = None) -> Iterator[Any]:
    """The frames with interlaced ones rebuilt from their neighbours, times and count unchanged.

    Args:
        frames: as they are decoded.
        time_base: of their times.
        rule: as `Combing.rule`; progressive frames pass untouched, but where all are to be rebuilt.
    """
    if rule is None:
        return _by_flag(frames, time_base)
    if rule == PROGRESSIVE:
        return iter(frames)
    return _by_order(frames, time_base, rule.removesuffix(PARTLY), partly=rule.endswith(PARTLY))


def needs_the_one_before(frame: Any, rule: str | None) -> bool:
    """Whether a frame is rebuilt with the help of the one before it."""
    return bool(frame.interlaced_frame) if rule is None else rule != PROGRESSIVE


def _by_flag(frames: Iterable[Any], time_base: Fraction) -> Iterator[Any]:
    """Rebuild frames that say that they are interlaced; the filter is not even built before the first of them."""
    filters: _Bwdif | None = None
    before: Any = None  # held back one step: an interlaced frame needs its neighbour
    for frame in frames:
        if filters is None and not frame.interlaced_frame:
            if before is not None:
                yield before
            before = frame
            continue
        if filters is None:
            filters = _Bwdif(time_base, _BY_FLAG)
            if before is not None:
                yield from filters.push(before)
        yield from filters.push(frame)
    if filters is not None:
        yield from filters.push(None)
    elif before is not None:
        yield before


def _by_order(frames: Iterable[Any], time_base: Fraction, order: str, *, partly: bool) -> Iterator[Any]:
    """Rebuild all frames, or those that are combed, with this order of fields."""
    filters = _Bwdif(time_base, f"mode=send_frame:parity={order}:deint=all")
    waiting: deque[tuple[Any, bool]] = deque()
    for frame, combed in _told(frames) if partly else ((frame, True) for frame in frames):
        waiting.append((frame, combed))
        for rebuilt in filters.push(frame):
            yield _chosen(rebuilt, *waiting.popleft())
    if waiting:
        for rebuilt in filters.push(None):
            yield _chosen(rebuilt, *waiting.popleft())


def _chosen(rebuilt: Any, frame: Any, combed: bool) -> Any:
    if not combed:
        return frame
    rebuilt.pts, rebuilt.dts, rebuilt.duration = frame.pts, frame.dts, frame.duration
    return rebuilt


def _told(frames: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """(frame, whether it is combed), each looked at between its neighbours; the first and the last have one."""
    held: deque[tuple[Any, Luma]] = deque(maxlen=2)  # the last one is still to be told
    for frame in frames:
        after = thin_luma(frame)
        if held:
            yield held[-1][0], looks_combed(held[0][1] if len(held) > 1 else after, held[-1][1], after)
        held.append((frame, after))
    if held:
        yield held[-1][0], looks_combed(held[0][1], held[-1][1], held[0][1])


class _Bwdif:
    """A bwdif graph, rebuilt when the pictures change size or format.

    Args:
        time_base: of the frames.
        options: of the filter.
    """

    def __init__(self, time_base: Fraction, options: str) -> None:
        self._time_base, self._options = time_base, options
        self._shape: tuple[int, int, str] | None = None
        self._graph: Any = None

    def push(self, frame: Any) -> list[Any]:
        """Feed one frame, None at the end; returns the frames that are ready."""
        out: list[Any] = []
        if frame is not None and (frame.width, frame.height, frame.format.name) != self._shape:
            if self._graph is not None:
                self._graph.push(None)
                out = self._pull()
            self._build(frame)
        self._graph.push(frame)
        return out + self._pull()

    def _build(self, frame: Any) -> None:
        self._shape = (frame.width, frame.height, frame.format.name)
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format.name, time_base=self._time_base
        )
        bwdif = self._graph.add("bwdif", self._options)
        self._graph.link_nodes(source, bwdif, self._graph.add("buffersink")).configure()

    def _pull(self) -> list[Any]:
        out: list[Any] = []
        while True:
            try:
                frame = self._graph.pull()
            except (BlockingIOError, EOFError):
                return out
            # The filter halves the time base to have room for fields.
            scale = frame.time_base / self._time_base
            if frame.pts is not None:
                frame.pts = round(frame.pts * scale)
            frame.duration = round(frame.duration * scale)
            frame.time_base = self._time_base
            out.append(frame)
