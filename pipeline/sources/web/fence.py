"""The posts of the fence: which addresses may be connected to, which of yt-dlp's downloaders may work, what it may start."""

import functools
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.base.ids import is_public, unwrapped
from pipeline.media.guard import DEMUXERS
from pipeline.sources.web.errors import Refused
from pipeline.sources.web.ytdlp import FileDownloader, Popen, RequestError, plugin_dirs, socket_connect

# They ask by `YoutubeDL.urlopen` alone. All others are refused: ffmpeg, curl, rtmpdump, websockets and their like go to the network
# by themselves, and the rest is for streams that no link of ours leads to.
NATIVE_DOWNLOADERS = frozenset({"HttpFD", "HttpQuietDownloader", "HlsFD", "DashSegmentsFD"})
# What was fetched is read as what it is: a playlist among it would name other files of this machine, and bring them in.
_INPUT_OPTIONS = (
    "-protocol_whitelist",
    "file",
    "-format_whitelist",
    ",".join((*DEMUXERS, "aac", "mp3", "ac3", "eac3")),
)


class RefusedRequest(Refused, RequestError):
    """Raised for a request to an address that links may not lead to."""

    def __init__(self, detail: str) -> None:
        RequestError.__init__(self, detail)
        self.detail = detail


class RefusedProgram(Refused, OSError):
    """Raised for a program that yt-dlp would start and that may ask the network by itself; to yt-dlp it is not installed."""

    def __init__(self, detail: str) -> None:
        OSError.__init__(self, detail)
        self.detail = detail


def connect_to_public(address: Any, timeout: Any, source_address: Any, *, allow_loopback: bool) -> socket.socket:
    """Connect to one resolved address, if links may lead there. Raises RefusedRequest."""
    host = address[4][0]
    literal = unwrapped(ipaddress.ip_address(host.partition("%")[0]))
    if not (allow_loopback and literal.is_loopback) and not is_public(literal):
        raise RefusedRequest(f"address {host} is not public")
    connected: socket.socket = socket_connect(address, timeout, source_address)
    return connected


def put_up() -> None:
    """Refuse, in all of yt-dlp, whatever could ask the network past `YoutubeDL.urlopen`; again, it changes nothing."""
    for downloader in _descendants(FileDownloader):
        if downloader.__name__ not in NATIVE_DOWNLOADERS and "real_download" in vars(downloader):
            downloader.real_download = _no_download
    if getattr(Popen.__init__, "__wrapped__", None) is None:
        Popen.__init__ = _guarded(Popen.__init__)
    plugin_dirs.value = []  # code that nobody has looked at


def _no_download(self: Any, filename: str, info: dict[str, Any]) -> bool:
    raise RefusedRequest(f"{type(self).__name__} may ask for it by itself, outside the fence")


def _descendants(cls: Any) -> Iterator[Any]:
    for child in cls.__subclasses__():
        yield child
        yield from _descendants(child)


def _guarded(start: Any) -> Any:
    @functools.wraps(start)
    def guarded(self: Any, args: Any, *rest: Any, **more: Any) -> None:
        if problem := program_problem(args, shell=bool(more.get("shell"))):
            # subprocess tidies up after its own failures only
            self._child_created, self.returncode = False, None
            raise RefusedProgram(problem)
        start(self, list(_within_files(args)), *rest, **more)

    return guarded


def program_problem(args: Any, shell: bool = False) -> str:
    """Why yt-dlp may not start a program, "" where it may: ffmpeg over local files, and deno without rights or imports."""
    if shell or not isinstance(args, list | tuple) or not all(isinstance(arg, str) for arg in args):
        return "yt-dlp would start a shell, outside the fence"
    name, options = Path(args[0]).name, args[1:]
    if name.startswith(("ffmpeg", "ffprobe")):
        inputs = [after for arg, after in zip(args, options, strict=False) if arg == "-i"]
        local = all(text.startswith("file:") and not text.startswith("file://") for text in inputs)
        if local and not any("://" in arg for arg in options):
            return ""
    elif name in ("deno", "deno.exe"):
        alone = {"--no-remote", "--no-prompt", "--cached-only"} <= set(options)
        if options == ["--version"] or (alone and not any(arg.startswith(("-A", "--allow")) for arg in options)):
            return ""
    return f"yt-dlp would start {name[:40]}, which may ask by itself, outside the fence"


def _within_files(args: Sequence[str]) -> Iterator[str]:
    """A command in which each input of ffmpeg and ffprobe, which needs no `-i`, is opened as media, and no other file by it."""
    probes = Path(args[0]).name.startswith("ffprobe")
    for before, arg in zip(("", *args), args, strict=False):
        if arg == "-i" or (probes and before != "-i" and arg.startswith("file:")):
            yield from _INPUT_OPTIONS
        yield arg


put_up()
