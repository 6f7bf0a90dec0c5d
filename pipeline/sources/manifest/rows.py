"""Rows of a link manifest: their checks, their frames, and their place in the fetched video.

Times are turned into frames of the 25-fps grid in exact arithmetic: first frame = 25 x start, frames = 25 x (end - start),
each rounded to the nearest whole number, halves up. That is the grid's own rule: picture n stands for the time from
n/25 - 1/50 up to, not including, n/25 + 1/50. Both times are kept as they were given.
"""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.base.errors import StageError
from pipeline.base.links import watch_page
from pipeline.base.reasons import Reason
from pipeline.base.units import FPS, LONGEST_CLIP_SECONDS, FloatBox, Row

MICROS = 1_000_000  # times are whole microseconds: manifests write milliseconds
PART_SECONDS = 3600  # a `part` is a one-hour piece of a video
PART_SLACK_SECONDS = 120  # a piece may run a little over
MIN_SECONDS, MAX_SECONDS = 0.2, float(LONGEST_CLIP_SECONDS)
MAX_VIDEO_SECONDS = 1000 * 3600
WIDTH, HEIGHT = 1280, 720  # of the picture in which released boxes are given
OVERHANG_FRAMES = 2  # the rounding of a clip's two times may cost one, the container's own length another


_VIDEO_ID = re.compile(r"yt:[A-Za-z0-9_-]{11}|file:[0-9a-f]{16}", re.ASCII)
_TIME = re.compile(r"(\d{1,3})([:_])([0-5]\d)\2([0-5]\d)(?:[.,_](\d{1,6}))?", re.ASCII)


class ManifestError(StageError):
    """Raised for a file that is no manifest at all; the message says what it should be."""


class BadRow(ValueError):
    """Raised for a row that cannot be used; the message says why in one line."""


class ManifestRow(NamedTuple):
    """One clip that a manifest names. A tuple, because a manifest has 150,000 of them.

    Attributes:
        line: line of the manifest, or number of the entry where lines do not tell them apart; from 1.
        name: `{vid}_{part}_{start}_{end}` with `:` and `.`, or the name that our own release gives.
        video_id: yt:<11 characters>, or file:<16 hex digits> in our own release.
        url: where the video is; None where no site has it.
        start_seconds: from the beginning of the whole video, seconds.
        end_seconds: likewise.
        first_frame: on the 25-fps grid of the whole video.
        frames: at 25 fps.
        crop_box: x1, y1, x2, y2 in pixels of a picture of 1280x720; None where the manifest has none.
        person: rank in the clip, in our own release; None elsewhere.
    """

    line: int
    name: str
    video_id: str
    url: str | None
    start_seconds: float
    end_seconds: float
    first_frame: int
    frames: int
    crop_box: FloatBox | None
    person: int | None = None


@dataclass(frozen=True)
class Problem:
    """Why a row gives no clip of its video."""

    reason: Reason
    detail: str


def shown(value: object) -> str:
    """Untrusted text, shortened to one line."""
    text = repr(value[:80] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def micros_of(value: object, what: str) -> int:
    """`HH:MM:SS.mmm`, also with `_` for `:` and `.`, in microseconds."""
    match = _TIME.fullmatch(value) if isinstance(value, str) and len(value) < 32 else None
    if match is None:
        raise BadRow(f"{what} is no time such as 00:05:51.920: {shown(value)}")
    hours, _, minutes, seconds, part = match.groups()
    whole = 3600 * int(hours) + 60 * int(minutes) + int(seconds)
    return whole * MICROS + int((part or "0").ljust(6, "0"))


def frames_of(start: int, end: int) -> tuple[int, int]:
    """First frame and number of frames of a span of microseconds: nearest, halves up."""
    half = MICROS // 2
    return (FPS * start + half) // MICROS, (FPS * (end - start) + half) // MICROS


def span_row(line: int, vid: object, part: object, start: object, end: object, box: object) -> ManifestRow:
    """A row of the paper's release, checked; `part` shifts the times by whole hours.

    Raises BadRow.
    """
    video_id = video_id_of(f"yt:{vid}" if isinstance(vid, str) else vid)
    hour = _part(part)
    low, high = micros_of(start, "start_time"), micros_of(end, "end_time")
    if hour and high > (PART_SECONDS + PART_SLACK_SECONDS) * MICROS:
        raise BadRow(f"ends at {high / MICROS:g} s of part {hour}, and a part lasts {PART_SECONDS} s")
    check_length((high - low) / MICROS)
    name = f"{video_id[3:]}_{hour}_{clock(low)}_{clock(high)}"
    shift = PART_SECONDS * MICROS * hour
    return _row(line, name, video_id, low + shift, high + shift, box_of(box))


def clip_row(line: int, video_id: str, low: int, high: int, box: FloatBox | None) -> ManifestRow:
    """A row of somebody else's list: its times in microseconds from the video's beginning. Raises BadRow."""
    check_length((high - low) / MICROS)
    return _row(line, f"{video_id[3:]}_0_{clock(low)}_{clock(high)}", video_id, low, high, box)


def _row(line: int, name: str, video_id: str, low: int, high: int, box: FloatBox | None) -> ManifestRow:
    url = watch_page(video_id[3:])
    return ManifestRow(line, name, video_id, url, low / MICROS, high / MICROS, *frames_of(low, high), box)


def clock(micros: int) -> str:
    """`HH:MM:SS.mmm`, with as many more digits as the time has."""
    seconds, rest = divmod(micros, MICROS)
    digits = f"{rest:06d}"
    digits = digits[:3] if digits.endswith("000") else digits
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{digits}"


def video_id_of(value: object) -> str:
    if not isinstance(value, str) or not _VIDEO_ID.fullmatch(value):
        value = value.removeprefix("yt:") if isinstance(value, str) else value
        raise BadRow(f"not a YouTube id of 11 characters: {shown(value)}")
    return value


def _part(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}", value, re.ASCII):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 999:
        raise BadRow(f"part is no whole number from 0 to 999: {shown(value)}")
    return value


def check_length(seconds: float) -> None:
    """Raise BadRow unless a clip may last so long."""
    if seconds <= 0:
        raise BadRow(f"ends {-seconds:g} s before it starts" if seconds else "ends where it starts")
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise BadRow(f"lasts {seconds:g} s; a clip lasts {MIN_SECONDS:g} to {MAX_SECONDS:g} s")


def number_of(value: object, what: str) -> float:
    """A finite number; BadRow otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRow(f"{what} is no number: {shown(value)}")
    return float(value)


def box_of(value: object, width: float = WIDTH, height: float = HEIGHT) -> FloatBox | None:
    """A box of a picture of this size, in pixels of one of 1280x720; None for `[]` and null.

    Boxes may leave the picture by as much as its own size, and must have a pixel in it. Raises BadRow.
    """
    if value is None or value == []:
        return None
    if not isinstance(value, list) or len(value) != 4:
        raise BadRow(f"crop_box is neither [] nor four numbers: {shown(value)}")
    x1, y1, x2, y2 = (number_of(v, "crop_box") for v in value)
    if x2 - x1 < 1 or y2 - y1 < 1:
        raise BadRow(f"crop_box holds no pixel: {shown(value)}")
    if x1 < -width or y1 < -height or x2 > 2 * width or y2 > 2 * height:
        raise BadRow(f"crop_box leaves its picture of {width:g}x{height:g} by far: {shown(value)}")
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        raise BadRow(f"crop_box lies outside its picture of {width:g}x{height:g}: {shown(value)}")
    return x1 * WIDTH / width, y1 * HEIGHT / height, x2 * WIDTH / width, y2 * HEIGHT / height


def scaled(box: FloatBox, width: int, height: int) -> FloatBox:
    """A box of a picture of 1280x720 in pixels of the one that was fetched, scaled on each axis by itself."""
    x1, y1, x2, y2 = box
    return x1 * width / WIDTH, y1 * height / HEIGHT, x2 * width / WIDTH, y2 * height / HEIGHT


def place(row: ManifestRow, video: Row) -> Row | Problem:
    """The row of `clips` that a manifest's row makes of its video, or why it makes none.

    A clip that hangs over the video's end by up to 2 frames loses these: the last pictures of another encoding of the
    same video may be missing. One that hangs over by more is another video's, or another cut of it.

    Args:
        row: a good row.
        video: the row of `videos`: grid_frames, width and height.
    """
    length = video["grid_frames"] or 0
    over = row.first_frame + row.frames - length
    if over > OVERHANG_FRAMES or row.first_frame >= length:
        return Problem(
            Reason.OUT_OF_VIDEO,
            f"frames {row.first_frame} to {row.first_frame + row.frames}, and the video has {length}",
        )
    frames = row.frames - max(0, over)
    box = None if row.crop_box is None else list(scaled(row.crop_box, video["width"], video["height"]))
    return {
        "clip_id": f"{row.video_id}/{row.first_frame}+{frames}",
        "video_id": row.video_id,
        "first_frame": row.first_frame,
        "frames": frames,
        "start_seconds": row.start_seconds,
        "end_seconds": row.end_seconds,
        "manifest_crop_box": box,
        "manifest_line": row.line,
        "manifest_name": row.name,
    }
