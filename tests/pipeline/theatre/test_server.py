"""The loopback server."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipeline.theatre import serve

BODY = bytes(range(256)) * 8


@pytest.fixture
def base(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "a.mp4").write_bytes(BODY)
    (tmp_path / "secret.txt").write_text("no")
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "b.mp4").write_bytes(b"x")
    with serve(tmp_path) as url:
        yield url


def test_whole_file_and_head(base: str) -> None:
    answer = httpx.get(f"{base}/a.mp4")
    assert answer.status_code == 200 and answer.content == BODY
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    head = httpx.head(f"{base}/a.mp4")
    assert head.headers["content-length"] == str(len(BODY)) and head.content == b""


@pytest.mark.parametrize(
    ("asked", "first", "stop"),
    [("bytes=10-19", 10, 20), ("bytes=2000-", 2000, 2048), ("bytes=-5", 2043, 2048), ("bytes=5-99999", 5, 2048)],
)
def test_ranges(base: str, asked: str, first: int, stop: int) -> None:
    answer = httpx.get(f"{base}/a.mp4", headers={"Range": asked})
    assert answer.status_code == 206 and answer.content == BODY[first:stop]
    assert answer.headers["content-range"] == f"bytes {first}-{stop - 1}/{len(BODY)}"


def test_a_range_beyond_the_end(base: str) -> None:
    assert httpx.get(f"{base}/a.mp4", headers={"Range": "bytes=9999-"}).status_code == 416


@pytest.mark.parametrize("path", ["nothing.mp4", "secret.txt", "truth/b.mp4", "..%2Fa.mp4", "%2e%2e/a.mp4", ""])
def test_nothing_else_is_given_out(base: str, path: str) -> None:
    assert httpx.get(f"{base}/{path}").status_code == 404


def test_it_stops_by_itself(tmp_path: Path) -> None:
    with serve(tmp_path) as url:
        pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, timeout=1)
