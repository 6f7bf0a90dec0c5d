"""A yt-dlp of which a part is missing or has another shape stops the run before anything is asked for."""

import functools
import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import StageError
from pipeline.base.reasons import Reason
from pipeline.media.video import ffmpeg_exe
from pipeline.sources.web import fence, net, ytdlp
from pipeline.sources.web.errors import reason_of
from pipeline.sources.web.settings import Web
from pipeline.sources.web.ytdlp import FENCE, KNOWN_GOOD, KNOWN_VERSION, REST, Part

ROOT = Path(__file__).parents[4]


def owner_of(part: Part) -> tuple[Any, str]:
    """The module or class in whose own names a part stands, and its name there."""
    module, _, name = part.path.partition(":")
    owner, _, last = name.rpartition(".")
    found = functools.reduce(getattr, filter(None, owner.split(".")), importlib.import_module(module))
    return next((cls for cls in getattr(found, "__mro__", ()) if last in vars(cls)), found), last


def test_the_installed_version_has_all_parts() -> None:
    ytdlp.check()
    net.check_ready(Web())


def test_the_known_version_is_the_pinned_one() -> None:
    pins = (ROOT / "docker" / "constraints-cpu.txt").read_text()
    assert f"\nyt-dlp=={KNOWN_VERSION}\n" in pins and f"=={KNOWN_VERSION}" in KNOWN_GOOD
    assert f'"yt-dlp[default,deno]>={KNOWN_VERSION}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("part", [*FENCE, *REST], ids=lambda part: part.path)
def test_each_part_is_missed(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name = owner_of(part)
    monkeypatch.delattr(owner, name)
    with pytest.raises(StageError) as stop:
        importlib.reload(ytdlp)
    said = str(stop.value)
    assert re.match(r"yt-dlp \d{4}\S+ (has no|has a) yt_dlp\.", said) and "\n" not in said
    assert name in said and said.endswith(f"{KNOWN_VERSION} is known to work: {KNOWN_GOOD}")


def goes_by_itself(self: Any, req: Any) -> Any:
    return req.open(self)


@pytest.mark.parametrize(
    ("path", "other", "problem"),
    [
        ("yt_dlp:YoutubeDL.urlopen", goes_by_itself, "does not use _request_director"),
        ("yt_dlp:YoutubeDL.urlopen", lambda self: self._request_director, "does not take the arguments"),
        ("yt_dlp:YoutubeDL._request_director", lambda self: None, "no cached_property"),
        ("yt_dlp.networking._urllib:HTTPHandler.https_open", goes_by_itself, "does not use do_open"),
        (
            "yt_dlp.networking._helper:create_connection",
            lambda address, timeout, source_address: None,
            "does not take the arguments",
        ),
        ("yt_dlp.networking._urllib:UrllibRH", "a string", "no type"),
    ],
)
def test_another_shape_is_told(path: str, other: object, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*owner_of(Part(path)), other)
    with pytest.raises(StageError, match=f"{re.escape(path.replace(':', '.'))}.* {problem}"):
        ytdlp.check()


def test_a_python_whose_connections_cannot_be_fenced_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("http.client.HTTPConnection.connect", lambda self: None)
    with pytest.raises(StageError, match="nothing is fetched: use Python"):
        ytdlp.check()


def test_all_that_the_fence_overrides_is_checked() -> None:
    checked = {part.path.rpartition(".")[2].rpartition(":")[2] for part in FENCE + REST}
    checked |= {word for part in FENCE for word in part.uses}
    for ours in (net.FencedDownloader, net._FencedRH, net._FencedHandler):
        theirs = {name for base in ours.__mro__[1:] if base.__module__.startswith("yt_dlp") for name in vars(base)}
        overridden = {name for name in vars(ours) if name in theirs and not name.startswith("__")} - {"_abc_impl"}
        assert overridden <= checked


def without_a_fence(self: Any, *args: Any, **kwargs: Any) -> Any:
    return super(net._FencedRH, self)._create_instance(*args, **kwargs)


class Stranger(net.urllib.request.BaseHandler):
    def http_open(self, req: Any) -> Any:
        raise AssertionError("reached the network")

    https_open = http_open


def test_a_fence_that_is_not_in_place_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net._FencedRH, "_create_instance", without_a_fence)
    with pytest.raises(StageError, match=r"asks where its fence should refuse .*refused.*is known to work"):
        net.check_ready(Web())


def test_requests_that_go_round_the_fence_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net.FencedDownloader, "urlopen", lambda self, request: "an answer")
    with pytest.raises(StageError, match="asks where its fence should refuse, so nothing is fetched"):
        net.check_ready(Web())


def test_another_way_out_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = net.UrllibRH._create_instance

    def with_a_stranger(self: Any, *args: Any, **kwargs: Any) -> Any:
        opener = theirs(self, *args, **kwargs)
        opener.add_handler(Stranger())
        return opener

    monkeypatch.setattr(net.UrllibRH, "_create_instance", with_a_stranger)
    with pytest.raises(StageError, match="opens http with a Stranger that is not fenced in"):
        net.check_ready(Web())


def test_a_second_handler_beside_the_fenced_one_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = net.YoutubeDL.build_request_director
    monkeypatch.setattr(
        net.YoutubeDL,
        "build_request_director",
        lambda self, handlers, preferences=None: theirs(self, [*handlers, net.UrllibRH], preferences),
    )
    with pytest.raises(StageError, match="other ways to the network"):
        net.check_ready(Web())


@pytest.mark.parametrize("encrypted", [True, False])
def test_no_stream_is_handed_to_a_program_that_asks_by_itself(encrypted: bool, tmp_path: Path) -> None:
    """HLS as yt-dlp gives it to ffmpeg, which would read the list once more and fetch what it names, on this machine too."""
    key = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="http://127.0.0.1:9/key"\n' if encrypted else ""
    stream = f"#EXTM3U\n{key}#EXTINF:4,\nhttp://127.0.0.1:9/0.ts\n#EXT-X-ENDLIST\n"
    about = {"id": "x", "title": "x", "ext": "mp4", "url": "http://127.0.0.1:9/x.m3u8", "protocol": "m3u8_native"}
    params = {
        "quiet": True,
        "logger": net.log,
        "outtmpl": f"{tmp_path}/film.mp4",
        "ffmpeg_location": ffmpeg_exe(),
        "hls_prefer_native": True,
        "fixup": "never",
        "skip_unavailable_fragments": False,
        "proxy": "",
    }
    with net.FencedDownloader(params, Web()) as downloader, pytest.raises(Exception) as refused:  # noqa: PT011 - which class yt-dlp wraps it in is its own business
        downloader.process_ie_result({**about, "extractor": "generic", "hls_media_playlist_data": stream})
    reason, detail = reason_of(refused.value)
    assert reason is Reason.BAD_LINK and ("FFmpegFD" in detail) == encrypted, detail


@pytest.mark.parametrize("name", ["ffmpeg", "ffprobe"])
def test_a_downloaded_playlist_brings_no_other_file_in(name: str, tmp_path: Path) -> None:
    """However ffmpeg is started, and by whichever name: what yt-dlp asks about a file has no options of ours."""
    (tmp_path / name).symlink_to(ffmpeg_exe())
    sound, playlist = tmp_path / "private.aac", tmp_path / "fetched.m3u8"
    tone = ("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", str(sound))
    subprocess.run([ffmpeg_exe(), "-loglevel", "error", *tone], check=True)
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{sound}\n#EXT-X-ENDLIST\n")
    looks = {path: [str(tmp_path / name), "-i", f"file:{path}"] for path in (sound, playlist)}
    anyhow = subprocess.run(looks[playlist], capture_output=True, text=True, check=False).stderr
    assert "Audio: aac" in anyhow, "ffmpeg alone follows it"
    said = {path: fence.Popen.run(look, text=True, stderr=subprocess.PIPE)[1] for path, look in looks.items()}
    assert "Audio: aac" in said[sound]
    assert "Audio: aac" not in said[playlist] and "whitelist" in said[playlist]


def test_ffprobe_is_told_so_where_it_gets_a_file_without_i() -> None:
    probe = list(fence._within_files(["ffprobe", "-show_streams", "file:a.mp4"]))
    assert probe[:2] + probe[-1:] == ["ffprobe", "-show_streams", "file:a.mp4"]
    assert tuple(probe[2:-1]) == fence._INPUT_OPTIONS
    merge = list(fence._within_files(["ffmpeg", "-y", "-i", "file:a", "-i", "file:b", "file:c"]))
    assert merge == [
        "ffmpeg",
        "-y",
        *fence._INPUT_OPTIONS,
        "-i",
        "file:a",
        *fence._INPUT_OPTIONS,
        "-i",
        "file:b",
        "file:c",
    ]


def test_nothing_else_imports_it() -> None:
    # a stage that needs it says so, and who asks that imports nothing
    asks = re.compile(
        r"^\s*(import|from) yt_dlp\b|^(?!.*(modules: ClassVar|needed_modules)).*[\"']yt_dlp[.\"']", re.MULTILINE
    )
    found = {
        path.relative_to(ROOT).as_posix()
        for room in ("pipeline", "stages")
        for path in (ROOT / room).rglob("*.py")
        if asks.search(path.read_text(encoding="utf-8"))
    }
    assert found <= {"pipeline/sources/web/ytdlp.py"}
    assert asks.search("    from yt_dlp.utils import x") and asks.search('import_module("yt_dlp.extractor")')


BROKEN = """
import sys
import yt_dlp.networking._helper as helper
del helper._socket_connect
from pipeline.cli.main import main
main(sys.argv[1:])
"""


def broken(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", BROKEN, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("stage", ["crawl", "probe"])
def test_a_command_stops_in_one_line_with_the_remedy(stage: str, tmp_path: Path) -> None:
    (tmp_path / "links.txt").write_text("http://127.0.0.1:9/film.mp4\n")
    setting = {"crawl": "crawl.input", "probe": "probe.manifest"}[stage]
    ended = broken(
        *("run", stage, "--run", str(tmp_path / "run"), "--profile", "folder"),
        *("--set", f"{setting}={tmp_path / 'links.txt'}"),
    )
    assert ended.returncode == 1, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if "yt-dlp" in line]
    assert "has no yt_dlp.networking._helper._socket_connect, so nothing is fetched" in line and KNOWN_GOOD in line
    assert "Traceback" not in ended.stderr and not list((tmp_path / "run").glob("raw/*"))


@pytest.mark.slow
def test_a_folder_is_crawled_without_it(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "film.mp4").write_bytes(b"no film")
    ended = broken(
        *("run", "crawl", "--run", str(tmp_path / "run"), "--profile", "folder"),
        *("--set", f"crawl.input={tmp_path / 'videos'}"),
    )
    assert ended.returncode == 0 and "1 of 1 units: 1 rejected" in ended.stdout + ended.stderr, ended.stderr
