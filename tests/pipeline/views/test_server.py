"""The report's server: ranges as browsers ask for them, and nothing but the page and what it plays."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.views.server import file_of, serve


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "a run"
    for name, data in {
        "report/index.html": b"<p>page",
        "report/data/kept 0.js": b"1",
        "previews/ab/x.mp4": bytes(range(200)),
        "clips/cd/y.mp4": b"clip",
        "tables/persons/rows/part-1.parquet": b"rows",
        "report/.people.js": b"hidden",
        "profile.toml": b"secret",
        "raw/ab/film.mp4": b"raw",
    }.items():
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (run / "report/out.html").symlink_to(run / "profile.toml")
    (tmp_path / "other.mp4").write_bytes(b"other")
    (run / "previews/out.mp4").symlink_to(tmp_path / "other.mp4")
    return run


@pytest.fixture
def port(run: Path) -> Iterator[int]:
    server = serve(run, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def ask(
    port: int, path: str, method: str = "GET", host: str = "127.0.0.1", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": f"{host}:{port}", **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data


def test_the_page_and_what_it_plays(port: int) -> None:
    status, headers, _ = ask(port, "/")
    assert (status, headers["location"]) == (302, "/report/index.html")
    status, headers, data = ask(port, "/report/index.html")
    assert (status, headers["content-type"], data) == (200, "text/html; charset=utf-8", b"<p>page")
    assert ask(port, "/report/data/kept%200.js")[2] == b"1"
    assert ask(port, "/clips/cd/y.mp4", "HEAD")[::2] == (200, b"")
    assert ask(port, "/clips/cd/y.mp4?seen=1", host="localhost")[2] == b"clip"


@pytest.mark.parametrize(
    ("asked", "status", "data", "told"),
    [
        ("bytes=0-", 206, bytes(range(200)), "bytes 0-199/200"),
        ("bytes=10-19", 206, bytes(range(10, 20)), "bytes 10-19/200"),
        ("bytes=190-999", 206, bytes(range(190, 200)), "bytes 190-199/200"),
        ("bytes=-5", 206, bytes(range(195, 200)), "bytes 195-199/200"),
        ("bytes=200-", 416, b"", "bytes */200"),
        ("bytes=0-1,5-6", 200, bytes(range(200)), None),
        ("chars=0-1", 200, bytes(range(200)), None),
    ],
)
def test_ranges(port: int, asked: str, status: int, data: bytes, told: str | None) -> None:
    answer = ask(port, "/previews/ab/x.mp4", Range=asked)
    assert (answer[0], answer[2], answer[1].get("content-range")) == (status, data, told)


@pytest.mark.parametrize(
    "path",
    [
        "/profile.toml",
        "/tables/persons/rows/part-1.parquet",
        "/raw/ab/film.mp4",
        "/report/../profile.toml",
        "/report/..%2fprofile.toml",
        "/report/%2e%2e/%2e%2e/other.mp4",
        "/previews//etc/passwd",
        "/previews/..\\..\\other.mp4",
        "/report/.people.js",
        "/report/out.html",
        "/previews/out.mp4",
        "/previews/ab",
        "/previews/",
        "/report/index.html%00.js",
        "/report/%ff.js",
        "http://[/",
    ],
)
def test_nothing_else_is_served(port: int, run: Path, path: str) -> None:
    assert ask(port, path)[0] == 404


def test_a_foreign_name_is_refused(port: int) -> None:
    assert ask(port, "/report/index.html", host="evil.example")[0] == 421
    assert ask(port, "/report/index.html", "POST")[0] == 501


def test_only_this_machine_may_ask(run: Path) -> None:
    server = serve(run, 0)
    assert server.server_address[0] == "127.0.0.1"
    server.server_close()
    assert file_of(run, "/report/index.html") == (run / "report/index.html").resolve()
