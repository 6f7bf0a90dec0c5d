"""The whole chain: processor hours that 100 h of footage cost, stage by stage, as the outcomes of a run hold them.

python -m tests.bench chain [--run RUN]
python -m tests.bench chain --against CHECKOUT: see `chain_pairs`

Without a run the demo and some real clips with real nets are run first. A run tells what the attempts that count cost, with the
code of then.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.footage import asset
from tests.bench.table import Row, Skipped

TARGETS = ("crawl", "annotate", "filter")
FILMS = (
    *("latentsync_demo2", "latentsync_demo3", "dj_video4", "edtalk_uncrop_obama"),
    *("infinitetalk_dub1", "csgpage_demo2", "psd_testvideo"),
)
HOURS = 100


def measured(folder: Path, run: Path | None) -> Iterator[Row]:
    """Rows of a finished run, which is left alone, or of the demo and of real clips."""
    if run is not None:
        yield from rows(run.name, run)
        return
    csg405("run", *TARGETS, "--profile", "demo", run=folder / "demo")
    yield from rows("demo", folder / "demo")
    yield from rows("real clips", real(folder))


def real(folder: Path) -> Path:
    """A run of real clips with small real nets, overlapped speech included. Skipped without them."""
    clips = folder / "clips"
    clips.mkdir()
    for name in FILMS:
        shutil.copy(asset(f"clips/{name}.mp4"), clips)
    given = ["--input", str(clips), "--models", str(asset("models")), "--set", 'overlap.net=["segmentation_2022"]']
    csg405("run", *TARGETS, *given, run=folder / "real")
    return folder / "real"


def rows(name: str, run: Path) -> Iterator[Row]:
    """What each stage cost, and all of them. Skipped where nothing was crawled."""
    stages: list[dict[str, Any]] = json.loads(csg405("status", "--json", run=run))["stages"]
    hours = {stage["stage"]: stage["hours"] or 0.0 for stage in stages}
    if not hours.get("crawl"):
        raise Skipped(f"nothing was crawled in {run}")
    for stage in stages:
        if stage["cpu_hours"]:
            yield Row(f"{HOURS} h of {name}: {stage['stage']}", "CPU h", per_100(stage["cpu_hours"], hours["crawl"]))
    whole = sum(stage["cpu_hours"] for stage in stages)
    yield Row(f"{HOURS} h of {name}: the whole chain", "CPU h", per_100(whole, hours["crawl"]))
    yield Row(f"{HOURS} h of {name}: kept", "h", per_100(hours.get("export", 0.0), hours["crawl"]))


def per_100(part: float, crawled: float) -> float:
    return round(part * HOURS / crawled, 3)


def csg405(*words: str, run: Path) -> str:
    """What a command printed; its failure ends the bench."""
    command = [sys.executable, "-m", "pipeline.cli", *words, "--run", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"})
    if done.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout
