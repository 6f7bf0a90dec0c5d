"""Tables of clips of linked videos: EMTD's, a clip a row, and Panda-70M's, a video a row with a list of time stamps."""

import re

from pipeline.base.links import normalised
from pipeline.base.links import video_id_of as linked_id
from pipeline.sources.manifest.checked import Rows, checked
from pipeline.sources.manifest.csv_rows import csv_rows
from pipeline.sources.manifest.rows import BadRow, ManifestRow, micros_of, shown, span_row

_MAX_SPANS = 1000  # time stamps in one row
_URL = ("url", "link", "video_url")
_START = ("start timecode", "start_timecode", "start_time", "start")
_STAMPS = ("timestamp", "timestamps")
_SPAN = re.compile(r"""\[\s*(['"]?)([\d:.]{1,32})\1\s*,\s*(['"]?)([\d:.]{1,32})\3\s*\]""", re.ASCII)
_END = ("end timecode", "end_timecode", "end_time", "end")


def is_linked(columns: list[str]) -> bool:
    """Whether a table's header, in lower case, has columns for a link and the times of one clip."""
    return all(any(name in columns for name in names) for names in (_URL, _START, _END))


def is_listed(columns: list[str]) -> bool:
    """Whether it has columns for a link and a list of time stamps."""
    return all(any(name in columns for name in names) for names in (_URL, _STAMPS))


def linked_rows(text: str, listed: bool) -> Rows:
    """The rows of a table of clips: one a row, or where `listed` as many as its cell of time stamps lists."""
    header: list[str] = []
    ids: dict[str, str] = {}
    for number, cells in csv_rows(text):
        if isinstance(cells, str):
            yield number, cells
        elif not header:
            header = [cell.lower() for cell in cells]
        elif listed:
            yield from _spans(number, cells, header, ids)
        else:
            yield checked(_linked, number, cells, header, ids)


def _cell(cells: list[str], header: list[str], names: tuple[str, ...]) -> str:
    return next((cell for head, cell in zip(header, cells, strict=False) if head in names), "")


def _spans(line: int, cells: list[str], header: list[str], ids: dict[str, str]) -> Rows:
    """The clips of a video that are listed in one cell, such as `[['0:00:04.004', '0:00:09.009'], ...]`."""
    stamps = _cell(cells, header, _STAMPS)
    spans = _SPAN.findall(stamps)
    if not spans or len(spans) > _MAX_SPANS or not re.fullmatch(r"\s*(?:\[[\s,]*\])?\s*", _SPAN.sub("", stamps)):
        yield line, f"timestamp is no list of up to {_MAX_SPANS} starts and ends: {shown(stamps)}"
        return
    try:
        for _, start, _, end in spans:  # a row is whole, or lost: where one time is broken, others may be
            micros_of(start, "timestamp"), micros_of(end, "timestamp")
    except BadRow as bad:
        yield line, str(bad)
        return
    for _, start, _, end in spans:
        yield checked(_span, line, _cell(cells, header, _URL), start, end, ids)


def _linked(line: int, cells: list[str], header: list[str], ids: dict[str, str]) -> ManifestRow:
    url, start, end = (_cell(cells, header, names) for names in (_URL, _START, _END))
    return _span(line, url, start, end, ids)


def _span(line: int, url: str, start: str, end: str, ids: dict[str, str]) -> ManifestRow:
    if url not in ids:
        video_id = linked_id(normalised(url))
        if video_id is None:
            raise BadRow(f"not a link to a YouTube video: {shown(url)}")
        ids[url] = video_id
    return span_row(line, ids[url][3:], 0, start, end, None)
