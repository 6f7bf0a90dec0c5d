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
        body = b"".join(self.app(environ, start))
        if method == "GET" and len(body) > _CUT_BYTES and not query:
            with self.lock:
                self.bodies += 1
                cuts = self.faults.cut_every and self.bodies % self.faults.cut_every == 0
                self.cut += bool(cuts)
            if cuts:
                return [body[: len(body) // 2]]
        return [body]

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
    from moto.moto_api._internal import moto_api_backend
    from moto.server import DomainDispatcherApplication, create_backend_app
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


def keys(server: Server) -> dict[str, bytes]:
    """{key: bytes} of what is stored, looked up past the requests that are counted."""
    from moto.s3.models import s3_backends

    found: dict[str, bytes] = {}
    for backends in s3_backends.values():
        bucket = backends["aws"].buckets.get(BUCKET) if "aws" in backends else None
        if bucket is not None:
            found |= {name: key.value for name, key in bucket.keys.items()}
    return found
