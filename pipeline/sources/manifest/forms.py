"""The file formats of manifests, detected by content and read so that a bad row costs only itself.

- `csg405_json`: the paper's `all_with_crop.json`, a list of {vid, part, start_time, end_time, crop_box};
- `csg405_names`: its `all.txt`, `{vid}_{part}_{start}_{end}` a line, with or without `.mp4`, times with `:` and `.` or `_`;
- `emtd_csv`: a table with the columns URL, Start Timecode, End Timecode;
- `release`: our own links, a JSON object a line.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.base.ids import check_url
from pipeline.base.links import normalised, watch_page
from pipeline.base.links import video_id_of as linked_id
from pipeline.base.reasons import Reject
from pipeline.base.units import FPS
from pipeline.sources.manifest.rows import (
    MAX_VIDEO_SECONDS,
    OVERHANG_FRAMES,
    BadRow,
    Manifest,
    ManifestError,
    ManifestRow,
    box_of,
    check_length,
    number_of,
    shown,
    span_row,
    video_id_of,
)

JSON, NAMES, EMTD, RELEASE = "csg405_json", "csg405_names", "emtd_csv", "release"

MAX_BYTES = 512 << 20
_SNIFFED_BYTES = 64 << 10
_MAX_ENTRY_TOKENS = 256  # brackets and strings in one entry of a list: an honest one has about 20
_MAX_ENTRY_CHARS = 16 << 10
_MAX_DIGITS = 18

_CLOCK = r"\d\d:\d\d:\d\d\.\d{3}|\d\d_\d\d_\d\d_\d{3}"
_NAME = re.compile(rf"(.{{11}})_(\d{{1,4}})_({_CLOCK})_({_CLOCK})(?:\.mp4)?", re.ASCII)
_NAME_ENDS = re.compile(rf".*_({_CLOCK})(?:\.mp4)?", re.ASCII)
_ENTRY = re.compile(r'\{(?:[^{}"]|"[^"\\\n]*")*+\}')
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*+"|[{}\[\]]')
_NEXT_ENTRY = re.compile(r'\{\s*"(?:vid|part|start_time|end_time|crop_box)"')
_BETWEEN = re.compile(r"[\s,]*")
_URL = ("url", "link", "video_url")
_START = ("start timecode", "start_timecode", "start_time", "start")
_END = ("end timecode", "end_timecode", "end_time", "end")

Rows = Iterator[tuple[int, ManifestRow | str]]  # (line, row or what is wrong with it)


def form_of(path: Path) -> str | None:
    """Which manifest a file is, by its first 64 KB; None when it is none: a list of links, say, or no text."""
    with path.open("rb") as file:
        head = file.read(_SNIFFED_BYTES)
    if b"\0" in head:
        return None
    text = head.decode("utf-8-sig", "replace").lstrip()
    lines = [line.strip() for line in text.split("\n")]
    if text[:1] == "[":
        return JSON
    if text[:1] == "{":
        return RELEASE
    columns = [cell.strip().strip('"').lower() for cell in lines[0].split(",")]
    if all(any(name in columns for name in names) for names in (_URL, _START, _END)):
        return EMTD
    if any(_NAME_ENDS.fullmatch(line) for line in lines if "/" not in line):
        return NAMES
    return None


def read_manifest(path: Path) -> Manifest:
    """Read a manifest of any form; each row that cannot be used stands in `bad` with its line, and reading goes on.

    Raises ManifestError when the file is none, is no text, or is larger than 512 MiB.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(f"{path}: no such manifest")
    if path.stat().st_size > MAX_BYTES:
        raise ManifestError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which is no manifest")
    form = form_of(path)
    if form is None:
        raise ManifestError(
            f"{path}: no manifest: expected all_with_crop.json, all.txt, a CSV file with URL, start and end, "
            "or the links of a release (a JSON object a line)"
        )
    text = path.read_bytes().decode("utf-8-sig", "replace")
    manifest = Manifest(form)
    if form == JSON:
        _gather(manifest, _json_rows(text, manifest))
    else:
        lines = text.split("\n")  # not splitlines, which also breaks where no editor shows a line's end
        _gather(manifest, {NAMES: _name_rows, EMTD: _csv_rows, RELEASE: _release_rows}[form](lines))
    return manifest


def _gather(manifest: Manifest, rows: Rows) -> None:
    """Sort rows into good and bad; a row that names a clip again is bad.

    Two rows may show the same pictures if their boxes differ: two persons of one clip.
    """
    names: dict[str, int] = {}
    spans: dict[tuple[str, int, int], list[ManifestRow]] = {}
    for line, row in rows:
        if isinstance(row, str):
            manifest.bad[line] = row
            continue
        others = spans.setdefault((row.video_id, row.first_frame, row.frames), [])
        twin = next((o for o in others if None in (o.crop_box, row.crop_box) or o.crop_box == row.crop_box), None)
        if row.name in names:
            manifest.bad[line] = f"names the clip of {manifest.numbered_by} {names[row.name]} again: {shown(row.name)}"
        elif twin is not None:
            manifest.bad[line] = f"the same pictures as {manifest.numbered_by} {twin.line}: {shown(row.name)}"
        else:
            names[row.name] = line
            others.append(row)
            manifest.rows.append(row)


def _checked(make: Callable[..., ManifestRow], line: int, *what: Any) -> tuple[int, ManifestRow | str]:
    """The row that `make(line, *what)` returns, or what it says is wrong."""
    try:
        return line, make(line, *what)
    except BadRow as bad:
        return line, str(bad)
    except Reject as reject:  # of a link
        return line, reject.detail


def _name_rows(lines: list[str]) -> Rows:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield _checked(_named, number, text)


def _named(line: int, text: str) -> ManifestRow:
    match = _NAME.fullmatch(text)
    if not match:
        raise BadRow(f"not a name such as YqnhRPq2Hq0_0_00:05:51.920_00:06:04.717: {shown(text)}")
    vid, part, start, end = match.groups()
    return span_row(line, vid, part, start, end, None)


def _csv_rows(lines: list[str]) -> Rows:
    header: list[str] = []
    ids: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            cells = [cell.strip() for cell in next(csv.reader([line.rstrip("\r")], strict=True))]
        except csv.Error as error:
            yield number, f"not a row of CSV: {error}"
            continue
        if header:
            yield _checked(_linked, number, cells, header, ids)
        else:
            header = [cell.lower() for cell in cells]


def _linked(line: int, cells: list[str], header: list[str], ids: dict[str, str]) -> ManifestRow:
    url, start, end = (
        next((c for h, c in zip(header, cells, strict=False) if h in n), "") for n in (_URL, _START, _END)
    )
    if url not in ids:
        video_id = linked_id(normalised(url))
        if video_id is None:
            raise BadRow(f"not a link to a YouTube video: {shown(url)}")
        ids[url] = video_id
    return span_row(line, ids[url][3:], 0, start, end, None)


def _release_rows(lines: list[str]) -> Rows:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _checked(_released, number, line)


def _released(line: int, text: str) -> ManifestRow:
    entry = _object(text)
    video_id = video_id_of(entry.get("video_id"))
    url = entry.get("url")
    if url is not None:
        url = normalised(check_url(url))
    elif video_id.startswith("yt:"):
        url = watch_page(video_id[3:])
    first, frames = (_whole(entry.get(key), key) for key in ("first_frame", "frames"))
    start, end = (number_of(entry.get(key), key) for key in ("start_seconds", "end_seconds"))
    check_length(end - start)
    if not 0 <= start < MAX_VIDEO_SECONDS:
        raise BadRow(f"start_seconds is no time of a video: {start:g}")
    if abs(first - FPS * start) > 1 or abs(frames - FPS * (end - start)) > OVERHANG_FRAMES + 1:
        raise BadRow(f"first_frame {first} and frames {frames} do not fit {start:g} to {end:g} s")
    width, height = (_side(entry.get(key), key) for key in ("width", "height"))
    person = entry.get("person")
    name = entry.get("name") or f"{video_id}/{first}+{frames}#{person or 0}"
    if not isinstance(name, str) or len(name) > 200 or not name.isprintable():
        raise BadRow(f"name is no short text: {shown(name)}")
    box = box_of(entry.get("crop_box"), width, height)
    rank = None if person is None else _whole(person, "person")
    return ManifestRow(line, name, video_id, url, start, end, first, frames, box, rank)


def _whole(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**9:
        raise BadRow(f"{what} is no whole number below 10^9: {shown(value)}")
    return value


def _side(value: object, what: str) -> int:
    side = _whole(value, what)
    if not 1 <= side <= 1 << 16:
        raise BadRow(f"{what} is no side of a picture: {side}")
    return side


def _json_rows(text: str, manifest: Manifest) -> Rows:
    """The entries of a list of objects, each decoded by itself, numbered by line or, where two share one, by entry."""
    entries = list(_entries(text))
    lines = [line for line, _ in entries]
    if len(set(lines)) < len(lines):
        manifest.numbered_by = "entry"
        lines = list(range(1, len(lines) + 1))
    for number, (_, piece) in zip(lines, entries, strict=True):
        yield _checked(_entry, number, piece)


def _entry(line: int, piece: str | BadRow) -> ManifestRow:
    if isinstance(piece, BadRow):
        raise piece
    entry = _object(piece)
    missing = [key for key in ("vid", "part", "start_time", "end_time") if key not in entry]
    if missing:
        raise BadRow(f"has no {' and no '.join(missing)}")
    return span_row(line, *(entry.get(k) for k in ("vid", "part", "start_time", "end_time", "crop_box")))


def _object(piece: str) -> dict[str, Any]:
    if len(piece) > _MAX_ENTRY_CHARS:
        raise BadRow(f"an entry of {len(piece)} characters")
    try:
        value = _DECODER.decode(piece)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"not JSON: {'nested too deeply' if isinstance(error, RecursionError) else error}") from None
    if not isinstance(value, dict):
        raise BadRow(f"not an object: {shown(value)}")
    return value


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else math.inf  # thousands of digits would cost minutes


def _float(digits: str) -> float:
    return float(digits) if len(digits) <= 400 else math.inf


_DECODER = json.JSONDecoder(parse_int=_int, parse_float=_float)


def _entries(text: str) -> Iterator[tuple[int, str | BadRow]]:
    """(line, text of the object) of each entry of a list, or what is wrong with it; text between entries is one too.

    Each entry's end is found without decoding it, so that one that is broken costs itself alone and little time.
    """
    line, counted = 1, 0
    at = text.index("[") + 1
    while True:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr] # it matches the empty text too
        line, counted = line + text.count("\n", counted, at), at
        if at >= len(text):
            yield line, BadRow("the list ends without ]: is the file whole?")
            return
        if text[at] == "]":
            if text[at + 1 :].strip():
                yield line, BadRow(f"text after the end of the list: {shown(text[at + 1 :].strip()[:80])}")
            return
        end = _end_of_entry(text, at)
        if end is not None:
            yield line, text[at:end]
            at = end
            continue
        following = _NEXT_ENTRY.search(text, at + 1)
        end = following.start() if following else len(text)
        yield line, BadRow(f"not a whole object: {shown(text[at : at + 80])}")
        at = end


def _end_of_entry(text: str, at: int) -> int | None:
    """Where the object or other value that begins here ends; None when that cannot be told."""
    if text[at] != "{":
        value = re.compile(r'[^\s,{}\[\]"]+|"[^"\\\n]*"').match(text, at)
        return value.end() if value else _balanced(text, at)
    plain = _ENTRY.match(text, at)
    return plain.end() if plain else _balanced(text, at)


def _balanced(text: str, at: int) -> int | None:
    """The end of nested brackets, looked for in so many tokens at most; None when they do not match."""
    closers: list[str] = []
    for number, token in enumerate(_TOKEN.finditer(text, at, at + _MAX_ENTRY_CHARS)):
        sign = token[0]
        if sign in ("{", "["):
            closers.append("}" if sign == "{" else "]")
        elif sign in ("}", "]") and (not closers or closers.pop() != sign):
            return None
        if not closers:
            return token.end()
        if number >= _MAX_ENTRY_TOKENS:
            return None
    return None
