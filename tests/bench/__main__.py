"""Speed against peers and limits, as one table and as JSON.

python -m tests.bench [machine] [crawl] [split] [annotate] [overlap] [lip_sync] [export] [decodes] [chain] [storage] [speakers]
    [train] [report] [--rounds N] [--out FILE.json]
python -m tests.bench chain --against CHECKOUT [--part clips] [--part demo] [--rounds N] [--out FILE.json]
python -m tests.bench shots [--out FILE.json]
python -m tests.bench evaluate [--out FILE.json]
python -m tests.bench ray [--out FILE.json]
python -m tests.bench overlap_defaults [--out FILE.json]
python -m tests.bench generation [--model MODEL]
python -m tests.bench warm_start [--out FILE.json]
python -m tests.bench twins [--rounds N] [--out FILE.json]
python -m tests.bench modulation [--rounds N] [--out FILE.json]
python -m tests.bench x264 [--rounds N] [--out FILE.json]
python -m tests.bench repeats [--rounds N] [--out FILE.json]
python -m tests.bench trust [--seed N] [--run RUN] [--part PART ...] [--out FILE.json]

`ratio` and `share` are our speed over the peer's and over the limit's. Rows in CPU seconds count all
cores (user and system time): how much work was done, also on a busy machine. Goals are about time on the clock.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.bench.table import HEAD, Goal, Row, Skipped, cores, line

TRIALS = (
    "shots",
    "evaluate",
    "overlap_defaults",
    "ray",
    "generation",
    "trust",
    "warm_start",
    "modulation",
    "gpu",
    "twins",
    "x264",
    "repeats",
)  # by name alone: counts, sleep, or a cluster; minutes, and an hour or two
BENCHES = (
    "machine",
    "crawl",
    "split",
    "annotate",
    "overlap",
    "lip_sync",
    "export",
    "decodes",
    "chain",
    "storage",
    "speakers",
    "train",
    "report",
)
PACKAGES = (
    "accelerate",
    "csg405",
    "deepface",
    "diffusers",
    "faiss-cpu",
    "numpy",
    "opencv-python-headless",
    "av",
    "onnxruntime",
    "onnxruntime-gpu",
    "pyannote.audio",
    "rtmlib",
    "scenedetect",
    "silero-vad",
    "syncnet-python",
    "pyarrow",
    "pebble",
    "ray",
    "torch",
    "transformers",
    "yt-dlp",
)


def measured(name: str, folder: Path, given: argparse.Namespace) -> Iterator[Row]:
    """The rows of one bench as they become known."""
    if name == "machine":
        yield from machine(folder)
    elif name == "trust":
        from tests.bench import bench_trust

        yield from bench_trust.measured(folder, given.seed, given.run, given.part)
    elif name == "chain":
        from tests.bench import bench_chain, chain_pairs

        if given.against:
            yield from chain_pairs.measured(folder, given.against, given.rounds, given.part)
        else:
            yield from bench_chain.measured(folder, given.run)
    elif name == "gpu":
        from tests.bench import bench_gpu

        yield from bench_gpu.measured(folder, given.part)
    elif name == "generation":
        from tests.bench import bench_generation

        yield from bench_generation.measured(folder, given.model)
    else:
        yield from importlib.import_module(f"tests.bench.bench_{name}").measured(folder, given.rounds)


def machine(folder: Path) -> Iterator[Row]:
    from tests.bench import bench_machine

    given = argparse.Namespace(what=[], units=3000, outcomes=1_000_000, parts=10_000)
    for found in bench_machine.measured(folder, given):
        goal = Goal("value", found.goal) if found.goal else None
        yield Row(found.name, found.unit, found.ours, None, found.limit, goal)


def circumstances() -> dict[str, Any]:
    """When, where and with what the figures were taken."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m tests.bench", *sys.argv[1:]]),
        "machine": {
            "cores": cores(),
            "cpu": cpu_model(),
            "gpu": gpu(),
            "system": platform.platform(),
            "load": os.getloadavg(),
        },
        "versions": found,
    }


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((text.partition(":")[2].strip() for text in lines if text.startswith("model name")), platform.machine())


def gpu() -> str:
    """The GPUs and their driver, as nvidia-smi names them; empty without one."""
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "benches",
        nargs="*",
        metavar="BENCH",
        help=f"of {', '.join((*BENCHES, *TRIALS))}; when none is named, all but {', '.join(TRIALS)}",
    )
    parser.add_argument("--rounds", type=int, default=3, help="times that each contestant runs; medians are shown")
    parser.add_argument("--seed", type=int, default=1, help="of trust: what is tried")
    parser.add_argument(
        "--run",
        type=Path,
        help="of trust: a finished run of the demo; of chain: any finished run; left alone; made if not given",
    )
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="of chain: a checkout of another commit, with its own .venv"
    )
    parser.add_argument("--model", type=Path, help="of generation: weights of `make ablation`; trained if not given")
    parser.add_argument(
        "--part",
        action="append",
        default=[],
        help="of trust, gpu and chain --against: this part alone; may be given again",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write everything as JSON")
    given = parser.parse_args()
    if unknown := set(given.benches) - {*BENCHES, *TRIALS}:
        parser.error(f"no bench is called {', '.join(sorted(unknown))}: {', '.join((*BENCHES, *TRIALS))}")
    report: dict[str, Any] = {**circumstances(), "rounds": given.rounds, "rows": [], "skipped": {}}
    print(HEAD)
    try:
        for name in given.benches or BENCHES:
            run(name, given, report)
    finally:
        save(report, given.out)


def save(report: dict[str, Any], out: Path | None) -> None:
    """Write what is known so far: a machine that is lent by the minute may be gone before the end."""
    if out:
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def run(name: str, given: argparse.Namespace, report: dict[str, Any]) -> None:
    """One bench: each row on the screen and into the report as it becomes known."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            for row in measured(name, Path(folder), given):
                report["rows"].append({"bench": name, **row.record()})
                print(line(row), flush=True)
                save(report, given.out)
        except Skipped as reason:
            report["skipped"][name] = str(reason)
            print(f"{name}: skipped: {reason}", flush=True)


if __name__ == "__main__":
    main()
