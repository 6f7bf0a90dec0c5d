"""Links: one spelling for each, and the id of the video that a link to YouTube names."""

import re
from urllib.parse import parse_qs, urlsplit, urlunsplit

from pipeline.base.ids import check_url, safe_video_id
from pipeline.base.reasons import Reason, Reject

YOUTUBE = "youtube.com"
YOUTUBE_DOMAINS = (
    YOUTUBE,
    "youtu.be",
    "youtube-nocookie.com",
    "googlevideo.com",
    "ytimg.com",
    "youtubei.googleapis.com",
)
_YOUTUBE_HOSTS = {"youtube.com", "m.youtube.com", "music.youtube.com", "youtu.be", "youtube-nocookie.com"}
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}", re.ASCII)


def normalised(text: str) -> str:
    """One spelling for one link: host in lower case, no fragment; any link to a YouTube video becomes its watch page.

    Raises:
        Reject: BAD_LINK, with what is wrong. Where a host leads is checked when it is requested.
    """
    if text.startswith("yt:"):
        return watch_page(safe_video_id(text)[3:])
    check_url(text, allow_loopback=True)
    parts = urlsplit(text)
    host = (parts.hostname or "").lower().rstrip(".")
    if host.removeprefix("www.") in _YOUTUBE_HOSTS:
        return watch_page(_youtube_id(host, parts.path, parts.query))
    port = f":{parts.port}" if parts.port and parts.port != {"http": 80, "https": 443}[parts.scheme] else ""
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, host + port, parts.path or "/", parts.query, ""))


def watch_page(video: str) -> str:
    """The canonical link of a YouTube video, from its 11 characters."""
    return f"https://www.youtube.com/watch?v={video}"


def _youtube_id(host: str, path: str, query: str) -> str:
    steps = [step for step in path.split("/") if step]
    if host.endswith("youtu.be"):
        named = steps[0] if steps else ""
    elif steps[:1] == ["watch"]:
        named = parse_qs(query).get("v", [""])[0]
    elif len(steps) > 1 and steps[0] in ("shorts", "embed", "live", "v", "e"):
        named = steps[1]
    else:
        raise Reject(Reason.BAD_LINK, f"names no single YouTube video: {path[:60]!r}")
    if not _YOUTUBE_ID.fullmatch(named):
        raise Reject(Reason.BAD_LINK, f"not a YouTube id of 11 characters: {named[:60]!r}")
    return named


def pace_host(url: str) -> str:
    """The host whose bucket a request to this link draws from: all of YouTube's are one, "youtube.com"."""
    host = (urlsplit(url).hostname or "").lower().rstrip(".")
    return YOUTUBE if is_youtube(host) else host


def is_youtube(host: str) -> bool:
    """Whether a host is YouTube's: pages, player, pictures or media."""
    return any(host == name or host.endswith("." + name) for name in YOUTUBE_DOMAINS)


def video_id_of(text: str) -> str | None:
    """`yt:<11 characters>` or `file:<16 hex>` of an id or of a link to YouTube; None when the text is neither."""
    try:
        if text.startswith(("yt:", "file:")):
            return safe_video_id(text)
        page = normalised(text)
    except Reject:
        return None
    prefix = watch_page("")
    return f"yt:{page.removeprefix(prefix)}" if page.startswith(prefix) else None
