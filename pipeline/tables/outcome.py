"""Outcomes: what became of each unit of a stage."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

OK, REJECTED, FAILED, RETRY = "ok", "rejected", "failed", "retry"

OUTCOME = pa.schema(
    [
        ("unit", pa.string()),
        ("stage", pa.string()),
        ("fingerprint", pa.uint64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("attempt", pa.int32()),
        ("commit", pa.string()),
        ("rows", pa.int32()),
        ("failures", pa.int32()),  # in a row on this fingerprint; null in parts older than the column
        ("wall_seconds", pa.float32()),
        ("cpu_seconds", pa.float32()),
        ("gpu_seconds", pa.float32()),
        ("host", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("versions", pa.string()),
        ("nets", pa.string()),  # "name sha256, ..." of those that made the rows; null in parts older than the column
    ]
)
RUN_COLUMNS = (
    "at",
    "host",
    "wall_seconds",
    "cpu_seconds",
    "gpu_seconds",
    "attempt",
    "commit",
)  # differ from run to run
STATE_COLUMNS = (
    "unit",
    "stage",
    "fingerprint",
    "status",
    "reason",
    "attempt",
    "failures",
    "commit",
    "rows",
)  # what planning reads


@dataclass(frozen=True)
class Outcome:
    """What became of a unit; see `OUTCOME` for the columns that the driver adds."""

    unit: str
    stage: str
    fingerprint: int
    status: str
    reason: str = ""
    detail: str = ""
    attempt: int = 1
    rows: int = 0
    failures: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    host: str = ""
    at: Any = None
    versions: str = ""
    nets: str | None = None
