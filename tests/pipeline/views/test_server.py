"""The report's server: ranges as browsers ask for them, and nothing but the page and what it plays."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.views.server import ReportServer, file_of, serve


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
def server(run: Path) -> Iterator[ReportServer]:
    server = serve(run, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def ask(
    server: ReportServer,
    path: str,
    method: str = "GET",
    host: str = "127.0.0.1",
    cookie: str | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """What the server answers to a browser that has its cookie; to another with `cookie`."""
    port = server.server_address[1]
    headers["Cookie"] = f"{server.cookie}={server.key}" if cookie is None else cookie
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": f"{host}:{port}", **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data


def test_the_page_and_what_it_plays(server: ReportServer) -> None:
    status, headers, _ = ask(server, "/")
    assert (status, headers["location"]) == (302, "/report/index.html")
    status, headers, data = ask(server, "/report/index.html")
    assert (status, headers["content-type"], data) == (200, "text/html; charset=utf-8", b"<p>page")
    assert ask(server, "/report/data/kept%200.js")[2] == b"1"
    assert ask(server, "/clips/cd/y.mp4", "HEAD")[::2] == (200, b"")
    assert ask(server, "/clips/cd/y.mp4?seen=1", host="localhost")[2] == b"clip"


@pytest.mark.parametrize(
    ("asked", "status", "data", "told"),
    [
        ("bytes=0-", 206, bytes(range(200)), "bytes 0-199/200"),
        ("bytes=10-19", 206, bytes(range(10, 20)), "bytes 10-19/200"),
        ("bytes=190-999", 206, bytes(range(190, 200)), "bytes 190-199/200"),
        ("bytes=-5", 206, bytes(range(195, 200)), "bytes 195-199/200"),
        ("bytes=200-", 416, b"", "bytes */200"),
        (f"bytes={'9' * 5000}-", 200, bytes(range(200)), None),
        (f"bytes=-{'9' * 18}", 206, bytes(range(200)), "bytes 0-199/200"),
        ("bytes=0-1,5-6", 200, bytes(range(200)), None),
        ("chars=0-1", 200, bytes(range(200)), None),
    ],
)
def test_ranges(server: ReportServer, asked: str, status: int, data: bytes, told: str | None) -> None:
    answer = ask(server, "/previews/ab/x.mp4", Range=asked)
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
def test_nothing_else_is_served(server: ReportServer, run: Path, path: str) -> None:
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize(
    "path", ["/", "/?key=", "/?key=%C3%A9", "/report/index.html", "/previews/ab/x.mp4", "/profile.toml", "/none"]
)
def test_without_the_key_nothing_is_told(server: ReportServer, path: str) -> None:
    """To another account of the machine, which sees that the port is open."""
    for cookie in ("", f"{server.cookie}=", f"{server.cookie}=\xe9", f"other={server.key}"):
        status, headers, data = ask(server, path, cookie=cookie)
        assert (status, headers["content-type"]) == (403, "text/plain; charset=utf-8")
        assert b"csg405 report --serve" in data and "set-cookie" not in headers
    assert ask(server, path, "HEAD", cookie="")[::2] == (403, b"")
    assert ask(server, f"/report/index.html?key={server.key}", cookie="")[0] == 403, (
        "only the address itself takes the key"
    )


def test_the_address_gives_the_cookie_that_opens(server: ReportServer) -> None:
    place = server.address.removeprefix(f"http://127.0.0.1:{server.server_address[1]}")
    status, headers, _ = ask(server, place, cookie="")
    assert (status, headers["location"]) == (302, "/report/index.html")
    cookie, *rules = headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict"} <= set(rules)
    assert ask(server, "/report/index.html", cookie=f'strange="a,b; {cookie}; other=1')[0] == 200


def test_a_file_that_may_not_be_read_is_not_found(server: ReportServer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def locked(self: Path, *arguments: Any, **named: Any) -> Any:
        if self.name == "y.mp4":
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", locked)
    assert ask(server, "/clips/cd/y.mp4")[0] == 404
    assert ask(server, "/previews/ab/x.mp4")[0] == 200


def test_a_foreign_name_is_refused(server: ReportServer) -> None:
    assert ask(server, "/report/index.html", host="evil.example")[0] == 421
    assert ask(server, "/report/index.html", "POST")[0] == 501


def test_only_this_machine_may_ask(run: Path) -> None:
    first, second = serve(run, 0), serve(run, 0)
    assert first.server_address[0] == "127.0.0.1"
    assert first.key != second.key and first.cookie != second.cookie
    first.server_close()
    second.server_close()
    assert file_of(run, "/report/index.html") == (run / "report/index.html").resolve()
