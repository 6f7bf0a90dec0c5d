"""Running toy stages in tests, and comparing what they left."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.engine.runner import Options, Summary, run_stage
from pipeline.engine.stage import Stage
from pipeline.registry.models import Registry
from pipeline.tables.outcome import OUTCOME, RUN_COLUMNS
from pipeline.tables.store import Store
from tests.pipeline.engine import toys

HERE = Options(workers=0)


def go(stage: Stage, run: Path, options: Options = HERE) -> Summary:
    return run_stage(stage, run, Registry(cache=run / "nets"), options)


def chain(units: Sequence[str] = ("a", "b"), *, most: float = 1e9, value: float = 1.0) -> list[Stage]:
    """The toy stages from crawl to export."""
    return [
        toys.ToyCrawl(units=tuple(units)),
        toys.ToySplit(),
        toys.ToyAnnotate(value=value),
        toys.ToyMeasure(),
        toys.ToyJudge(most=most),
        toys.ToyExport(),
    ]


def go_all(run: Path, stages: Sequence[Stage] | None = None) -> dict[str, Summary]:
    return {stage.name: go(stage, run) for stage in stages or chain()}


def outcomes(run: Path, kind: str = "videos") -> dict[str, dict[str, Any]]:
    """The winning outcomes of a kind by unit."""
    return {row["unit"]: row for row in Store(run).outcomes(kind).to_pylist()}


def contents(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Everything that counts in a run but the columns that differ from run to run."""
    store = Store(run)
    kept = [name for name in OUTCOME.names if name not in RUN_COLUMNS]
    found = {}
    for kind in store.kinds:
        found[kind] = store.read(kind).to_pylist()
        found[f"{kind} outcomes"] = store.outcomes(kind).select(kept).sort_by("unit").to_pylist()
    return found


def same(first: Any, second: Any) -> bool:
    """Equality in which NaN equals NaN."""
    return repr(first) == repr(second)


def rewrite(path: Path, change: Any) -> None:
    """Replace a Parquet file by what `change(table)` makes of it."""
    table: pa.Table = change(pq.read_table(path))
    pq.write_table(table, path)


def keypoints(frames: int, seed: int = 0) -> np.ndarray:
    """(frames, 266) with NaN where nobody was seen."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(frames, 266)).astype(np.float32)
    values[::3, :4] = np.nan
    return values
