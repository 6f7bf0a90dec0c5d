"""Fields read from yt-dlp's info about a video."""

from typing import Any

from pipeline.base.text import clean


def handle(info: dict[str, Any]) -> str | None:
    """The channel's @name; null where the site has no such."""
    name = clean(info.get("uploader_id"), 100)
    return name if name and name.startswith("@") else None
