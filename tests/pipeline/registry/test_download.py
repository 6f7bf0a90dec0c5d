"""Nets: found where they should be, fetched from servers that misbehave, refused when they are not what they claim."""

import hashlib
import importlib
import io
import json
import re
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.base import install
from pipeline.registry import archives
from pipeline.registry.archives import BadModel
from pipeline.registry.download import DownloadError, download
from pipeline.registry.models import Entry, MissingModel, Registry, load_entries

BODY = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server:
    """Serves BODY with every flaw a test asks for; `asked` is what came in: (path, headers)."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.flaws: list[str] = []  # one an answer, then none
        self.body = BODY
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append((self.path, dict(self.headers)))
                server.answer(self, server.flaws.pop(0) if server.flaws else "")
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/net.onnx"

    def answer(self, to: BaseHTTPRequestHandler, flaw: str) -> None:
        first = re.fullmatch(r"bytes=(\d+)-", to.headers.get("Range", ""))
        begin = int(first[1]) if first else 0
        if flaw.isdigit():
            to.send_response(int(flaw))
            to.send_header("Retry-After", "0")
            to.send_header("Content-Length", "0")
            to.send_header("Connection", "close")
            to.end_headers()
            return
        if flaw == "redirect":
            to.send_response(302)
            to.send_header("Location", self.url.replace("net", "elsewhere"))
            to.send_header("Content-Length", "0")
            to.send_header("Connection", "close")
            to.end_headers()
            return
        if begin >= len(self.body) and flaw != "no range":
            to.send_response(416)
            to.send_header("Content-Range", f"bytes */{len(self.body)}")
            to.send_header("Content-Length", "0")
            to.send_header("Connection", "close")
            to.end_headers()
            return
        ranged = first and flaw not in ("no range", "html")
        if flaw == "other place" and begin:
            begin -= 1
        data = self.body[begin:] if ranged else self.body
        to.send_response(206 if ranged else 200)
        to.send_header("Content-Type", "text/html; charset=utf-8" if flaw == "html" else "application/octet-stream")
        if ranged:
            to.send_header("Content-Range", f"bytes {begin}-{len(self.body) - 1}/{len(self.body)}")
        if flaw not in ("no length", "endless"):
            to.send_header("Content-Length", str(len(data)))
        to.send_header("Connection", "close")
        to.end_headers()
        to.wfile.write(data[: len(data) // 2] if flaw == "cut" else data)
        if flaw == "endless":
            to.wfile.write(data)


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    yield served
    served.http.shutdown()
    served.http.server_close()


def get(server: Server, target: Path, *, size: int | None = len(BODY), sha256: str = SHA256) -> Path:
    return download(server.url, target, size, sha256, pause_seconds=0.01)


@pytest.mark.parametrize(
    "flaws",
    [
        [],
        ["cut"],
        ["cut", "cut", "cut", "cut"],
        ["cut", "no range"],
        ["cut", "other place"],
        ["503", "429", "500"],
        ["cut", "503"],
        ["no length"],
        ["redirect"],
        ["redirect", "cut", "redirect"],
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_it_arrives_whole_whatever_the_server_does(
    server: Server, tmp_path: Path, flaws: list[str], known: bool
) -> None:
    server.flaws = list(flaws)
    target = tmp_path / "cache" / "net.onnx"
    get(server, target, size=len(BODY) if known else None, sha256=SHA256 if known else "")
    assert target.read_bytes() == BODY
    assert list(target.parent.iterdir()) == [target]


def test_it_goes_on_where_it_ended(server: Server, tmp_path: Path) -> None:
    seen: list[int] = []
    server.flaws = ["cut"]
    download(server.url, tmp_path / "n", len(BODY), SHA256, report=lambda n, _: seen.append(n), pause_seconds=0.01)
    assert [headers.get("Range") for _, headers in server.asked] == [None, f"bytes={len(BODY) // 2}-"]
    assert seen == sorted(seen) and seen[-1] == len(BODY)


def test_what_a_killed_process_left_is_used(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "n.part"
    part.write_bytes(BODY[:1000])
    get(server, tmp_path / "n")
    assert server.asked[0][1]["Range"] == "bytes=1000-"
    part.write_bytes(BODY)
    get(server, tmp_path / "n")
    assert len(server.asked) == 1, "it was whole, only not renamed"
    part.write_bytes(BODY)
    get(server, tmp_path / "n", size=None)
    assert len(server.asked) == 2 and (tmp_path / "n").read_bytes() == BODY, "416: the server says that it is whole"


@pytest.mark.parametrize("size", [len(BODY), None])
@pytest.mark.parametrize("left", [b"x" * 1000, BODY + b"more", b"x" * len(BODY)])
def test_a_part_of_another_file_is_started_over(server: Server, tmp_path: Path, left: bytes, size: int | None) -> None:
    (tmp_path / "n.part").write_bytes(left)
    assert get(server, tmp_path / "n", size=size).read_bytes() == BODY


@pytest.mark.parametrize(
    ("flaws", "words", "answers"),
    [
        (["404"], "HTTP 404", 1),
        (["401"], "HTTP 401", 1),
        (["html"], "a web page, not a file", 1),
        (["503"] * 5, "5 tries failed, the last with: HTTP 503", 5),
        (["redirect"] * 30, "redirect", 21),
        (["endless"], "more than", 1),
    ],
)
def test_what_will_not_arrive_is_said_in_words(
    server: Server, tmp_path: Path, flaws: list[str], words: str, answers: int
) -> None:
    server.flaws = flaws
    with pytest.raises(DownloadError, match=words):
        get(server, tmp_path / "n")
    assert len(server.asked) == answers and not (tmp_path / "n").exists()


def test_wrong_bytes_are_removed(server: Server, tmp_path: Path) -> None:
    for size, sha256, words in (
        (len(BODY), "0" * 64, "expected 000"),
        (99, "", "more than 99"),
        (2**21, "", "expected 2,097"),
    ):
        with pytest.raises(DownloadError, match=words):
            get(server, tmp_path / "n", size=size, sha256=sha256)
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://[broken", ""])
def test_only_web_addresses(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        download(url, tmp_path / "n", pause_seconds=0.01)


def test_a_disk_without_room_is_seen_before_it_is_full(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(DownloadError, match="no room for 1,048,576 bytes more"):
        get(server, tmp_path / "n")


# The registry

Make = Callable[..., Registry]


@pytest.fixture
def make(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A registry of one net, called "net", in a cache of its own."""
    monkeypatch.delenv("CSG405_MODELS", raising=False)

    def build(models: Path | None = None, *, download: bool = True, **entry: Any) -> Registry:
        found = Registry(models, tmp_path / "cache", download=download)
        about = {"purpose": "a net", "file": "net.onnx", "licence": "MIT", "url": server.url, **entry}
        found.entries = {"net": Entry(**about), "other": Entry(purpose="b", file="other.onnx", licence="MIT")}
        return found

    return build


def test_the_order_of_the_search(make: Make, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    given, package = tmp_path / "given", tmp_path / "site" / "carrier" / "data"
    monkeypatch.syspath_prepend(package.parent.parent)
    places = {"package": package, "cache": tmp_path / "cache", "given": given}
    for folder in places.values():
        folder.mkdir(parents=True, exist_ok=True)
    (package.parent / "__init__.py").write_text("raise ImportError('found, never imported')")
    entry = {"package": "carrier", "package_file": "data/net.onnx", "sha256": SHA256}
    assert make(given, **entry, download=False).find("net") is None
    for name in ("package", "cache", "given"):
        (places[name] / "net.onnx").write_bytes(BODY)
        assert make(given, **entry).resolve(["net"]).path == places[name] / "net.onnx"
    assert server.asked == []
    monkeypatch.setenv("CSG405_MODELS", str(given))
    assert make(**entry).resolve(["other", "net"]).path == given / "net.onnx", "what is there beats what would be best"


def test_a_missing_net_is_fetched_once(make: Make, server: Server) -> None:
    found = make(sha256=SHA256, bytes=len(BODY)).resolve(["net"])
    assert found.path.read_bytes() == BODY and found.sha256 == SHA256
    make(sha256=SHA256).resolve(["net"])
    make(sha256=SHA256).fetch("net")
    assert len(server.asked) == 1
    with pytest.raises(MissingModel, match=r"csg405 models fetch net, or put another\.onnx into a folder"):
        make(file="another.onnx", download=False).resolve(["net"])
    with pytest.raises(MissingModel, match="no net is called 'nett'"):
        make().resolve(["nett"])


def test_two_processes_fetch_it_once(make: Make, server: Server) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(make(sha256=SHA256).fetch("net").read_bytes())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [BODY] * 4 and len(server.asked) == 1


def test_an_unpinned_net_is_refused_until_it_is_pinned(make: Make, tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="no hash of net is recorded; if you trust the file: csg405 models pin net"):
        make().resolve(["net"])
    assert make().pin("net") == SHA256
    assert make().resolve(["net"]).sha256 == SHA256
    (tmp_path / "cache" / "net.onnx").write_bytes(b"swapped")
    with pytest.raises(
        BadModel, match=r"net.onnx is not net: sha256 .*expected.*delete it and run csg405 models fetch net"
    ):
        make().resolve(["net"])
    with pytest.raises(MissingModel, match="already has a hash"):
        make(sha256=SHA256).pin("net")
    assert make().fetch("net").read_bytes() == BODY, "fetching mends it"
    (tmp_path / "cache" / "pins.json").write_text("{")
    with pytest.raises(BadModel, match=r"pins.json is broken.*mend or remove it"):
        make().resolve(["net"])


def test_a_wrong_net_from_the_server_is_refused(make: Make, tmp_path: Path, server: Server) -> None:
    server.flaws = ["html"]
    with pytest.raises(MissingModel, match=r"could not be fetched from http.*a web page"):
        make(sha256=SHA256).resolve(["net"])
    with pytest.raises(MissingModel, match="expected 1111"):
        make(sha256="1" * 64).resolve(["net"])
    assert not (tmp_path / "cache" / "net.onnx").exists()


def test_a_token_is_sent_to_its_server_and_no_further(
    make: Make, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", "hf_secret")
    other = Server()
    try:
        server.flaws = ["redirect"]
        home = server.url
        server.url = other.url.replace("127.0.0.1", "localhost")  # where the redirect leads
        make(url=home, token="A_TOKEN", sha256=SHA256).fetch("net")
        assert server.asked[0][1]["Authorization"] == "Bearer hf_secret"
        assert "Authorization" not in other.asked[0][1]
    finally:
        other.http.shutdown()
        other.http.server_close()


@pytest.mark.parametrize("status", ["401", "403"])
def test_what_a_gated_net_asks_for_is_told(make: Make, server: Server, status: str) -> None:
    server.flaws = [status]
    with pytest.raises(MissingModel, match=rf"HTTP {status} .*It is gated: accept its terms, then set A_TOKEN\. "):
        make(token="A_TOKEN", note="gated: accept its terms, then set A_TOKEN", sha256=SHA256).fetch("net")


def test_without_a_network_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr("time.sleep", naps.append)
    with pytest.raises(DownloadError, match="may not be connected"):
        download("https://example.invalid/net.onnx", tmp_path / "net.onnx")
    assert naps == []


def zipped(**members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return sink.getvalue()


def test_a_member_of_an_archive(make: Make, tmp_path: Path, server: Server) -> None:
    server.body = zipped(**{"../../evil": b"x", "/etc/evil": b"x", "deep/end2end.onnx": BODY})
    found = make(member="end2end.onnx", sha256=SHA256).resolve(["net"])
    assert found.path.read_bytes() == BODY
    left = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert left - {".net.onnx.lock"} == {"net.onnx"}, "nothing else of the archive, nor the archive itself"


def taped(**members: bytes) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:bz2") as tape:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tape.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("first/end2end.onnx")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tape.addfile(link)
    return sink.getvalue()


def test_a_member_of_a_tape(make: Make, tmp_path: Path, server: Server) -> None:
    server.body = taped(**{"../../evil": b"x", "deep/end2end.onnx": BODY})
    found = make(member="end2end.onnx", sha256=SHA256).resolve(["net"])
    assert found.path.read_bytes() == BODY
    left = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert left - {".net.onnx.lock"} == {"net.onnx"}
    found.path.unlink()
    server.body = taped()  # a link of that name is no file
    with pytest.raises(BadModel, match="holds no"):
        make(member="end2end.onnx", sha256=SHA256).resolve(["net"])


def doubled(source: Path, target: Path) -> None:
    """A converter."""
    target.write_bytes(2 * source.read_bytes())


def test_a_net_in_another_form_is_converted_once(make: Make, tmp_path: Path, server: Server) -> None:
    server.body = BODY
    registry = make(sha256=SHA256, converter=f"{__name__}:doubled")
    found = registry.resolve(["net"])
    assert found.path.read_bytes() == 2 * BODY and found.path.suffix == ".onnx"
    assert found.sha256 == SHA256  # of what was downloaded and checked
    before = found.path.stat().st_mtime_ns
    assert registry.resolve(["net"]).path.stat().st_mtime_ns == before
    (tmp_path / "cache" / "net.onnx").write_bytes(b"another")
    with pytest.raises(BadModel):
        registry.resolve(["net"])


def test_what_a_converter_needs_is_told(make: Make, server: Server) -> None:
    server.body = BODY
    with pytest.raises(MissingModel, match=re.escape(install.pip("no_such_package"))):
        make(sha256=SHA256, converter="no_such_package:convert").resolve(["net"])


VERSION = 7  # of the recipes below


def faster(source: Path, target: Path) -> str:
    """A recipe that prepares a net."""
    target.write_bytes(b"fast " + source.read_bytes())
    return ""


def puzzled(source: Path, target: Path) -> str:
    """A recipe that does not understand it; what it had written by then is nothing."""
    target.write_bytes(b"half")
    return "an operator Loop"


def test_a_net_is_prepared_once(make: Make, tmp_path: Path, server: Server) -> None:
    server.body = BODY
    registry = make(sha256=SHA256, preparer=f"{__name__}:faster")
    released = registry.fetch("net")
    registry.download = False
    assert registry.resolve(["net"]).path == released, "who only looks prepares nothing"
    registry.download = True
    found = registry.resolve(["net"])
    assert found.path.read_bytes() == b"fast " + BODY and found.original == released and not found.unprepared
    assert found.path.stem == released.stem
    assert found.sha256 == SHA256 and found.identity == f"{SHA256}+test_download:faster 7"
    before = found.path.stat().st_mtime_ns
    registry.download = False
    again = registry.resolve(["net"])
    assert (again.path, again.path.stat().st_mtime_ns) == (found.path, before) and again.identity == found.identity
    released.write_bytes(b"another")
    with pytest.raises(BadModel):
        registry.resolve(["net"])


def test_a_net_that_is_not_understood_is_used_as_it_is(
    make: Make, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.body = BODY
    registry = make(sha256=SHA256, preparer=f"{__name__}:puzzled")
    found = registry.resolve(["net"])
    assert found.path.read_bytes() == BODY and found.original is None
    assert found.unprepared.startswith("an operator Loop; to try again, delete ")
    assert not list((tmp_path / "cache" / "prepared").rglob("*.onnx*"))
    monkeypatch.setitem(globals(), "puzzled", None)
    assert registry.resolve(["net"]).unprepared == found.unprepared, "it is tried once"
    Path(found.unprepared.rpartition(" ")[2]).unlink()
    with pytest.raises(TypeError):
        registry.resolve(["net"])


def test_nets_without_a_recipe_are_their_hash(make: Make, server: Server) -> None:
    server.body = BODY
    found = make(sha256=SHA256).resolve(["net"])
    assert (found.identity, found.original, found.unprepared) == (SHA256, None, "")


def test_recipes_of_the_registry_are_there() -> None:
    recipes = {name: entry.preparer for name, entry in load_entries().items() if entry.preparer}
    assert {"yolox_l", "yolox_nano", "dwpose_l", "rtmw_l", "lite133"} == set(recipes)
    for name, recipe in recipes.items():
        module, _, function = recipe.partition(":")
        assert callable(getattr(importlib.import_module(module), function)), name


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>no zip</html>", "no readable archive"),
        (zipped(other=b"x"), "holds no end2end.onnx"),
        (zipped(**{"end2end.onnx": bytes(1 << 22)}), "unpacks to more than"),
        (zipped(**{"end2end.onnx": BODY})[:-40], "no readable archive"),
        (zipped(**{"end2end.onnx": BODY}).replace(BODY[:1], b"\x01", 1), ""),
    ],
)
def test_bad_archives(
    make: Make, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, body: bytes, words: str
) -> None:
    monkeypatch.setattr(archives, "LARGEST_MEMBER_BYTES", 1 << 21)
    server.body = body
    with pytest.raises(BadModel, match=words or None):
        make(member="end2end.onnx", sha256="2" * 64).resolve(["net"])
    assert not list((tmp_path / "cache").glob("*.archive*"))


@pytest.mark.parametrize("blocked", ["cache", "cache/net.onnx.part"])
def test_a_cache_that_cannot_be_written(make: Make, tmp_path: Path, blocked: str) -> None:
    if blocked == "cache":
        (tmp_path / "cache").write_text("a file in the way")
    else:
        (tmp_path / blocked).mkdir(parents=True)
    with pytest.raises(MissingModel, match="could not be fetched"):
        make(sha256=SHA256).resolve(["net"])


def test_the_shipped_registry_is_sound() -> None:
    entries = load_entries()
    assert entries
    files = [entry.file for entry in entries.values()]
    assert len(set(files)) == len(files)
    for name, entry in entries.items():
        assert re.fullmatch(r"[\w.-]+", entry.file) and not entry.file.startswith("."), name
        assert re.fullmatch(r"([0-9a-f]{64})?", entry.sha256), name
        assert not entry.url or entry.url.startswith("https://"), name
        assert entry.url or entry.builder or entry.package or entry.note, f"{name}: where does it come from?"
        assert not entry.token or entry.note.startswith("gated: "), f"{name}: what does its page ask for?"


@pytest.mark.parametrize("host", ["127.0.0.1", "inside.example.org", "169.254.169.254", "[64:ff9b::a00:1]"])
def test_no_host_of_the_open_internet_leads_inside(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lookup, asked = socket.getaddrinfo, []
    names = {"nets.example.org": "93.184.216.34", "inside.example.org": "10.0.0.1"}
    monkeypatch.setattr(socket, "getaddrinfo", lambda h, *a, **k: lookup(names.get(h, h), *a, **k))

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(302, headers={"Location": f"http://{host}:9/net.onnx"})

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda self, request: answer(request))
    with pytest.raises(DownloadError, match="which is not public"):
        download("http://nets.example.org/net.onnx", tmp_path / "net.onnx", pause_seconds=0)
    assert asked == ["nets.example.org"]


@dataclass(frozen=True)
class Verdict:
    """As recipes give it."""

    refused: str = ""
    words: str = "99.0 % of 100 points"
    failed: bool = False


def runner(device: str) -> str:
    """What verdicts of these recipes hold for."""
    return f"{device}-here"


def halved(source: Path, target: Path, device: str) -> Verdict:
    """A recipe for half precision, which this device allows."""
    target.write_bytes(f"half on {device} of ".encode() + source.read_bytes())
    return Verdict()


def refused(source: Path, target: Path, device: str) -> Verdict:
    return Verdict("41.0 % of 100 points", "41.0 % of 100 points")


def stopped(source: Path, target: Path, device: str) -> Verdict:
    """A recipe whose trial ends without a verdict, at which something was written already."""
    target.write_bytes(b"half of a half")
    return Verdict("stopped after 600 s", failed=True)


def test_a_net_is_halved_where_it_is_asked_for_and_allowed(make: Make, server: Server) -> None:
    server.body = BODY
    registry = make(sha256=SHA256, preparer=f"{__name__}:faster", halver=f"{__name__}:halved")
    whole = registry.resolve(["net"])
    assert (whole.precision, whole.identity) == ("", f"{SHA256}+test_download:faster 7")
    looked = registry.looking()
    looked.entries = registry.entries
    assert looked.resolve(["net"], "fp16").identity == f"{SHA256}+test_download:faster 7+test_download:halved 7"
    found = registry.resolve(["net"], "fp16")
    assert found.path.read_bytes() == b"half on cpu of fast " + BODY
    assert found.precision == "half precision: 99.0 % of 100 points" and found.original == whole.original
    assert found.identity == f"{SHA256}+test_download:faster 7+test_download:halved 7"
    assert json.loads(found.path.with_suffix(".json").read_text())["refused"] == "", "the verdict lies beside the net"
    registry.device = "cuda"
    assert registry.resolve(["net"], "fp16").path.read_bytes() == b"half on cuda of fast " + BODY, "a trial a device"
    assert registry.resolve(["net"]).path == whole.path


def test_a_net_that_may_not_be_halved_is_used_as_it_is_with_the_figure(
    make: Make, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.body = BODY
    registry = make(sha256=SHA256, halver=f"{__name__}:refused")
    found = registry.resolve(["net"], "fp16")
    assert found.path.read_bytes() == BODY
    assert found.identity == f"{SHA256}+test_download:refused 7", "what was asked for, not what this machine made of it"
    assert found.precision.startswith(
        "single precision, for half is refused: 41.0 % of 100 points; to try again, delete "
    )
    monkeypatch.setitem(globals(), "refused", None)
    assert registry.resolve(["net"], "fp16").precision == found.precision, "it is tried once"
    verdict = Path(found.precision.rpartition(" ")[2])
    verdict.write_text("{}")
    assert "the verdict cannot be read" in registry.resolve(["net"], "fp16").precision
    verdict.unlink()
    with pytest.raises(TypeError):
        registry.resolve(["net"], "fp16")
    told = make(sha256=SHA256).resolve(["net"], "fp16")
    assert told.precision == "single precision: the registry knows no half one of it" and told.identity == SHA256


def test_a_trial_that_fails_is_no_verdict(make: Make, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.body = BODY
    registry = make(sha256=SHA256, halver=f"{__name__}:stopped")
    found = registry.resolve(["net"], "fp16")
    assert found.path.read_bytes() == BODY and found.identity == f"{SHA256}+test_download:stopped 7"
    assert found.precision == "single precision this time, for the trial of half failed: stopped after 600 s"
    assert [path.name for path in (registry.cache / "halved").rglob("*.*") if path.suffix != ".lock"] == []
    later = make(sha256=SHA256, halver=f"{__name__}:stopped")
    monkeypatch.setitem(globals(), "stopped", halved)
    for same in (registry, registry.here({"net": SHA256})):
        same.entries = registry.entries
        assert same.resolve(["net"], "fp16") == found, "this command and its workers do not try again"
    assert later.resolve(["net"], "fp16").precision == "half precision: 99.0 % of 100 points", "the next one does"


def test_a_verdict_holds_for_what_runs_the_net(make: Make, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.body = BODY
    registry = make(sha256=SHA256, halver=f"{__name__}:halved")
    here = registry.resolve(["net"], "fp16")
    monkeypatch.setitem(globals(), "halved", refused)
    assert registry.resolve(["net"], "fp16").path == here.path
    monkeypatch.setitem(globals(), "runner", lambda device: "cpu-there")
    there = registry.resolve(["net"], "fp16")
    assert "41.0 % of 100 points" in there.precision and there.identity == here.identity


def test_nets_that_are_prepared_are_halved_likewise() -> None:
    for entry in load_entries().values():
        assert entry.halver == entry.preparer.replace("prepare", "half")
        if entry.halver:
            module, _, function = entry.halver.partition(":")
            assert callable(getattr(importlib.import_module(module), function))
