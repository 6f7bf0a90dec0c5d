"""Times as others' lists give them: `0:00:12.400`, seconds, or frames at a stated rate."""

import math
import re
from collections.abc import Mapping
from typing import Any

from pipeline.sources.manifest.rows import MAX_VIDEO_SECONDS, MICROS, BadRow, micros_of, number_of, shown

START = ("start timecode", "start_timecode", "start_time", "start-time", "start_sec", "start_seconds", "start")
END = ("end timecode", "end_timecode", "end_time", "end-time", "end_sec", "end_seconds", "end")
FIRST, LAST = ("start_frame", "start-frame"), ("end_frame", "end-frame")
STAMPS = ("timestamp", "timestamps", "clips", "spans")
RATE = ("fps", "frame_rate")
NAMES = (*START, *END, *FIRST, *LAST, *STAMPS, *RATE)

_MAX_SPANS = 1000  # time stamps in one row
_MAX_FPS = 1000.0
_SPAN = re.compile(r"""\[\s*(['"]?)([\d:.]{1,32})\1\s*,\s*(['"]?)([\d:.]{1,32})\3\s*\]""", re.ASCII)
_SECONDS = re.compile(r"\d{1,7}(?:\.\d{1,12})?", re.ASCII)

Span = tuple[int, int]  # start and end in microseconds


def spans_of(entry: Mapping[str, Any]) -> list[Span]:
    """The clips of a row, whose names are in lower case. Raises BadRow: a row is whole, or lost."""
    start, end = first_of(entry, START), first_of(entry, END)
    if start is not None or end is not None:
        return [span_of(start, end)]
    stamps = first_of(entry, STAMPS)
    if stamps is not None:
        return _listed(stamps)
    first, last = first_of(entry, FIRST), first_of(entry, LAST)
    if first is None and last is None:
        raise BadRow("has neither start and end nor a list of time stamps")
    rate = first_of(entry, RATE)
    if rate is None:
        raise BadRow("its times are frames, and their rate (fps) is not stated")
    return [_of_frames(first, last, rate)]


def first_of(entry: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first of these names that has one; None, and "" as in an empty cell, are none."""
    return next((value for name in names if (value := entry.get(name)) is not None and value != ""), None)


def is_timed(names: set[str]) -> bool:
    """Whether rows with these columns or keys, in lower case, give times of clips."""
    pairs = ((START, END), (FIRST, LAST))
    return not names.isdisjoint(STAMPS) or any(not (names.isdisjoint(a) or names.isdisjoint(b)) for a, b in pairs)


def span_of(start: object, end: object) -> Span:
    """Start and end, both as clock times or both in seconds. Raises BadRow."""
    for time, what in ((start, "start_time"), (end, "end_time")):
        if time is None:
            raise BadRow(f"{what} is no time: it is not given")
    return _micros(start, "start_time", _same(start, end)), _micros(end, "end_time", _same(start, end))


def _same(*times: object) -> bool:
    """Whether all are numbers; where they are neither all numbers nor all clock times, one of them is damaged."""
    return all(_is_number(time) for time in times)


def _is_number(time: object) -> bool:
    return bool(_SECONDS.fullmatch(time)) if isinstance(time, str) else isinstance(time, int | float)


def _micros(time: object, what: str, in_seconds: bool) -> int:
    if not in_seconds:
        return micros_of(time, what)
    seconds = _number(time, what)
    if not 0 <= seconds < MAX_VIDEO_SECONDS:
        raise BadRow(f"{what} is no time of a video: {seconds:g}")
    return round(seconds * MICROS)


def _listed(stamps: object) -> list[Span]:
    """The spans of a list such as [["0:00:04.004", "0:00:09.009"], [12, 17.5]], or of the text of one."""
    pairs = _written(stamps) if isinstance(stamps, str) else _nested(stamps)
    if not pairs or len(pairs) > _MAX_SPANS:
        raise BadRow(f"timestamp is no list of up to {_MAX_SPANS} starts and ends: {shown(stamps)}")
    same = _same(*(time for pair in pairs for time in pair))
    return [(_micros(start, "timestamp", same), _micros(end, "timestamp", same)) for start, end in pairs]


def _written(text: str) -> list[tuple[str, str]]:
    around = _SPAN.sub("", text)
    found = _SPAN.findall(text) if re.fullmatch(r"\s*(?:\[[\s,]*\])?\s*", around) else []
    return [(start, end) for _, start, _, end in found]


def _nested(value: object) -> list[tuple[Any, Any]]:
    if not isinstance(value, list):
        return []
    pairs = [value] if len(value) == 2 and not isinstance(value[0], list) else value
    return [tuple(pair) for pair in pairs] if all(isinstance(p, list) and len(p) == 2 for p in pairs) else []


def _of_frames(first: object, last: object, rate: object) -> Span:
    """Frames at a constant rate; the last is taken as the first that is no longer of the clip."""
    fps, low, high = _number(rate, "fps"), _number(first, "start_frame"), _number(last, "end_frame")
    if not 1 <= fps <= _MAX_FPS:
        raise BadRow(f"fps is no rate of a video: {fps:g}")
    for frame, what in ((low, "start_frame"), (high, "end_frame")):
        if frame < 0 or frame != math.floor(frame) or frame / fps >= MAX_VIDEO_SECONDS:
            raise BadRow(f"{what} is no number of a frame: {frame:g}")
    return round(low * MICROS / fps), round(high * MICROS / fps)


def _number(value: object, what: str) -> float:
    return number_of(float(value) if isinstance(value, str) and _SECONDS.fullmatch(value) else value, what)
