"""Crawl, all of it, against a parallel curl of the same files, from a server that gives each connection 4 MB/s.

python -m tests.bench crawl [--rounds N]

The files are little films padded to 30 MB, each with bytes of its own. Ours starts its workers, asks in turn, downloads,
probes, hashes, and commits; curl writes files.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

from pipeline.engine.runner import Options, run_stage
from pipeline.registry.models import Registry
from pipeline.sources.web.settings import Web
from pipeline.tables.outcome import OK
from stages.crawl import Crawl
from tests.bench.table import LIMIT, OURS, Cost, Goal, Row, Skipped, cores, cost_of, rows
from tests.stages.little_films import write_film

CONNECTIONS, FILES, FILE_BYTES, BYTES_PER_SECOND = 8, 64, 30_000_000, 4_000_000
TAIL = 16  # bytes at the end, other ones in each file
GOAL = Goal("times the limit", 1.15)
_BLOCKS_PER_SECOND = 20


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    curl = shutil.which("curl")
    if curl is None:
        raise Skipped("curl is not installed")
    film = padded_film(folder)
    runs = iter(range(1_000_000))
    with server(film) as address:
        links = [f"{address}/{number}.mp4" for number in range(FILES)]

        def ours() -> None:
            run = folder / f"run-{next(runs)}"
            run.mkdir()
            (run / "links.txt").write_text("\n".join(links))
            web = Web(connections=CONNECTIONS, requests_per_hour=1e6, jitter=0, min_free_gigabytes=0)
            stage = Crawl(input=str(run / "links.txt"), allow_loopback=True)
            summary = run_stage(stage, run, Registry(cache=folder), Options(workers=cores(), web=web))
            assert summary.counts == {OK: FILES}, summary
            shutil.rmtree(run)

        def parallel_curl() -> None:
            target = folder / f"curl-{next(runs)}"
            target.mkdir()
            command = ["xargs", "-P", str(CONNECTIONS), "-n", "1", curl, "-sS", "-f", "--remote-name"]
            subprocess.run(command, input="\n".join(links).encode(), cwd=target, check=True)
            assert sum(path.stat().st_size for path in target.iterdir()) == FILES * FILE_BYTES
            shutil.rmtree(target)

        costs: dict[str, list[Cost]] = {OURS: [], LIMIT: []}
        for _ in range(rounds):
            forked, cost = forked_seconds(), cost_of(ours)
            costs[OURS].append(Cost(cost.wall, cost.cpu + forked_seconds() - forked))
            costs[LIMIT].append(cost_of(parallel_curl))
    yield from rows(f"crawl {FILES} files of 30 MB, {CONNECTIONS} at 4 MB/s", costs, GOAL)
    gigabytes = FILES * FILE_BYTES / 1e9
    per = {name: [cost.cpu / gigabytes for cost in found] for name, found in costs.items()}
    ours_per, curl_per = (statistics.median(per[name]) for name in (OURS, LIMIT))
    yield Row("crawl, processor time a gigabyte", "CPU s", ours_per, None, curl_per, None, per)


def forked_seconds() -> float:
    """Processor time of the process from which workers are forked, and of those: it stays, so nobody has waited for it."""
    times = [child.cpu_times() for child in psutil.Process().children() if "forkserver" in " ".join(child.cmdline())]
    return float(sum(t.user + t.system + t.children_user + t.children_system for t in times))


def padded_film(folder: Path) -> Path:
    """A film that decodes, and then a `free` box of random bytes up to FILE_BYTES."""
    path = write_film(folder / "film.mp4", [60, 60])
    size = FILE_BYTES - path.stat().st_size
    with path.open("ab") as file:
        file.write(size.to_bytes(4, "big") + b"free" + os.urandom(size - 8))
    return path


@contextmanager
def server(film: Path) -> Iterator[str]:
    """The server in a process of its own, so that its processor time is nobody's."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.bench_crawl", str(film)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


class Steady(BaseHTTPRequestHandler):
    """Gives any path the film, with the path's own last bytes, so many bytes a second."""

    protocol_version = "HTTP/1.1"
    film: Path

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", str(FILE_BYTES - first))
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {first}-{FILE_BYTES - 1}/{FILE_BYTES}")
        self.end_headers()
        self.wfile.flush()
        block, began, sent = BYTES_PER_SECOND // _BLOCKS_PER_SECOND, time.perf_counter(), 0
        try:
            with self.film.open("rb") as file:
                while first + sent < FILE_BYTES - TAIL:
                    count = min(block, FILE_BYTES - TAIL - first - sent)
                    sent += os.sendfile(self.connection.fileno(), file.fileno(), first + sent, count)
                    time.sleep(max(0.0, began + sent / BYTES_PER_SECOND - time.perf_counter()))
            self.wfile.write(self.path.encode().rjust(TAIL)[-TAIL:])
        except OSError:
            self.close_connection = True  # who asked has heard enough


def main() -> None:
    Steady.film = Path(sys.argv[1])
    with ThreadingHTTPServer(("127.0.0.1", 0), Steady) as served:
        served.daemon_threads = True
        print(served.server_address[1], flush=True)
        served.serve_forever()


if __name__ == "__main__":
    main()
