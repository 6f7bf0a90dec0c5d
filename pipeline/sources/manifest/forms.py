"""The file formats of manifests, detected by content and read so that a bad row costs only itself.

- `csg405_json`: the paper's `all_with_crop.json`, a list of {vid, part, start_time, end_time, crop_box};
- `csg405_names`: its `all.txt`, `{vid}_{part}_{start}_{end}` a line, with or without `.mp4`, times with `:` and `.` or `_`;
- `emtd_csv`: a table with the columns URL, Start Timecode, End Timecode;
- `panda_csv`: Panda-70M's table, whose column `timestamp` lists the clips of the video `url`;
- `celebv_json`: CelebV-HQ's object of `clips` by name, with `ytb_id`, `duration` in seconds and `bbox` in shares of the picture;
- `release`: our own links, a JSON object a line, or printed over several lines.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.base.ids import check_url
from pipeline.base.links import normalised, watch_page
from pipeline.base.text import is_text
from pipeline.base.units import FPS
from pipeline.sources.manifest.checked import Rows, checked
from pipeline.sources.manifest.entries import decoded, entries
from pipeline.sources.manifest.linked import is_linked, is_listed, linked_rows
from pipeline.sources.manifest.rows import (
    HEIGHT,
    MAX_VIDEO_SECONDS,
    MICROS,
    OVERHANG_FRAMES,
    WIDTH,
    BadRow,
    Manifest,
    ManifestError,
    ManifestRow,
    box_of,
    check_length,
    clock,
    number_of,
    shown,
    span_row,
    video_id_of,
)

JSON, NAMES, EMTD, RELEASE = "csg405_json", "csg405_names", "emtd_csv", "release"
PANDA, CELEBV = "panda_csv", "celebv_json"

MAX_BYTES = 512 << 20
MAX_BAD_ROWS = 1_000_000  # what has more is no manifest, and would fill the memory with complaints
_SNIFFED_BYTES = 64 << 10

_CLOCK = r"\d\d:\d\d:\d\d\.\d{3}|\d\d_\d\d_\d\d_\d{3}"
_NAME = re.compile(rf"(.{{11}})_(\d{{1,4}})_({_CLOCK})_({_CLOCK})(?:\.mp4)?", re.ASCII)
_NAME_ENDS = re.compile(rf".*_({_CLOCK})(?:\.mp4)?", re.ASCII)
_CLIPS = re.compile(r'"clips"\s*:\s*\{')


def form_of(path: Path) -> str | None:
    """Which manifest a file is, by its first 64 KB; None when it is none: a list of links, say, or no text."""
    with path.open("rb") as file:
        head = file.read(_SNIFFED_BYTES)
    text = head.decode("utf-8-sig", "replace").lstrip()
    if not is_text(text):
        return None
    lines = [line.strip() for line in text.split("\n")]
    if text[:1] == "[":
        return JSON
    if text[:1] == "{":
        return CELEBV if '"ytb_id"' in text and _CLIPS.search(text) else RELEASE
    columns = [cell.strip().strip('"').lower() for cell in lines[0].split(",")]
    if is_linked(columns):
        return EMTD
    if is_listed(columns):
        return PANDA
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
            "Panda-70M's CSV, CelebV-HQ's JSON, or the links of a release (a JSON object a line)"
        )
    text = path.read_bytes().decode("utf-8-sig", "replace")
    manifest = Manifest(form)
    _gather(manifest, _rows_of(form, text, manifest))
    return manifest


def _rows_of(form: str, text: str, manifest: Manifest) -> Rows:
    lines = text.split("\n")  # not splitlines, which also breaks where no editor shows a line's end
    match form:
        case "csg405_json":
            return _numbered(entries(text, text.index("[") + 1, "]"), _entry, manifest)
        case "celebv_json":
            clips = _CLIPS.search(text)
            return _numbered(entries(text, clips.end() if clips else 0, "}"), _celebrity, manifest)
        case "release" if not _is_by_line(lines):
            return _numbered(entries(text, 0), _released, manifest)
        case "release":
            return (checked(_released, n, line) for n, line in enumerate(lines, 1) if line.strip())
        case "csg405_names":
            return _name_rows(lines)
    return linked_rows(text, listed=form == PANDA)


def _is_by_line(lines: list[str]) -> bool:
    """Whether most objects that begin a line end it too; else they are printed over several lines each."""
    begun = [line.strip() for line in lines if line.lstrip()[:1] == "{"]
    return 2 * sum(line[-1:] == "}" for line in begun) >= len(begun)


def _gather(manifest: Manifest, rows: Rows) -> None:
    """Sort rows into good and bad; a row that names a clip again is bad.

    Two rows may show the same pictures if their boxes differ: two persons of one clip.
    """
    names: dict[str, int] = {}
    spans: dict[tuple[str, int, int], list[ManifestRow]] = {}
    for line, row in rows:
        if isinstance(row, str):
            _refuse(manifest, line, row)
            continue
        others = spans.setdefault((row.video_id, row.first_frame, row.frames), [])
        twin = next((o for o in others if None in (o.crop_box, row.crop_box) or o.crop_box == row.crop_box), None)
        if row.name in names:
            again = f"names the clip of {manifest.numbered_by} {names[row.name]} again: {shown(row.name)}"
            _refuse(manifest, line, again)
        elif twin is not None:
            _refuse(manifest, line, f"the same pictures as {manifest.numbered_by} {twin.line}: {shown(row.name)}")
        else:
            names[row.name] = line
            others.append(row)
            manifest.rows.append(row)


def _refuse(manifest: Manifest, line: int, text: str) -> None:
    """Note what is wrong with a row, or with one of the clips that a row names."""
    known = manifest.bad.get(line)
    manifest.bad[line] = text if known is None else f"{known}; {text}"[:300]
    if len(manifest.bad) > MAX_BAD_ROWS:
        raise ManifestError(f"no manifest: more than {MAX_BAD_ROWS:,} bad rows, the last of them: {text}")


def _name_rows(lines: list[str]) -> Rows:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield checked(_named, number, text)


def _named(line: int, text: str) -> ManifestRow:
    match = _NAME.fullmatch(text)
    if not match:
        raise BadRow(f"not a name such as YqnhRPq2Hq0_0_00:05:51.920_00:06:04.717: {shown(text)}")
    vid, part, start, end = match.groups()
    return span_row(line, vid, part, start, end, None)


def _released(line: int, piece: str | BadRow) -> ManifestRow:
    entry = _object(piece)
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


def _numbered(found: Iterator[tuple[int, str | BadRow]], make: Callable[..., ManifestRow], manifest: Manifest) -> Rows:
    """The rows of entries, each decoded by itself, numbered by line or, where two share one, by entry."""
    pieces = list(found)
    lines = [line for line, _ in pieces]
    if len(set(lines)) < len(lines):
        manifest.numbered_by = "entry"
        lines = list(range(1, len(lines) + 1))
    for number, (_, piece) in zip(lines, pieces, strict=True):
        yield checked(make, number, piece)


def _object(piece: str | BadRow) -> dict[str, Any]:
    if isinstance(piece, BadRow):
        raise piece
    return decoded(piece)


def _entry(line: int, piece: str | BadRow) -> ManifestRow:
    entry = _object(piece)
    missing = [key for key in ("vid", "part", "start_time", "end_time") if key not in entry]
    if missing:
        raise BadRow(f"has no {' and no '.join(missing)}")
    return span_row(line, *(entry.get(k) for k in ("vid", "part", "start_time", "end_time", "crop_box")))


def _celebrity(line: int, piece: str | BadRow) -> ManifestRow:
    entry = _object(piece)
    times, box = (_part(entry, key) for key in ("duration", "bbox"))
    low, high = (number_of(times.get(key), key) for key in ("start_sec", "end_sec"))
    if not (0 <= low < MAX_VIDEO_SECONDS and high < MAX_VIDEO_SECONDS):
        raise BadRow(f"start_sec or end_sec is no time of a video: {low:g}, {high:g}")
    left, top, right, bottom = (number_of(box.get(key), key) for key in ("left", "top", "right", "bottom"))
    start, end = (clock(round(seconds * MICROS)) for seconds in (low, high))
    crop = [left * WIDTH, top * HEIGHT, right * WIDTH, bottom * HEIGHT]
    return span_row(line, entry.get("ytb_id"), 0, start, end, crop)


def _part(entry: dict[str, Any], key: str) -> dict[str, Any]:
    value = entry.get(key)
    return value if isinstance(value, dict) else {}
