"""An S3 server on this machine: moto's, counted, and as slow and faulty as a test wants it."""

import logging
import os
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

BUCKET = "takes"
_CUT_BYTES = 512  # shorter answers are not cut: they are XML


@dataclass
class Faults:
    """What goes wrong.

    Attributes:
        every: of so many requests one is answered by 503; 0: none.
        cut_every: of so many bodies one ends in the middle; 0: none.
        seconds: before each answer.
        down: every request is answered by 503.
    """

    every: int = 0
    cut_every: int = 0
    seconds: float = 0.0
    down: bool = False


@dataclass
class Server:
    """A WSGI application around moto's.

    Attributes:
        requests: (method, path and query) of each that came.
        failed, cut: how many were answered so.
    """

    app: Any
    faults: Faults = field(default_factory=Faults)
    requests: list[tuple[str, str]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    failed: int = 0
    cut: int = 0
    bodies: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        with self.lock:
            method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
            self.requests.append((method, environ["PATH_INFO"] + (f"?{query}" if query else "")))
            fails = self.faults.down or (self.faults.every and len(self.requests) % self.faults.every == 0)
            self.failed += bool(fails)
        time.sleep(self.faults.seconds)
        if fails:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("503 Slow Down", [("Content-Length", "0"), ("Connection", "close")])
            return [b""]

        def noted(status: str, *rest: Any) -> Any:
            self.answers.append(status[:3])
            return start(status, *rest)

        body = b"".join(self.app(environ, noted))
        if method == "GET" and len(body) > _CUT_BYTES and not query:
            with self.lock:
                self.bodies += 1
                cuts = self.faults.cut_every and self.bodies % self.faults.cut_every == 0
                self.cut += bool(cuts)
            if cuts:
                return [body[: len(body) // 2]]
        return [body]

    def spoil(self, key: str, data: bytes) -> None:
        """Store other bytes under a key, past the requests, with the metadata that is there; or a file that nobody put."""
        bucket = _bucket()
        meta = bucket.keys[key].metadata if key in bucket.keys else {}
        bucket.keys[key] = _made(key, data, meta)

    def uploads(self) -> int:
        """Uploads in parts that were begun and are at no end."""
        return len(_bucket().multiparts)

    def count(self, *methods: str) -> int:
        """Requests of these methods; LIST is a GET of the bucket."""
        return sum(_kind(*one) in methods for one in self.requests)


def _kind(method: str, path: str) -> str:
    return "LIST" if method == "GET" and "list-type" in path else method


@contextmanager
def serving() -> Iterator[Server]:
    """A server with an empty bucket, until the block ends."""
    pytest.importorskip("obstore")
    pytest.importorskip("moto")
    from moto.moto_api._internal import moto_api_backend  # type: ignore[attr-defined]
    from moto.server import DomainDispatcherApplication, create_backend_app  # type: ignore[attr-defined]
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto_api_backend.reset()
    server = Server(DomainDispatcherApplication(create_backend_app))
    http = make_server("127.0.0.1", 0, server, threaded=True)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_port}"
    try:
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/{BUCKET}", method="PUT")).close()
        server.requests.clear()
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def environment(server: Server, cache: Path) -> dict[str, str]:
    """The variables with which a program reaches it."""
    return {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "key-of-a-test",
        "AWS_SECRET_ACCESS_KEY": "secret-of-a-test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "CSG405_CACHE": str(cache),
        "no_proxy": f"127.0.0.1,{os.environ.get('no_proxy', '')}",
    }


@contextmanager
def serving_here(cache: Path, patch: pytest.MonkeyPatch) -> Iterator[Server]:
    """As `serving`, and this process reaches it; copies lie in the folder `cache`."""
    with serving() as server:
        for name, value in environment(server, cache).items():
            patch.setenv(name, value)
        yield server


def keys(server: Server) -> dict[str, bytes]:
    """{key: bytes} of what is stored, looked up past the requests that are counted."""
    return {name: key.value for name, key in _bucket().keys.items()}


def _bucket() -> Any:
    """The bucket as moto holds it."""
    from moto.s3.models import s3_backends

    found = [backends["aws"].buckets.get(BUCKET) for backends in s3_backends.values() if "aws" in backends]
    return next(bucket for bucket in found if bucket is not None)


def _made(key: str, data: bytes, metadata: Any) -> Any:
    from moto.s3.models import FakeKey

    made = FakeKey(name=key, value=data, account_id="123456789012", region_name="us-east-1", storage="STANDARD")
    made.set_metadata(metadata, replace=True)
    return made
