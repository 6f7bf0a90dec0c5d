"""What the machine itself costs: overhead a unit, the time to find what is pending among millions of outcomes, and to compact them.

python -m tests.bench.bench_machine [overhead | pending | compact ...] [--units N] [--outcomes N] [--parts N] [--out FILE.json]
"""

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pebble
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from pipeline.base.units import Row
from pipeline.engine.plan import plan
from pipeline.engine.runner import Options, run_stage
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Stage, Work
from pipeline.engine.unit import Unit
from pipeline.registry.models import Registry
from pipeline.tables.arrow import stored_schema
from pipeline.tables.compaction import compact
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import OK, OUTCOME
from pipeline.tables.parts import OUTCOMES_FORMAT, ROWS_FORMAT
from pipeline.tables.seal import name_of, seal
from pipeline.tables.store import Store
from pipeline.tables.table import Table

WHAT = ["overhead", "pending", "compact"]
PRINTS = "prints.npy"
WORKERS = 2
IN_FLIGHT = 6
AT_ONCE = 1_000_000  # rows that are planted together: each takes about a kilobyte until it is written


@dataclass(frozen=True)
class Line:
    """A line of the table: ours, the goal, and what the parts below us need for the same."""

    name: str
    ours: float
    goal: float | None
    limit: float | None
    unit: str


class Idle(Stage):
    """Does nothing but yield a row a unit."""

    name: ClassVar[str] = "idle"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("clips", ("frames",)),)
    writes: ClassVar[str] = "sound_measures"
    unit: ClassVar[str] = "clip_id"

    salt: int = Field(0, json_schema_extra=runtime())

    def worker(self, context: Context) -> Work:
        return self

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the unit's row."""
        yield {"clip_id": unit.id, "video_id": unit.row("clips")["video_id"], "has_audio": True}


def clip_id(number: int) -> str:
    """Ids that sort as their numbers do."""
    return f"yt:{number // 10:011d}/{1000 + number % 10 * 250}+250"


def nothing(number: int) -> int:
    return number


def overhead(folder: Path, units: int) -> Line:
    """Seconds of wall time a no-op unit through the whole runner, start of the workers taken off, against bare pebble."""
    seconds = []
    for count in (2 * WORKERS, units):
        run = folder / f"overhead-{count}"
        plant(run, "videos", [f"yt:{n:011d}" for n in range(count // 10 + 1)], 1, width=1280)
        plant_clips(run, range(count), 1)
        began = time.perf_counter()
        summary = run_stage(Idle(), run, Registry(cache=folder), Options(workers=WORKERS))
        seconds.append(time.perf_counter() - began)
        assert summary.counts == {OK: count}, summary
    ours = (seconds[1] - seconds[0]) / (units - 2 * WORKERS)
    bare = []
    for count in (2 * WORKERS, units):
        began = time.perf_counter()
        with pebble.ProcessPool(WORKERS, context=multiprocessing.get_context("spawn")) as pool:
            waiting: set[Any] = set()
            left = iter(range(count))
            while True:
                while len(waiting) < IN_FLIGHT and (number := next(left, None)) is not None:
                    waiting.add(pool.schedule(nothing, args=[number], timeout=60))
                if not waiting:
                    break
                waiting -= wait(waiting, 0.5, FIRST_COMPLETED).done
        bare.append(time.perf_counter() - began)
    limit = (bare[1] - bare[0]) / (units - 2 * WORKERS)
    return Line("runner overhead a unit", ours * 1e3, 3.0, limit * 1e3, "ms")


def plant_clips(run: Path, numbers: range, parts: int) -> None:
    videos = [f"yt:{n // 10:011d}" for n in numbers]
    plant(run, "clips", [clip_id(n) for n in numbers], parts, units=videos, video_id=videos, frames=250)


def plant(
    run: Path,
    kind: str,
    keys: Sequence[str],
    parts: int,
    units: Sequence[str] | None = None,
    fingerprints: np.ndarray | None = None,
    **columns: object,
) -> None:
    """Write a table of this many parts, as a stage would have: rows with these keys and columns, and their outcomes."""
    spec, count = KINDS[kind], len(keys)
    units = units or keys
    folder = run / "tables" / kind
    for side in ("rows", "outcomes"):
        (folder / side).mkdir(parents=True, exist_ok=True)

    def spread(value: object, field: pa.Field) -> pa.Array:
        values = value if isinstance(value, list | np.ndarray) else [value] * count
        return pa.array(values, field.type)

    given = {spec.key: list(keys), **columns, "unit": list(units)}
    schema = stored_schema(spec)
    rows = pa.table([spread(given.get(f.name), f) for f in schema], schema=schema)
    planned = {"unit": list(units), "stage": "idle", "status": OK, "reason": "", "detail": "", "attempt": 1, "rows": 1}
    about = {"host": "bench", "at": 0, "versions": "csg405 0.1.0, idle 1", "fingerprint": fingerprints}
    done = pa.table([spread({**planned, **about}.get(f.name), f) for f in OUTCOME], schema=OUTCOME)
    edges = np.linspace(0, count, parts + 1).astype(int)
    number = OUTCOME.get_field_index("commit")

    def write(first: int, last: int) -> None:
        commit = uuid.uuid4().hex
        mine = pa.array([commit] * (last - first), pa.string())
        table = rows.slice(first, last - first)
        table = table.set_column(schema.get_field_index("commit"), "commit", mine)
        _written(table, folder / "rows" / f"part-{commit}.parquet", ROWS_FORMAT)
        own = done.slice(first, last - first)
        own = own.filter(np.append(True, np.asarray(own["unit"])[1:] != np.asarray(own["unit"])[:-1]))
        own = own.set_column(number, "commit", pa.array([commit] * len(own), pa.string()))
        _written(own, folder / "outcomes" / f"part-{commit}.parquet", OUTCOMES_FORMAT)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, edges[:-1], edges[1:]))
    Table(spec, folder).take_stock()


def _written(table: pa.Table, path: Path, form: dict[str, Any]) -> None:
    """A part as stages leave it, but for the flush to the disk."""
    pq.write_table(table, path, **form)
    seal(path, name_of(path))


def ask(what: str, run: Path) -> dict[str, Any]:
    """The answer of a process of its own, with `seconds` by the clock, those of the processor, and `megabytes` at the peak."""
    command = [sys.executable, "-m", "tests.bench.bench_machine", "--ask", what, str(run)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def answer(what: str, run: Path) -> None:
    began, spent = time.perf_counter(), time.process_time()
    found: dict[str, Any] = {}
    if what == "pending":  # what `csg405 run` waits for
        work = plan(Idle(), Store(run))
        np.save(run / PRINTS, work.fingerprints)
        found = {"to do": len(work.pending)}
    else:
        compact(Store(run), what)
    found |= {"seconds": time.perf_counter() - began, "processor": time.process_time() - spent}
    print(json.dumps({**found, "megabytes": peak_bytes() / 1e6}))


def peak_bytes() -> int:
    """Most memory that this process ever held. Linux lets `getrusage` start at what the parent held, so ask elsewhere."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def plant_tables(run: Path, outcomes: int, parts: int) -> None:
    """Videos and clips in a tenth of these parts, and a measure of each clip; one in a thousand is from other settings."""
    pieces = [range(first, min(outcomes, first + AT_ONCE)) for first in range(0, outcomes, AT_ONCE)]
    for piece in pieces:
        few = max(1, parts * len(piece) // outcomes // 10)
        plant(run, "videos", [f"yt:{n:011d}" for n in range(piece.start // 10, -(-piece.stop // 10))], few, width=1280)
        plant_clips(run, piece, few)
    ask("pending", run)
    prints = np.load(run / PRINTS, mmap_mode="r")
    for piece in pieces:
        keys = [clip_id(n) for n in piece]
        videos = [key.partition("/")[0] for key in keys]
        mine = prints[piece.start : piece.stop].copy()
        mine[::1000] += 1
        share = max(1, parts * len(piece) // outcomes)
        plant(run, "sound_measures", keys, share, fingerprints=mine, video_id=videos, has_audio=True)


def pending(run: Path, outcomes: int, when: str = "") -> Iterator[Line]:
    """Time and memory to find what is pending among so many outcomes, as a process of its own."""
    few = outcomes <= AT_ONCE
    found = ask("pending", run)
    assert found["to do"] == -(-outcomes // 1000), found
    name = f"pending of {outcomes:,}{when}"
    yield Line(name, found["seconds"], 10.0 if few else 60.0, bare_read(run), "s")
    yield Line(f"{name}: processor", found["processor"], None, None, "s")
    yield Line(f"{name}: peak memory", found["megabytes"], 1000.0 if few else 4000.0, None, "MB")


def compaction(run: Path, outcomes: int) -> Iterator[Line]:
    """Time to join the parts of each table, and what is pending afterwards."""
    for kind, goal in (("videos", None), ("clips", None), ("sound_measures", 45.0)):
        found = ask(kind, run)
        yield Line(f"compact {kind}", found["seconds"], goal, None, "s")
        yield Line(f"compact {kind}: processor", found["processor"], None, None, "s")
        yield Line(f"compact {kind}: peak memory", found["megabytes"], None, None, "MB")
    yield from pending(run, outcomes, " after compact")


def bare_read(run: Path) -> float:
    """Seconds to read two columns of every outcome with Parquet alone, one thread a core."""
    paths = sorted((run / "tables" / "sound_measures" / "outcomes").glob("*.parquet"))
    began = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(
            pool.map(lambda path: pq.ParquetFile(path).read(columns=["unit", "fingerprint"], use_threads=False), paths)
        )
    return time.perf_counter() - began


def measured(folder: Path, given: argparse.Namespace) -> Iterator[Line]:
    wanted = given.what or WHAT
    if "overhead" in wanted:
        yield overhead(folder, given.units)
    if wanted != ["overhead"]:
        run = folder / "tables"
        plant_tables(run, given.outcomes, given.parts)
        if "pending" in wanted:
            yield from pending(run, given.outcomes)
        if "compact" in wanted:
            yield from compaction(run, given.outcomes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", help=f"of {', '.join(WHAT)}; all of it where nothing is named")
    parser.add_argument("--units", type=int, default=3000)
    parser.add_argument("--outcomes", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ask", nargs=2, metavar=("WHAT", "RUN"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        answer(given.ask[0], Path(given.ask[1]))
        return
    if unknown := set(given.what) - set(WHAT):
        parser.error(f"there is no {', '.join(unknown)}")
    lines = []
    print(f"{'':>44} {'ours':>10} {'goal':>10} {'limit':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for line in measured(Path(folder), given):
            lines.append(line)
            goal, limit = (f"{value:.3g}" if value else "" for value in (line.goal, line.limit))
            print(f"{line.name:>44} {line.ours:>10.3g} {goal:>10} {limit:>10} {line.unit}", flush=True)
    if given.out:
        given.out.write_text(json.dumps([asdict(line) for line in lines], indent=1))


if __name__ == "__main__":
    main()
