"""What a download's errors mean: one table from yt-dlp's messages and HTTP statuses to reasons.

The first rule that matches wins. A reason of class `dead`, `bad` or `unwanted` is a result (`Reject`), one of class
`later` or `blocked` a failure that the next run tries again.
"""

import errno
import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from pipeline.reasons import Failure, Reason, ReasonClass, Reject

STATUSES: dict[int, Reason] = {
    401: Reason.GONE,
    402: Reason.THROTTLED,  # YouTube's answer to an address that asked too often
    403: Reason.THROTTLED,
    404: Reason.GONE,
    407: Reason.NETWORK,
    410: Reason.GONE,
    416: Reason.NETWORK,
    429: Reason.THROTTLED,
    451: Reason.GONE,
    503: Reason.THROTTLED,
}

# (pattern, reason), matched against the message in lower case.
MESSAGES: tuple[tuple[str, Reason], ...] = (
    # blocked
    (r"not a bot|confirm you.?re not a (ro)?bot|captcha|cloudflare anti-bot|unusual traffic", Reason.BOT_WALL),
    # later
    (r"rate.?limited|too many requests|try again later|request was throttled", Reason.THROTTLED),
    (r"live event|is (currently )?live\b|premieres? in|will begin|not started|offline|is upcoming", Reason.NETWORK),
    (r"no space left|disk quota exceeded", Reason.DISK_FULL),
    (r"read-only file system|permission denied|unable to (open for writing|create directory)", Reason.NOT_WRITABLE),
    # dead
    (r"private (video|channel)|video is private|granted access", Reason.GONE),
    (r"(has been|was) (removed|deleted|taken down|terminated)|no longer (available|exists)|terminated", Reason.GONE),
    (r"video (is )?(unavailable|not available)|does(n.t| not) exist|not found|copyright|violat", Reason.GONE),
    (r"members.only|join this channel|paid|purchase|rent|premium", Reason.GONE),
    (r"your (country|location|region)|geo.?restrict|geo.?block", Reason.GONE),
    (r"age.?restricted|confirm your age|inappropriate for some", Reason.GONE),
    (r"log.?in|sign in|registered users|cookies|account", Reason.GONE),
    (r"drm", Reason.GONE),
    # bad
    (r"unsupported url|no video formats|no video could be found|unable to find video", Reason.NOT_MEDIA),
    (r"requested format is not available", Reason.NO_VIDEO),
    (r"not a valid url|unsupported url scheme|truncated id|incomplete youtube id|file:// urls", Reason.BAD_LINK),
    # later again: what is left is mostly the network's doing
    (r"timed? ?out|connection|resolve|network|ssl|certificate|incomplete|more expected|bytes read", Reason.NETWORK),
    (
        r"expected \d+ bytes|giving up after|did not get any data|http error 5\d\d|remote end closed|unable to (connect|download)",
        Reason.NETWORK,
    ),
)
_MESSAGES = tuple((re.compile(pattern), reason) for pattern, reason in MESSAGES)


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
    by_message = next((r for pattern, r in _MESSAGES[:2] if pattern.search(message.lower())), None)
    if by_message:  # a bot wall or a throttle says so in words, whatever its status
        return by_message, message
    status = next((s for item in chain if isinstance(s := getattr(item, "status", None), int)), None)
    if status is not None and 300 <= status < 400:
        return Reason.BAD_LINK, f"leads in circles or to another protocol: {message}"
    if status is not None and status >= 400:
        return STATUSES.get(status, Reason.NETWORK if status >= 500 else Reason.GONE), message
    for pattern, reason in _MESSAGES:
        if pattern.search(message.lower()):
            return reason, message
    if any(isinstance(item, OSError) for item in chain):
        return Reason.NETWORK, message
    return Reason.EXCEPTION, message


def outcome_of(error: BaseException) -> Reject | Failure:
    """An error of yt-dlp as the `Reject` or `Failure` to raise; one that already is either stays as it is."""
    if isinstance(error, Reject | Failure):
        return error
    reason, detail = reason_of(error)
    if reason.kind in (ReasonClass.DEAD, ReasonClass.BAD, ReasonClass.UNWANTED):
        return Reject(reason, detail)
    return Failure(reason, detail)


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
    """The message as one line of at most 300 characters, without colours and yt-dlp's pleas for bug reports."""
    message = re.sub(r"\x1b\[[0-9;]*m", "", message)
    message = re.sub(r"(; please report this issue on|\(caused by).*", "", message, flags=re.DOTALL)
    return " ".join(message.removeprefix("ERROR:").split())[:300]
