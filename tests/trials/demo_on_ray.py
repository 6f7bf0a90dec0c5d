"""The whole demo, from crawl to shards, by the local executor and through a Ray cluster of a head and two nodes on this machine.

`python -m tests.trials.demo_on_ray [FOLDER]` prints what both runs came to, table by table and file by file, and ends with code 1
when anything differs. The runs stay in FOLDER, where one is given; one that is there already is finished, and compared. It takes
some ten minutes of two cores; Ray gives up to start where the machine is so busy that its agents take more than 15 s to begin.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from pipeline.storage import FOLDERS
from pipeline.tables.kinds import KINDS
from pipeline.tables.store import Store
from pipeline.theatre import PROGRAMMES
from tests.compare_runs import differences
from tests.documents import ROOT
from tests.pipeline.engine.executors.loopback import loopback

CHAIN = ("crawl", "annotate", "filter")
ANSWERED = "a worker of "  # what the executor on Ray logs of each worker that answers


def files(run: Path) -> dict[str, str]:
    """{key: sha256} of what lies in the folders of a run that may lie in a storage elsewhere."""
    paths = [path for folder in FOLDERS for path in (run / folder).rglob("*") if path.is_file()]
    return {path.relative_to(run).as_posix(): sha256(path.read_bytes()).hexdigest() for path in paths}


def tables_told(here: Path, there: Path) -> Iterator[tuple[str, bool]]:
    """(a line, whether they are equal) of each kind of table of two runs, without the columns that tell when and where."""
    for kind, difference in differences(here, there).items():
        rows = len(Store(there).read(kind, [KINDS[kind].key]))
        yield f"table {kind:16} {rows:7,} rows   {difference or 'equal'}", not difference


def files_told(here: Path, there: Path) -> Iterator[tuple[str, bool]]:
    """(a line, whether they are the same bytes) of each folder of files of two runs."""
    before, after = files(here), files(there)
    for folder in FOLDERS:
        keys = sorted(key for key in {*before, *after} if key.startswith(f"{folder}/"))
        unlike = [key for key in keys if before.get(key) != after.get(key)]
        words = f"{len(unlike)} differ: {', '.join(unlike[:3])}" if unlike else "byte for byte the same"
        if keys:
            yield f"files {folder:16} {len(keys):7,} files  {words}", not unlike


def workers_of(run: Path) -> Counter[str]:
    """How many workers of each stage answered on the cluster, by the run's logs."""
    lines = (line for log in (run / "logs").glob("*") for line in log.read_text(encoding="utf-8").splitlines())
    found = (line.partition(ANSWERED)[2].split() for line in lines if ANSWERED in line)
    return Counter(words[0] for words in found)


def ran(run: Path, *more: str) -> float:
    """Seconds that the demo's commands took, as a user gives them."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pipeline.cli", "run", *CHAIN, "--run", str(run), "--profile", "demo", *more]
    log = run.with_suffix(".log")
    with log.open("ab") as out:
        done = subprocess.run(command, cwd=ROOT, stdout=out, stderr=out, check=False, timeout=7200)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{log.read_text()[-3000:]}")
    return time.monotonic() - began


def tried(folder: Path) -> Iterator[tuple[str, bool]]:
    """(a line, whether it is well) of all that is looked at."""
    here, there = folder / "here", folder / "there"
    folder.mkdir(parents=True, exist_ok=True)
    seconds = ran(here)
    yield f"local executor: {seconds:.0f} s on the clock", True
    shutil.copytree(
        here / "theatre", there / "theatre", dirs_exist_ok=True
    )  # drawn beside the driver either way: once is enough
    with tempfile.TemporaryDirectory() as place, loopback(Path(place), nodes=2, cpus=1) as cluster:
        seconds = ran(there, "--set", "machine.executor=ray", "--set", f"machine.address={cluster.address}")
    workers = workers_of(there)
    yield f"a head and two nodes of Ray: {seconds:.0f} s on the clock", True
    told = ", ".join(f"{count} of {stage}" for stage, count in sorted(workers.items()))
    yield f"workers that answered on the nodes: {told or 'none'}", bool(workers)
    takes = Store(there).read("videos", ["video_id"]).num_rows
    yield f"{takes} of {len(PROGRAMMES['demo'])} takes crawled", takes == len(PROGRAMMES["demo"])
    yield from tables_told(here, there)
    yield from files_told(here, there)


def main(folder: Path) -> int:
    """Print a line of each; returns the exit code."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(
        f"Ray {version('ray')}, Python {platform.python_version()}, {os.cpu_count()} cores, load average {load}",
        flush=True,
    )
    wrong = 0
    for line, well in tried(folder):
        print(line if well else f"{line}  <- WRONG", flush=True)
        wrong += not well
    print(f"{wrong} differences" if wrong else "no difference")
    return int(bool(wrong))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1]).absolute()))
    with tempfile.TemporaryDirectory(prefix="demo-on-ray-") as made:
        sys.exit(main(Path(made)))
