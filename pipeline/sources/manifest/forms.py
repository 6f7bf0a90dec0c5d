"""Manifests of every form (see `sniff`), read so that a bad row costs only itself."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.base.links import normalised, watch_page
from pipeline.base.units import FPS
from pipeline.sources.manifest.celebrities import celebrity_rows
from pipeline.sources.manifest.checked import Rows, checked
from pipeline.sources.manifest.entries import decoded, entries, numbered
from pipeline.sources.manifest.linked import READ, linked_rows, object_entries, table_entries
from pipeline.sources.manifest.listed import Manifest
from pipeline.sources.manifest.parquet_rows import columns_of, parquet_rows
from pipeline.sources.manifest.rows import (
    MAX_VIDEO_SECONDS,
    OVERHANG_FRAMES,
    BadRow,
    ManifestError,
    ManifestRow,
    box_of,
    check_length,
    number_of,
    shown,
    span_row,
    video_id_of,
)
from pipeline.sources.manifest.sniff import CLOCK, PARQUET, SPEAKERVID, form_of

MAX_BYTES = 512 << 20
MAX_BAD_ROWS = 1_000_000  # what has more is no manifest, and would fill the memory with complaints

NO_TIMES = (
    "SpeakerVid-5M's list names clips and gives no times: make a list of objects with youtube_id, start, end, width, "
    "height and crop_box (x1, y1, x2, y2) from its annotations, one a line"
)
_NAME = re.compile(rf"(.{{11}})_(\d{{1,4}})_({CLOCK})_({CLOCK})(?:\.mp4)?", re.ASCII)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest of any form; each row that cannot be used stands in `bad` with its line, and reading goes on.

    Raises ManifestError when the file is none, is no text, or is larger than 512 MiB.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(f"{path}: no such manifest")
    if path.stat().st_size > MAX_BYTES:
        raise ManifestError(f"{path}: larger than {MAX_BYTES >> 20} MiB: split the list")
    form = form_of(path)
    if form is None:
        raise ManifestError(
            f"{path}: no manifest: expected all_with_crop.json, all.txt, a CSV file with URL, start and end, "
            "Panda-70M's CSV, CelebV-HQ's JSON, the links of a release (a JSON object a line), or another list of "
            "links with the times of their clips"
        )
    if form == SPEAKERVID:
        raise ManifestError(f"{path}: {NO_TIMES}")
    manifest = Manifest(form)
    _gather(manifest, _rows_of(form, path, manifest))
    return manifest


def _rows_of(form: str, path: Path, manifest: Manifest) -> Rows:
    if form == PARQUET:
        manifest.numbered_by = "row"
        manifest.unread.update(name.lower() for name in columns_of(path) if name.lower() not in READ)
        return linked_rows(parquet_rows(path, READ), manifest)
    text = path.read_bytes().decode("utf-8-sig", "replace")
    lines = text.split("\n")  # not splitlines, which also breaks where no editor shows a line's end
    match form:
        case "csg405_json":
            return _numbered(entries(text, text.index("[") + 1, "]"), _entry, manifest)
        case "celebv_json":
            return celebrity_rows(text, manifest)
        case "objects":
            start = text.index("[") + 1 if text.lstrip()[:1] == "[" else 0
            manifest.numbered_by, pieces = numbered(entries(text, start, "]" if start else "", others=True))
            return linked_rows(object_entries(pieces), manifest)
        case "release" if not _is_by_line(lines):
            return _numbered(entries(text, 0), _released, manifest)
        case "release":
            return (checked(_released, n, line) for n, line in enumerate(lines, 1) if line.strip())
        case "csg405_names":
            return _name_rows(lines)
    return linked_rows(table_entries(text), manifest)


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
        url = normalised(url)  # where it leads is checked when it is requested
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
    """The rows of entries, each decoded by itself."""
    manifest.numbered_by, pieces = numbered(found)
    for number, piece in pieces:
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
