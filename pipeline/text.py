"""Text from outside, made fit for tables and screens."""

import unicodedata
from typing import Any


def clean(text: Any, longest: int) -> str | None:
    """One line of at most `longest` characters without control, format or surrogate characters; null when nothing is left."""
    if not isinstance(text, str):
        return None
    kept = "".join(" " if ch.isspace() else ch for ch in text[: 4 * longest] if _speaks(ch))
    return " ".join(kept.split())[:longest].strip() or None


def handle(info: dict[str, Any]) -> str | None:
    """The channel's @name, by what yt-dlp says of a video; null where the site has no such."""
    found = clean(info.get("uploader_id"), 100)
    return found if found and found.startswith("@") else None


def _speaks(ch: str) -> bool:
    # Zero-width joiners (Cf) shape words in many scripts; the bidirectional controls beside them can disguise text.
    return ch.isspace() or ch in "\u200c\u200d" or not unicodedata.category(ch).startswith("C")
