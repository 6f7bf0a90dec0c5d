"""Classification of download errors: one table from yt-dlp's messages and HTTP statuses to reasons.

The first rule that matches wins. A reason of class `dead`, `bad` or `unwanted` is a result (`Reject`), one of class
`later` or `blocked` a failure that the next run tries again.
"""

import errno
import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from pipeline.base.links import is_youtube
from pipeline.base.reasons import Failure, Reason, ReasonClass, Reject

STATUSES: dict[int, Reason] = {
    401: Reason.LOGIN_NEEDED,
    402: Reason.THROTTLED,  # YouTube's answer to an address that asked too often
    403: Reason.THROTTLED,
    404: Reason.GONE,
    407: Reason.NETWORK,
    408: Reason.NETWORK,
    410: Reason.GONE,
    416: Reason.NETWORK,
    425: Reason.THROTTLED,
    429: Reason.THROTTLED,
    451: Reason.GEO_BLOCKED,
    503: Reason.THROTTLED,
}

# (pattern, reason), matched in this order against the message in lower case, without its ids and addresses.
# What a host says of us comes before any HTTP status; what it says of a video, after.
OF_US: tuple[tuple[str, Reason], ...] = (
    (r"not a (bot|robot)\b|captcha|anti-bot|unusual traffic|ip is likely being blocked", Reason.BOT_WALL),
    (
        r"rate.?limited|too many requests|http error (402|403|429|503)\b|try again later|request was throttled|quota exceeded for",
        Reason.THROTTLED,
    ),
    (r"no space left|disk quota exceeded", Reason.DISK_FULL),
    (r"read-only file system|permission denied|unable to (open for writing|create directory)", Reason.NOT_WRITABLE),
    (r"restricted mode|workspace administrator|censorship|filtering software|has been blocked by", Reason.NETWORK),
)
OF_THE_VIDEO: tuple[tuple[str, Reason], ...] = (
    # A sentence may say several things ("private", "sign in"; "account", "terminated", "copyright"): the surest first.
    (r"private (video|channel)|(video|channel) is private|granted (you )?access", Reason.PRIVATE),
    (
        r"account .*(terminated|closed)|closed their .*account|(account|channel) has been (closed|deleted)",
        Reason.TERMINATED,
    ),
    (r"copyright|trademark|content from .*who has blocked", Reason.COPYRIGHT),
    (r"(your|this) (country|location|region)|geo.?restrict|geo.?block", Reason.GEO_BLOCKED),
    (r"confirm your age|age.?restricted|age.?verification|inappropriate|age.?gate", Reason.AGE_RESTRICTED),
    (
        r"members.only|channel.s members|join this channel|premium|requires? (payment|purchase|rental)|paying to watch",
        Reason.MEMBERS_ONLY,
    ),
    (r"\bdrm\b", Reason.DRM_PROTECTED),
    (r"recording is not available", Reason.REMOVED),
    (
        r"live event|is (currently )?live\b|not currently live|premiere|will begin|not started|\boffline\b|is upcoming"
        r"|processing this video|being processed|check back later|stream has ended",
        Reason.NOT_FINISHED,
    ),
    (
        r"(on|in) this (app|device)|latest version of youtube|needs to be reloaded|playback on other websites|precondition check"
        r"|invalid argument|signature extraction|nsig|cannot identify player|any player response|javascript runtime|po token",
        Reason.EXTRACTOR_BROKEN,
    ),
    (r"(has been|was) (removed|deleted|taken down|terminated)|removed by|violat(ing|ion|ed)", Reason.REMOVED),
    (
        r"video (is )?(unavailable|not available|no longer available)|(content|video) isn.t available|no longer (available|exists)"
        r"|isn.t available any ?more|does(n.t| not) exist|http error 404|page not found",
        Reason.GONE,
    ),
    (r"log.?in\b|sign in|registered users|authenticat|use --cookies|account cookies", Reason.LOGIN_NEEDED),
    (
        r"unsupported url(?! scheme)|no video could be found|unable to find video|does not have an? .* tab",
        Reason.NOT_MEDIA,
    ),
    (
        r"not a valid url|invalid url|unsupported url scheme|truncated|incomplete youtube id|file:// urls",
        Reason.BAD_LINK,
    ),
    (r"without video id|redirect url|requires websocket support", Reason.BAD_LINK),
    (r"postprocessing:|conversion failed|aes key length", Reason.CORRUPT),
    # what is left is the network's doing, or the extractor's
    (r"timed? ?out|connection|resolve|network|ssl\b|certificate|incomplete|more expected|bytes read", Reason.NETWORK),
    (
        r"expected \d+ bytes|giving up after|did not get any data|http error 5\d\d|remote end closed|content too short"
        r"|conflicting range|file is empty|fragment \d+ not found|unable to (connect|download)|error reading response",
        Reason.NETWORK,
    ),
    (
        r"unable to (extract|parse|recognize|find selected)|failed to (extract|parse|resolve)|no video formats|extractor error"
        r"|only images are available|response data has no|could not parse",
        Reason.EXTRACTOR_BROKEN,
    ),
    (r"requested format is not available", Reason.NO_VIDEO),
)
_OF_US, _OF_THE_VIDEO = (
    tuple((re.compile(pattern), reason) for pattern, reason in table) for table in (OF_US, OF_THE_VIDEO)
)
# yt-dlp's advice to its user; it names cookies, rates and addresses, whatever went wrong
_ADVICE = re.compile(
    r"(; please report this issue on|\(caused by|use --cookies|use --username|use --list-formats|it is recommended to).*",
    re.DOTALL | re.IGNORECASE,
)
_ORIGIN = re.compile(r"^\[[\w:+-]+\] (?:[^\s:]{1,64}: )?")
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


class Refused(Exception):
    """Base of our own refusals that travel through yt-dlp; `detail` says what was asked for."""

    detail: str = ""


def reason_of(error: BaseException) -> tuple[Reason, str]:
    """The reason for an error of yt-dlp, and a line about it; EXCEPTION when no rule knows it."""
    chain = list(_chain(error))
    message = _line(str(error))
    for item in chain:
        if isinstance(item, Refused):
            return Reason.BAD_LINK, item.detail
        if isinstance(item, Reject | Failure):
            return item.reason, item.detail
        if isinstance(item, OSError) and item.errno in (errno.ENOSPC, errno.EDQUOT):
            return Reason.DISK_FULL, message
    youtube = message.lower().startswith("[youtube") or any(_youtube_answered(item) for item in chain)
    text = _ADDRESS.sub(" ", _ORIGIN.sub("", message)).lower()
    if reason := _first(_OF_US, text):  # a bot wall or a throttle says so in words, whatever its status
        return reason, message
    status = status_of(error)
    if status is not None and status >= 300:
        return _by_status(status, youtube), message
    reason = _first(_OF_THE_VIDEO, text)
    if any(hasattr(item, "countries") for item in chain):  # a GeoRestrictedError, whatever it says
        return Reason.GEO_BLOCKED, message
    if reason is Reason.EXTRACTOR_BROKEN and not youtube and "no video formats" in text:
        return Reason.NOT_MEDIA, message  # a page that need not hold a video at all
    if reason:
        return reason, message
    if any(
        hasattr(item, "expected") and hasattr(item, "ie") for item in chain
    ):  # an ExtractorError, in words yet unknown
        return Reason.EXTRACTOR_BROKEN, message
    if any(isinstance(item, OSError) for item in chain):
        return Reason.NETWORK, message
    return Reason.EXCEPTION, message


def _first(table: tuple[tuple[re.Pattern[str], Reason], ...], text: str) -> Reason | None:
    return next((reason for pattern, reason in table if pattern.search(text)), None)


def _by_status(status: int, youtube: bool) -> Reason:
    if status < 400:
        return Reason.BAD_LINK  # leads in circles, or to another protocol
    if youtube and status in (400, 401, 404, 410):
        return Reason.EXTRACTOR_BROKEN  # of a video that is gone YouTube says so in words, with status 200
    return STATUSES.get(status, Reason.NETWORK if status >= 500 else Reason.GONE)


def _youtube_answered(item: BaseException) -> bool:
    url = getattr(getattr(item, "response", None), "url", None)
    return isinstance(url, str) and is_youtube((urlsplit(url).hostname or "").lower())


def outcome_of(error: BaseException) -> Reject | Failure:
    """An error of yt-dlp as the `Reject` or `Failure` to raise; one that already is either stays as it is."""
    if isinstance(error, Reject | Failure):
        return error
    reason, detail = reason_of(error)
    if reason.kind in (ReasonClass.DEAD, ReasonClass.BAD, ReasonClass.UNWANTED):
        return Reject(reason, detail)
    return Failure(reason, detail)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error came from; None when it came from none."""
    return next((s for item in _chain(error) if isinstance(s := getattr(item, "status", None), int)), None)


def retry_after_of(error: BaseException) -> float:
    """Seconds that the server asked to wait (its Retry-After header); 0 when it named none."""
    for item in _chain(error):
        headers = getattr(getattr(item, "response", None), "headers", None)
        text = str(headers.get("Retry-After") or "") if headers is not None else ""
        if text.isdigit():
            return float(text)
        if text:
            try:
                return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
            except ValueError:
                continue
    return 0.0


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it came from, in yt-dlp's ways (`exc_info`, `cause`) and Python's; each once."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        item = waiting.pop(0)
        if not isinstance(item, BaseException) or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        info = getattr(item, "exc_info", None)
        waiting += [info[1] if isinstance(info, tuple) and len(info) > 1 else None, getattr(item, "cause", None)]
        waiting += [getattr(item, "reason", None), item.__cause__, item.__context__]


def _line(message: str) -> str:
    """The message as one line of at most 300 characters, without colours and yt-dlp's advice to its user."""
    message = _ADVICE.sub("", re.sub(r"\x1b\[[0-9;]*m", "", message))
    return " ".join(message.removeprefix("ERROR:").split())[:300]
