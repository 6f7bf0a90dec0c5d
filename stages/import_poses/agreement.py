"""How far released poses lie from our own annotation of the same pictures, in shoulder widths."""

import csv
import io
import json
import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base import files
from pipeline.base.units import Row
from pipeline.skeleton import layout
from pipeline.tables.hashing import digest

if TYPE_CHECKING:
    from pipeline.tables.store import Store

log = logging.getLogger(__name__)

SUMMARY = "poses/agreement.json"
PEOPLE = "poses/agreement.csv"
LEAVES = (SUMMARY, PEOPLE)
MIN_SCORE = 0.3
FAR = 0.1  # shoulder widths beyond which a person is listed as far off
_PERCENTS = (5, 25, 50, 75, 95)
_COLUMNS = ("person_id", "agreement", "pose_space", "frame_offset")


def chosen(clip_id: str, share: float) -> bool:
    """Whether a clip is among the share that is compared: by its hash, so that it is the same in every run."""
    return digest("compare", clip_id) < share * 2**64


def distance(
    one: NDArray[np.floating],
    one_scores: NDArray[np.floating],
    other: NDArray[np.floating],
    other_scores: NDArray[np.floating],
) -> float | None:
    """Median distance of two annotations of a person, over points scored in both; None where there is none.

    Args:
        one, other: (F, 133, 2), one unit.
        one_scores, other_scores: (F, 133).

    Returns:
        in shoulder widths: the median of both annotations'.
    """
    both = (one_scores >= MIN_SCORE) & (other_scores >= MIN_SCORE) & layout.seen(one) & layout.seen(other)
    shoulders = [p[:, layout.LEFT_SHOULDER] - p[:, layout.RIGHT_SHOULDER] for p in (one, other)]
    widths = np.linalg.norm(np.concatenate(shoulders), axis=-1)
    widths = widths[np.isfinite(widths) & (widths > 0)]
    if not both.any() or not widths.size:
        return None
    return float(np.median(np.linalg.norm(one - other, axis=-1)[both]) / np.median(widths))


def write(run: Path, store: "Store", share: float) -> None:
    """`poses/agreement.json` and `.csv` of a run, and a line in the log."""
    rows = store.read("persons", [*_COLUMNS, "smoothed"]).to_pylist()
    rows = [row for row in rows if row["pose_space"] is not None]
    compared = [row for row in rows if row["agreement"] is not None]
    report = summary(rows, compared, share)
    files.write_text(run / SUMMARY, json.dumps(report, indent=1, sort_keys=True) + "\n")
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(compared)
    files.write_text(run / PEOPLE, text.getvalue())
    if compared:
        middle, far = report["percentiles_shoulder_widths"]["50"], report["far_share"]
        log.info(
            "released poses and our own of %d speakers: median distance %.3f shoulder widths, %.0f %% beyond %g",
            len(compared), middle, 100 * far, FAR,
        )  # fmt: skip
    elif share:
        log.warning("no released poses were compared with our own: no net is on this machine, or no clip was chosen")


def summary(rows: list[Row], compared: list[Row], share: float) -> dict[str, Any]:
    """What is written, as a dict."""
    values = np.array([row["agreement"] for row in compared], np.float64)
    percentiles = np.percentile(values, _PERCENTS).tolist() if len(values) else []
    return {
        "speakers": len(rows),
        "compared": len(compared),
        "compare_share": share,
        "percentiles_shoulder_widths": {str(p): v for p, v in zip(_PERCENTS, percentiles, strict=False)},
        "far_shoulder_widths": FAR,
        "far_share": float((values > FAR).mean()) if len(values) else None,
        "spaces": dict(Counter(row["pose_space"] for row in rows)),
        "frame_offsets": {str(offset): count for offset, count in Counter(row["frame_offset"] for row in rows).items()},
    }
