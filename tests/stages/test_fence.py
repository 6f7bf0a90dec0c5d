"""The fence: nothing is asked for beyond it, however an address is spelled and by whatever way a crawl comes to it."""

import gc
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.ids import check_url
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.media.guard import Limits
from pipeline.media.video import ffmpeg_exe
from pipeline.sources.web import fence
from pipeline.sources.web.errors import outcome_of
from pipeline.sources.web.net import FencedDownloader
from pipeline.sources.web.settings import Web
from pipeline.sources.web.ytdlp import Popen, Request
from stages.crawl.fetch import FetchSettings, fetch
from stages.crawl.formats import FormatSettings

SITE, SITE_ADDRESS = "site.example.org", "93.184.216.34"  # of the open internet; the test's own server stands in for it
NAMES = {  # what a hostile name server answers
    SITE: SITE_ADDRESS,
    "inside.example.org": "10.0.0.1",
    "metadata.example.org": "169.254.169.254",
    "nat64.example.org": "64:ff9b::a9fe:a9fe",
}
FORMS = {
    "loopback": "127.0.0.1",
    "short": "127.1",
    "octal": "0177.0.0.1",
    "hex": "0x7f.0.0.1",
    "hex in one": "0x7f000001",
    "decimal": "2130706433",
    "other digits": "①②⑦.0.0.1",
    "nothing": "0.0.0.0",
    "private 10": "10.0.0.1",
    "private 172": "172.16.0.1",
    "private 192": "192.168.1.1",
    "carrier": "100.64.0.1",
    "metadata": "169.254.169.254",
    "oracle": "192.0.0.192",
    "azure": "168.63.129.16",
    "multicast": "224.0.0.1",
    "broadcast": "255.255.255.255",
    "loopback 6": "[::1]",
    "nothing 6": "[::]",
    "mapped": "[::ffff:127.0.0.1]",
    "mapped hex": "[::ffff:a9fe:a9fe]",
    "compatible": "[::127.0.0.1]",
    "translated": "[::ffff:0:127.0.0.1]",
    "nat64": "[64:ff9b::127.0.0.1]",
    "nat64 of a public one": "[64:ff9b::808:808]",
    "nat64 local": "[64:ff9b:1::10.0.0.1]",
    "site local": "[fec0::1]",
    "link local": "[fe80::1]",
    "unique local": "[fd00:ec2::254]",
    "6to4": "[2002:7f00:1::1]",
    "teredo": "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "documentation": "[2001:db8::1]",
    "localhost": "localhost",
    **{name: name for name in NAMES if name != SITE},
}

SEGMENT = "#EXTINF:4,\n{}\n"
AES = "#EXT-X-KEY:METHOD=AES-128,URI="
ENDLIST = "#EXT-X-ENDLIST\n"
HEAD = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n"
STREAM = "#EXT-X-STREAM-INF:BANDWIDTH=90000,RESOLUTION=1280x720"


def by_segment(address: str) -> str:
    return HEAD + SEGMENT.format(f"{address}/0.ts") + ENDLIST


def by_key(address: str) -> str:
    return HEAD + f'{AES}"{address}/key"\n' + SEGMENT.format("/segment.ts") + ENDLIST


def by_map(address: str) -> str:
    return HEAD + f'#EXT-X-MAP:URI="{address}/init.mp4"\n' + SEGMENT.format("/segment.ts") + ENDLIST


def by_variant(address: str) -> str:
    return f"#EXTM3U\n{STREAM}\n{address}/variant.m3u8\n"


def by_subtitles(address: str) -> str:
    media = f'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="n",LANGUAGE="en",URI="{address}/s.m3u8"\n'
    return f'#EXTM3U\n{media}{STREAM},SUBTITLES="s"\n{address}/variant.m3u8\n'


def by_dash(address: str) -> str:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT4S">'
        f"<Period><BaseURL>{address}/</BaseURL>"
        '<AdaptationSet mimeType="video/mp4">'
        '<Representation id="1" bandwidth="90000" width="1280" height="720" codecs="avc1.4d401f">'
        '<SegmentTemplate timescale="1" duration="2" initialization="init.mp4" media="$Number$.mp4"/>'
        "</Representation></AdaptationSet></Period></MPD>"
    )


PLAYLISTS: dict[str, Callable[[str], str]] = {
    "segment": by_segment,
    "key": by_key,
    "map": by_map,
    "variant": by_variant,
    "subtitles": by_subtitles,
}


class Site:
    """A web site, and every connection and program that was started while it was asked.

    Attributes:
        pages: path -> (content type, body), or the address that it redirects to.
        asked: paths that were asked of it.
        beyond: addresses that were connected to and are not the site's.
        programs: command lines.
    """

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, bytes] | str] = {}
        self.asked: list[str] = []
        self.beyond: list[Any] = []
        self.programs: list[Any] = []
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://{SITE}:{self.port}{path}"


@pytest.fixture(scope="module")
def served() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            site.asked.append(self.path)
            page = site.pages.get(self.path, ("video/mp2t", bytes(188)))
            if isinstance(page, str):
                self.send_response(302)
                self.send_header("Location", page.encode().decode("latin-1"))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", page[0])
            self.send_header("Content-Length", str(len(page[1])))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(page[1])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    gc.collect()
    gc.freeze()  # as the workers of a crawl do: each fetch looks through all that it may free
    yield site
    gc.unfreeze()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def site(served: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site under its public name; any other connection, and any program, is noted and comes to nothing."""
    ffmpeg_exe()  # looked for once
    served.pages, served.asked, served.beyond, served.programs = {}, [], [], []
    lookup, connect = socket.getaddrinfo, socket.socket.connect

    def resolved(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return lookup(NAMES.get(host, host), port, *args, **kwargs)

    def connected(sock: socket.socket, address: Any) -> None:
        if address[0] == SITE_ADDRESS:
            return connect(sock, ("127.0.0.1", served.port))
        served.beyond.append(address)
        raise OSError("no such place in a test")

    def started(self: Any, args: Any, *rest: Any, **more: Any) -> None:
        if len(args) > 2:  # not a look at a program's version
            served.programs.append(args)
        raise FileNotFoundError(args)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(socket.socket, "connect", connected)
    monkeypatch.setattr(subprocess.Popen, "__init__", started)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "CSG405_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return served


def crawled(url: str, folder: Path) -> Reject | Failure:
    """Why a crawl fetched nothing."""
    web = Web(retries=0, throttle_retries=0, timeout_seconds=5.0, min_free_gigabytes=0.0)
    settings = FetchSettings(folder, FormatSettings(720, 480, ("avc1",)), Limits(), web)
    try:
        fetch(url, folder / "download", settings, lambda info: None)
    except (Reject, Failure) as outcome:
        return outcome
    raise AssertionError("something was fetched")


@pytest.mark.parametrize("form", FORMS)
def test_no_link_is_followed_there(form: str) -> None:
    """A name of which nobody knows yet where it leads passes; it is looked at when it is asked."""
    url = f"http://{FORMS[form]}/film.mp4"
    if FORMS[form] in NAMES:
        assert check_url(url) == url
    else:
        with pytest.raises(Reject) as refused:
            check_url(url)
        assert refused.value.reason is Reason.BAD_LINK


@pytest.mark.parametrize("way", ["link", "redirect", *PLAYLISTS, "dash"])
def test_nothing_is_asked_beyond_the_fence(way: str, site: Site, tmp_path: Path) -> None:
    for number, (form, host) in enumerate(FORMS.items()):
        address, start = f"http://{host}:{site.port}", site.url(f"/{number}.m3u8")
        if way == "link":
            start = f"{address}/{number}.m3u8"
        elif way == "redirect":
            site.pages[f"/{number}.m3u8"] = f"{address}/film.m3u8"
        elif way == "dash":
            site.pages[f"/{number}.mpd"], start = (
                ("application/dash+xml", by_dash(address).encode()),
                site.url(f"/{number}.mpd"),
            )
        else:
            site.pages[f"/{number}.m3u8"] = ("application/vnd.apple.mpegurl", PLAYLISTS[way](address).encode())
        asked = len(site.asked)
        outcome = crawled(start, tmp_path / str(number))
        assert outcome.reason is Reason.BAD_LINK, (form, outcome.detail)
        assert (len(site.asked) > asked) == (way != "link")
    assert site.beyond == [] and site.programs == []


FOR_FFMPEG = {
    "the proven one": (
        HEAD
        + '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="http://127.0.0.1:9/key",KEYFORMAT="identity"\n'
        + SEGMENT.format("http://127.0.0.1:9/0.ts")
        + ENDLIST
    ),
    "its key on the site": HEAD + '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="/key"\n' + SEGMENT.format("/0.ts") + ENDLIST,
    "live": HEAD + SEGMENT.format("/0.ts"),
    "byte ranges and keys": HEAD
    + f'{AES}"/key"\n#EXT-X-BYTERANGE:10@0\n'
    + SEGMENT.format("http://127.0.0.1:9/0.ts")
    + ENDLIST,
}


@pytest.mark.parametrize("playlist", FOR_FFMPEG)
def test_no_playlist_is_handed_to_ffmpeg(playlist: str, site: Site, tmp_path: Path) -> None:
    site.pages["/film.m3u8"] = ("application/vnd.apple.mpegurl", FOR_FFMPEG[playlist].encode())
    outcome = crawled(site.url("/film.m3u8"), tmp_path)
    assert outcome.reason is Reason.BAD_LINK, outcome.detail
    assert site.asked and site.beyond == [] and site.programs == []


@pytest.mark.parametrize(
    "scheme", ["file", "ftp", "rtmp", "rtsp", "mms", "ws", "gopher", "data", "concat", "subfile,,:http"]
)
def test_no_other_protocol(scheme: str, site: Site, tmp_path: Path) -> None:
    address = f"{scheme}://127.0.0.1:{site.port}"
    for number, make in enumerate(PLAYLISTS.values()):
        site.pages[f"/{number}.m3u8"] = ("application/vnd.apple.mpegurl", make(address).encode())
        outcome = crawled(site.url(f"/{number}.m3u8"), tmp_path / str(number))
        assert outcome.reason is not Reason.EXCEPTION, outcome.detail
    site.pages["/film.mp4"] = f"{address}/film.mp4"
    crawled(site.url("/film.mp4"), tmp_path / "redirect")
    assert site.beyond == [] and site.programs == []


def test_a_name_that_changes_its_mind(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Public when it is looked at, private when it is asked: what counts is the address of the connection itself."""
    lookup, answers = socket.getaddrinfo, iter([SITE_ADDRESS])

    def resolved(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return lookup(next(answers, "10.0.0.1") if host == "rebinds.example.org" else host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    site.pages["/film.m3u8"] = ("application/vnd.apple.mpegurl", by_segment("http://rebinds.example.org").encode())
    outcome = crawled(f"http://rebinds.example.org:{site.port}/film.m3u8", tmp_path)
    assert outcome.reason is Reason.BAD_LINK and "10.0.0.1 is not public" in outcome.detail
    assert site.asked and site.beyond == []


def test_pages_have_no_say_in_proxies(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with FencedDownloader({"quiet": True}, Web()) as downloader:
        for headers in ({"Ytdl-request-proxy": "http://127.0.0.1:9"}, {"Ytdl-socks-proxy": "socks5://127.0.0.1:9"}):
            downloader.urlopen(Request(site.url("/film"), headers=headers)).close()
        downloader.urlopen(Request(site.url("/film"), proxies={"all": "http://127.0.0.1:9"})).close()
    assert len(site.asked) == 3 and site.beyond == []


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "socks5h://127.0.0.1:9"])
def test_the_users_proxy_is_asked_for_no_address_beyond_the_fence(proxy: str, site: Site) -> None:
    with FencedDownloader({"quiet": True}, Web(proxy=proxy)) as downloader:
        for host in FORMS.values():
            if host in NAMES:
                continue
            for scheme in ("http", "https"):
                with pytest.raises(Exception, match="not public") as refused:
                    downloader.urlopen(Request(f"{scheme}://{host}/film"))
                assert outcome_of(refused.value).reason is Reason.BAD_LINK
        assert site.beyond == []
        with pytest.raises(Exception, match="no such place"):
            downloader.urlopen(Request(site.url("/film")))
    assert site.beyond and {address[:2] for address in site.beyond} == {("127.0.0.1", 9)}  # the proxy itself


LOCAL = ["ffmpeg", "-y", "-i", "file:/tmp/a.mp4", "-c", "copy", "file:/tmp/b.mp4"]
ALONE = ["deno", "run", "--no-prompt", "--no-remote", "--cached-only", "-"]
STARTED = {
    "a merge": (LOCAL, True),
    "a look at a file": (["/opt/x/ffprobe", "-show_streams", "file:/tmp/a.mp4"], True),
    "a version": (["deno", "--version"], True),
    "a script": (ALONE, True),
    "an address": (["ffmpeg", "-i", "http://127.0.0.1/x.m3u8", "file:out.mp4"], False),
    "a file by its address": (["ffmpeg", "-i", "file:///x.m3u8", "file:out.mp4"], False),
    "standard input": (["ffmpeg", "-i", "-", "file:out.mp4"], False),
    "an output elsewhere": ([*LOCAL, "rtmp://127.0.0.1/x"], False),
    "a script with rights": ([*ALONE[:-1], "--allow-net", "-"], False),
    "a script with all rights": ([*ALONE[:-1], "-A", "-"], False),
    "a script that imports": (["deno", "run", "--no-prompt", "-"], False),
    "phantomjs": (["phantomjs", "--ssl-protocol=any", "/tmp/x.js"], False),
    "curl": (["curl", "http://127.0.0.1"], False),
    "rtmpdump": (["rtmpdump", "-r", "rtmp://127.0.0.1"], False),
}


@pytest.mark.parametrize("program", STARTED)
def test_which_programs_it_may_start(program: str, site: Site) -> None:
    command, allowed = STARTED[program]
    with pytest.raises(FileNotFoundError if allowed else fence.RefusedProgram):
        Popen(command)
    with pytest.raises(fence.RefusedProgram):
        Popen(" ".join(command), shell=True)
    started = [command] if allowed and len(command) > 2 else []
    if started and "deno" not in command[0]:  # what an input may be, and open by itself, stands before it
        at = command.index("-i") if "-i" in command else len(command) - 1
        [command] = started
        started = [
            [*command[:at], "-protocol_whitelist", "file", "-format_whitelist", site.programs[0][at + 3], *command[at:]]
        ]
        assert "hls" not in site.programs[0][at + 3].split(",")
    assert site.programs == started


def test_only_downloaders_that_ask_through_the_fence() -> None:
    from yt_dlp import downloader
    from yt_dlp.downloader import external, fragment, websocket

    for protocol, cls in downloader.PROTOCOL_MAP.items():
        native = cls.__name__ in fence.NATIVE_DOWNLOADERS
        assert native or cls.real_download is fence._no_download, protocol
    for cls in (external.CurlFD, external.FFmpegFD, external.Aria2cFD, websocket.FFmpegSinkFD, fragment.FragmentFD):
        assert not issubclass(cls, downloader.HttpFD)
        assert getattr(cls, "real_download", fence._no_download) is not downloader.HttpFD.real_download
    with pytest.raises(fence.RefusedRequest, match="CurlFD"):
        external.CurlFD.real_download(object.__new__(external.CurlFD), "x", {})


def test_no_plugins_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "yt_dlp_plugins" / "extractor"
    folder.mkdir(parents=True)
    (folder / "own.py").write_text("raise SystemExit('a plugin was run')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    from yt_dlp.plugins import load_all_plugins

    load_all_plugins()
    with FencedDownloader({"quiet": True}, Web()) as downloader:
        assert downloader is not None
