"""Ids and links: checked before they become a path, a request or an argument."""

import hashlib
import ipaddress
import re
import socket
import unicodedata
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from pipeline.base.reasons import Reason, Reject

MAX_URL_LENGTH = 2048

_VIDEO_ID = r"(?:yt:[A-Za-z0-9_-]{11}|file:[0-9a-f]{16})"
_VIDEO_RE = re.compile(_VIDEO_ID, re.ASCII)
_CLIP_RE = re.compile(rf"({_VIDEO_ID})/(0|[1-9][0-9]{{0,8}})\+([1-9][0-9]{{0,8}})", re.ASCII)
_PERSON_RE = re.compile(rf"({_VIDEO_ID}/[0-9]+\+[0-9]+)#(0|[1-9][0-9]{{0,5}})", re.ASCII)
_LOCAL_SUFFIXES = ("localhost", ".localhost", ".local", ".internal", ".lan", ".home.arpa")

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that was ever given out for hosts of the open internet
# Global by their number, but a cloud's own services answer there.
_PLATFORMS = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("168.63.129.16/32"))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ClipId(NamedTuple):
    """The parts of `<video_id>/<first frame>+<frames>`, in frames of the 25-fps grid."""

    video_id: str
    first_frame: int
    frames: int


class PersonId(NamedTuple):
    """The parts of `<clip_id>#<n>`."""

    clip_id: str
    number: int


def safe_video_id(text: str) -> str:
    """The id itself when it is `yt:<11 characters>` or `file:<16 hex>`; Reject(BAD_LINK) otherwise."""
    if not isinstance(text, str) or not _VIDEO_RE.fullmatch(text):
        raise Reject(Reason.BAD_LINK, f"not a video id: {_shown(text)}")
    return text


def check_clip_id(text: str) -> ClipId:
    """The parts of a clip id; Reject(BAD_LINK) when it is malformed."""
    match = _CLIP_RE.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise Reject(Reason.BAD_LINK, f"not a clip id: {_shown(text)}")
    return ClipId(match[1], int(match[2]), int(match[3]))


def check_person_id(text: str) -> PersonId:
    """The parts of a person id; Reject(BAD_LINK) when it is malformed."""
    match = _PERSON_RE.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise Reject(Reason.BAD_LINK, f"not a person id: {_shown(text)}")
    check_clip_id(match[1])
    return PersonId(match[1], int(match[2]))


def disk_name(identity: str) -> str:
    """A file name (no suffix) for a video, clip or person id.

    It carries ten hex digits of the id's SHA-256, because ids may differ by case only and some file systems do not
    tell those apart. It never begins with `-` or `.`.

    Raises:
        Reject: BAD_LINK when the text is none of the three kinds of id.
    """
    if isinstance(identity, str) and "#" in identity:
        check_person_id(identity)
    elif isinstance(identity, str) and "/" in identity:
        check_clip_id(identity)
    else:
        safe_video_id(identity)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    return f"{re.sub('[^A-Za-z0-9-]', '_', identity)}_{digest}"


def check_url(url: str, *, allow_loopback: bool = False) -> str:
    """The url itself when it may be requested: http or https, no credentials, a public host.

    Names are not resolved here: a public name that points to a private address is for the requester to refuse.

    Args:
        url: untrusted text.
        allow_loopback: let this machine's own addresses pass (tests, mirrors).

    Raises:
        Reject: BAD_LINK, with what is wrong with it.
    """
    if not isinstance(url, str) or not url or len(url) > MAX_URL_LENGTH:
        raise Reject(Reason.BAD_LINK, f"a link has 1 to {MAX_URL_LENGTH} characters")
    if any(ch.isspace() or unicodedata.category(ch).startswith("C") or ch == "\\" for ch in url):
        raise Reject(Reason.BAD_LINK, f"control characters, spaces or backslashes in {_shown(url)}")
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed on access
    except ValueError as error:
        raise Reject(Reason.BAD_LINK, f"{error} in {_shown(url)}") from error
    _check_parts(parts, url)
    _check_host(parts.hostname or "", allow_loopback)
    return url


def _check_parts(parts: SplitResult, url: str) -> None:
    if parts.scheme not in ("http", "https"):
        raise Reject(Reason.BAD_LINK, f"scheme {parts.scheme or 'none'!r}: only http and https are allowed")
    if "@" in parts.netloc:
        raise Reject(Reason.BAD_LINK, "a link must not carry a user name or password")
    if not parts.hostname:
        raise Reject(Reason.BAD_LINK, f"no host in {_shown(url)}")


def _check_host(host: str, allow_loopback: bool) -> None:
    address = _as_address(host)
    if address is None:
        name = unicodedata.normalize("NFKC", host).lower().rstrip(".")
        if not name.endswith(_LOCAL_SUFFIXES) and "." in name:
            return
        if allow_loopback and (name == "localhost" or name.endswith(".localhost")):
            return
        raise Reject(Reason.BAD_LINK, f"host {_shown(host)} is not public")
    if allow_loopback and address.is_loopback:
        return
    if not is_public(address):
        raise Reject(Reason.BAD_LINK, f"address {address} is not public")


def is_public(address: Address) -> bool:
    """Whether links may lead to an address: one of the open internet, which no gateway takes for another one.

    IPv6 addresses that carry one of IPv4 count as that one where a connection ends there (::ffff:a.b.c.d, 2002::/16), and
    are not public where a translator decides (64:ff9b::/96, 64:ff9b:1::/48, ::a.b.c.d).
    """
    address = unwrapped(address)
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and not any(address in net for net in _PLATFORMS)
    return address in _GLOBAL_UNICAST and address.is_global


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _as_address(host: str) -> Address | None:
    """The address a host stands for, in any spelling that a resolver takes (127.1, 0x7f000001, 2130706433)."""
    name = unicodedata.normalize("NFKC", host).rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(name))
        except (OSError, ValueError):
            return None
    return unwrapped(address)


def _shown(text: object) -> str:
    return repr(text)[:80]
