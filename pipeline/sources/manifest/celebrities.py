"""CelebV-HQ's and CelebV-Text's lists: clips by name, with boxes in shares of the picture, or in pixels of an unstated size."""

from typing import Any

from pipeline.sources.manifest.boxes import UnclearBox, given_box
from pipeline.sources.manifest.checked import Rows, checked
from pipeline.sources.manifest.entries import decoded, entries, numbered
from pipeline.sources.manifest.listed import Manifest
from pipeline.sources.manifest.rows import (
    MAX_VIDEO_SECONDS,
    MICROS,
    BadRow,
    ManifestRow,
    clip_row,
    number_of,
    video_id_of,
)
from pipeline.sources.manifest.sniff import CLIPS

_READ = frozenset(("ytb_id", "duration", "bbox", "width", "height", "version"))


def celebrity_rows(text: str, manifest: Manifest) -> Rows:
    """The rows of such a list; what else it gives is counted in the manifest."""
    clips = CLIPS.search(text)
    if '"meta_info"' in text[: clips.start() if clips else 0]:
        manifest.unread["meta_info"] += 1
    manifest.numbered_by, pieces = numbered(entries(text, clips.end() if clips else 0, "}"))
    for line, piece in pieces:
        yield checked(_clip, line, piece, manifest)


def _clip(line: int, piece: str | BadRow, manifest: Manifest) -> ManifestRow:
    if isinstance(piece, BadRow):
        raise piece
    entry = decoded(piece)
    manifest.unread.update(name for name in entry if name not in _READ)
    low, high = _duration(entry)
    vid, why, box = entry.get("ytb_id"), "", None
    video_id = video_id_of(f"yt:{vid}" if isinstance(vid, str) else vid)
    try:
        box = given_box({**entry, "bbox": _part(entry, "bbox")})
    except UnclearBox as unclear:
        why = str(unclear)
    row = clip_row(line, video_id, round(low * MICROS), round(high * MICROS), box)
    if why:
        manifest.boxless[why] += 1
    return row


def _duration(entry: dict[str, Any]) -> tuple[float, float]:
    """Start and end in seconds. Raises BadRow."""
    times = _part(entry, "duration")
    if "start_sec" not in times and "start_frame" in times:
        raise BadRow("its duration is start_frame and end_frame, and their rate is not stated")
    low, high = (number_of(times.get(key), key) for key in ("start_sec", "end_sec"))
    if not (0 <= low < MAX_VIDEO_SECONDS and high < MAX_VIDEO_SECONDS):
        raise BadRow(f"start_sec or end_sec is no time of a video: {low:g}, {high:g}")
    return low, high


def _part(entry: dict[str, Any], key: str) -> dict[str, Any]:
    value = entry.get(key)
    return value if isinstance(value, dict) else {}
