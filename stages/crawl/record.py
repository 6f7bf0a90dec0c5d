"""A row of `videos`: what was measured, and what a site says, cleaned."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base.text import clean
from pipeline.base.units import Row
from pipeline.sources.web.info import handle

if TYPE_CHECKING:
    from pipeline.media.video import Probe

_MEASURED = (
    "container",
    "duration_seconds",
    "grid_frames",
    "width",
    "height",
    "source_fps",
    "variable_rate",
    "rotation_degrees",
    "interlaced",
    "video_codec",
    "pixel_format",
    "audio_codec",
    "audio_sample_rate",
    "audio_channels",
    "truncated",
    "transfer",
    "matrix",
    "bit_depth",
    "tone_mapped",
    "combed",
    "combed_share",
    "sample_aspects",
    "clock",
    "sound_track",
    "reader_version",
    "bytes",
)


def row(video_id: str, source: str, path: Path, sha256: str, probed: "Probe") -> Row:
    """A row without what a site says."""
    return {"video_id": video_id, "source": source, "path": str(path), "sha256": sha256, **measured(probed)}


def measured(probed: "Probe") -> Row:
    """What a look at the file says, and how it is to be read."""
    return {name: getattr(probed, name) for name in _MEASURED}


def metadata(info: dict[str, Any]) -> Row:
    """What the site says about a video; nothing in it is trusted, and what is not said is null."""
    page = info.get("webpage_url") or info.get("original_url")
    return {
        "url": clean(page, 2048),
        "title": clean(info.get("title"), 300),
        "channel": clean(info.get("channel") or info.get("uploader"), 200),
        "channel_id": clean(info.get("channel_id") or info.get("uploader_id"), 100),
        "channel_handle": handle(info),
        "licence": clean(info.get("license"), 200),
        "upload_date": _date(info.get("upload_date")),
        "language": clean(info.get("language"), 35),
    }


def _date(text: Any) -> str | None:
    match = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)", text) if isinstance(text, str) else None
    return f"{match[1]}-{match[2]}-{match[3]}" if match else None
