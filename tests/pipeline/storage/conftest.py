"""The two kinds of storage, empty."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.storage import Storage, storage_of
from pipeline.storage.chosen import choose
from tests.bucket import BUCKET, Server, environment, serving


@pytest.fixture(scope="session")
def one_server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def server(one_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that has not been asked anything; each test has a prefix of its own."""
    for name, value in environment(one_server, tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    one_server.faults = type(one_server.faults)()
    one_server.requests.clear()
    return one_server


@pytest.fixture
def bucket_run(server: Server, tmp_path: Path) -> Path:
    """A run whose files lie in the bucket."""
    run = tmp_path / "run"
    run.mkdir()
    choose(run, f"s3://{BUCKET}/{tmp_path.name}", "", 1.0)
    server.requests.clear()
    return run


@pytest.fixture(params=["disk", "bucket"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run of either kind."""
    if request.param == "bucket":
        found: Path = request.getfixturevalue("bucket_run")
        return found
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def storage(run: Path) -> Storage:
    """The storage of a run of either kind."""
    return storage_of(run)
