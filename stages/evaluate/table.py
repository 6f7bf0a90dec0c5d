"""Table 2: what a method comes to over all pairs, with what other methods came to in this run, and the paper's rows beside."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.metrics.frechet import Gaussian, frechet_distance
from pipeline.skeleton.layout import K
from pipeline.table import Store, to_python
from stages.evaluate.pairs import PAIRED, REAL, UNPAIRED

SUMMARY = "summary.json"

# Measure -> (heading, digits, how the paper's better side points)
TABLE_2 = {
    "ssim": ("SSIM", 3, "↑"),
    "psnr_db": ("PSNR, dB", 2, "↑"),
    "csim": ("CSIM", 3, "↑"),
    "fid": ("FID", 2, "↓"),
    "fvd": ("FVD", 1, "↓"),
    "sync_c": ("Sync-C", 2, "↑"),
    "sync_d": ("Sync-D", 2, "↓"),
}
SKELETONS = {
    "keypoint_error_px": ("error, px", 2, "↓"),
    "mouth_error_px": ("mouth, px", 2, "↓"),
    "hand_error_px": ("hands, px", 2, "↓"),
    "gesture_distance": ("Fréchet gesture distance", 3, "↓"),
    "diversity_px": ("diversity, px", 2, ""),
    "beat_alignment": ("beat alignment", 3, ""),
    "mouth_correlation": ("mouth to loudness", 3, "↑"),
    "jitter_px_s3": ("jitter, px/s³", 0, ""),
}
_OF_PAIRED = ("ssim", "psnr_db", "keypoint_error_px", "mouth_error_px", "hand_error_px")
_DIVERSITY_FRAMES = 100  # of each motion: 4 s, which every clip of the paper has
_DIVERSITY_MOTIONS = 60  # at most, of which every two are compared


@dataclass(frozen=True)
class Summary:
    """What a method comes to.

    Attributes:
        method: its name, such as `ours (skeleton)`.
        source: `measured`, or `paper`.
        paired, unpaired: pairs that were scored, of those that there are.
        values: {measure: number}; a measure that is not there is absent.
        why: {measure: why it is absent}.
        notes: what one should know beside, such as how many pairs failed and why.
    """

    method: str
    source: str = "measured"
    paired: tuple[int, int] = (0, 0)
    unpaired: tuple[int, int] = (0, 0)
    values: dict[str, float] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def summarise(store: Store, method: str) -> tuple[Summary, Summary]:
    """The method's summary, and that of the true videos, from the tables of its evaluation.

    Means are over pairs, each the mean over its frames. FID, FVD and the Fréchet gesture distance compare all unpaired videos
    with all true ones.
    """
    scores = _rows(store, "scores")
    counts = Counter(row["setting"] for row in store.read("pairs", ["setting"]).to_pylist())
    motions = _motions(store)
    true = [row for row in scores if row["setting"] == REAL]
    made = Summary(
        method,
        paired=(sum(row["setting"] == PAIRED for row in scores), counts[PAIRED]),
        unpaired=(sum(row["setting"] == UNPAIRED for row in scores), counts[UNPAIRED]),
        **_numbers([row for row in scores if row["setting"] != REAL], true, motions[UNPAIRED], motions[REAL]),
        notes=_notes(store),
    )
    real = Summary(
        "the true videos",
        unpaired=(len(true), counts[REAL]),
        **_numbers(true, None, motions[REAL], None),
    )
    return made, real


def _numbers(
    rows: list[dict[str, Any]],
    true: list[dict[str, Any]] | None,
    motions: list[NDArray[np.float32]],
    true_motions: list[NDArray[np.float32]] | None,
) -> dict[str, Any]:
    """Values and reasons of some rows; without `true` those of the truth itself, which has no distance to itself."""
    values: dict[str, float] = {}
    why: dict[str, str] = {}
    said = [json.loads(row["absent"] or "{}") for row in rows]
    for name in (*TABLE_2, *SKELETONS):
        if name in ("fid", "fvd", "gesture_distance", "diversity_px"):
            continue
        own = [row for row in rows if (row["setting"] == PAIRED) == (name in _OF_PAIRED)] if true is not None else rows
        numbers = [row[name] for row in own if row[name] is not None]
        if numbers:
            values[name] = float(np.mean(numbers))
        else:
            why[name] = _why(name, said, true is None)
    for name in ("fid", "fvd"):
        _try(
            values,
            why,
            name,
            lambda name=name: _features(rows, true, f"{name}_features"),
            _why(name, said, true is None),
        )
    _try(values, why, "gesture_distance", lambda: _gestures(motions, true_motions), "no skeletons are known")
    _try(values, why, "diversity_px", lambda: _diversity(motions), "no skeletons are known")
    return {"values": values, "why": why}


def _try(values: dict[str, float], why: dict[str, str], name: str, number: Any, otherwise: str) -> None:
    """A number of whole sets; a set too small for it is a reason, not an error."""
    try:
        found = number()
    except ValueError as error:
        found, otherwise = None, str(error)
    if found is None or math.isnan(found):
        why[name] = otherwise
    else:
        values[name] = float(found)


def _features(rows: list[dict[str, Any]], true: list[dict[str, Any]] | None, column: str) -> float | None:
    if true is None:
        return None
    sets = []
    for part in ([row for row in rows if row["setting"] == UNPAIRED], true):
        features = [row[column] for row in part if row[column] is not None]
        if not features:
            return None
        gathered = Gaussian(features[0].shape[1])
        for batch in features:
            gathered.add(batch)
        sets.append(gathered)
    return frechet_distance(*sets)


def _gestures(motions: list[NDArray[np.float32]], true: list[NDArray[np.float32]] | None) -> float | None:
    from pipeline.metrics.gestures import gesture_distance

    return None if true is None or not motions or not true else gesture_distance(motions, true)


def _diversity(motions: list[NDArray[np.float32]]) -> float | None:
    from pipeline.metrics.skeletons import diversity
    from pipeline.skeleton.local import to_local

    long = [motion[:_DIVERSITY_FRAMES] for motion in motions if len(motion) >= _DIVERSITY_FRAMES]
    if not long:
        return None
    return diversity([to_local(motion)[0] for motion in long[:_DIVERSITY_MOTIONS]])


def _why(name: str, said: list[dict[str, str]], real: bool) -> str:
    """The reason that most rows give."""
    if real and (name in _OF_PAIRED or name in ("fid", "fvd", "gesture_distance")):
        return "the truth is what is compared with"
    reasons = Counter(row[name] for row in said if name in row)
    return reasons.most_common(1)[0][0] if reasons else "no video could be scored"


def _rows(store: Store, kind: str) -> list[dict[str, Any]]:
    table = store.read(kind)
    columns = {name: to_python(_flat(table, name), table.schema.field(name).type) for name in table.column_names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _flat(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return column.combine_chunks() if column.num_chunks else pa.nulls(0, column.type)


def _motions(store: Store) -> dict[str, list[NDArray[np.float32]]]:
    """Skeletons (F, 133, 2) by setting, in pixels of 512, NaN where unseen."""
    from stages.evaluate.render import shown

    settings = {row["pair_id"]: row["setting"] for row in store.read("pairs", ["pair_id", "setting"]).to_pylist()}
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (PAIRED, UNPAIRED, REAL)}
    for row in _rows(store, "renditions"):
        if row["keypoints"] is not None:
            points = np.asarray(row["keypoints"], np.float32).reshape(-1, K, 2)
            found[settings[row["pair_id"]]].append(shown(points, row["scores"]).astype(np.float32))
    return found


def _notes(store: Store) -> tuple[str, ...]:
    """What became of the pairs that have no score."""
    found = []
    for kind in ("renditions", "scores"):
        bad = [row for row in store.outcomes(kind).to_pylist() if row["status"] != "ok"]
        for reason, count in Counter(row["reason"] for row in bad).most_common():
            detail = next(row["detail"] for row in bad if row["reason"] == reason)
            found.append(f"{count} of {kind}: {reason} ({detail[:200]})")
    return tuple(found)


def keep(folder: Path, made: Summary, real: Summary) -> None:
    """Leave the summaries in a method's folder, for tables that others make later."""
    from pipeline import files

    files.write_text(folder / SUMMARY, json.dumps([asdict(made), asdict(real)], indent=1, ensure_ascii=False))


def gathered(folder: Path, protocol: str) -> list[Summary]:
    """All methods measured under a protocol's folder, the true videos once, and the paper's rows."""
    made: list[Summary] = []
    real: list[Summary] = []
    for path in sorted(folder.glob(f"*/{SUMMARY}")):
        own, true = (Summary(**entry) for entry in json.loads(path.read_text(encoding="utf-8")))
        made.append(own)
        real.append(true)
    best = sorted(real, key=lambda summary: len(summary.values))[-1:]
    return [*best, *made, *paper(protocol)]


def paper(protocol: str) -> list[Summary]:
    """The paper's rows of this test set (Yang et al., ICCV 2025, table 2)."""
    text = resources.files("manifests").joinpath("table2.csv").read_text(encoding="utf-8")
    return [
        Summary(row["method"], "paper", values={name: float(row[name]) for name in TABLE_2})
        for row in csv.DictReader(io.StringIO(text))
        if row["protocol"] == protocol
    ]


def markdown(protocol: str, rows: Sequence[Summary]) -> str:
    """Both tables; a figure that is absent has a number that leads to its reason."""
    notes: list[str] = []
    text = [f"# {protocol}: as in table 2 of the paper", ""]
    text += _grid(TABLE_2, rows, notes)
    text += ["", "Skeletons, in pixels of 512; no net is needed:", ""]
    text += _grid(SKELETONS, [row for row in rows if row.source != "paper"], notes)
    text += ["", *(f"[{number}] {note}  " for number, note in enumerate(notes, 1))]
    text += [f"- {row.method}: {note}" for row in rows for note in row.notes]
    return "\n".join(text).rstrip() + "\n"


def _grid(columns: dict[str, tuple[str, int, str]], rows: Sequence[Summary], notes: list[str]) -> list[str]:
    heads = [f"{heading} {side}".strip() for heading, _, side in columns.values()]
    lines = [f"| method | pairs | {' | '.join(heads)} |", "|---|---|" + "---:|" * len(columns)]
    for row in rows:
        cells = [_cell(row, name, digits, notes) for name, (_, digits, _) in columns.items()]
        lines.append(f"| {row.method} | {_count(row)} | {' | '.join(cells)} |")
    return lines


def _cell(row: Summary, name: str, digits: int, notes: list[str]) -> str:
    if name in row.values:
        return f"{row.values[name]:.{digits}f}"
    why = row.why.get(name, "not measured")
    if why not in notes:
        notes.append(why)
    return f"- [{notes.index(why) + 1}]"


def _count(row: Summary) -> str:
    if row.source == "paper":
        return "paper"
    parts = [row.unpaired] if row.paired == (0, 0) else [row.paired, row.unpaired]
    return " + ".join(f"{done}" if done == all_ else f"{done}/{all_}" for done, all_ in map(tuple, parts))


def as_csv(protocol: str, rows: Sequence[Summary]) -> str:
    """All of it, a method a row: numbers at full precision, and why others are absent."""
    text = io.StringIO()
    names = [*TABLE_2, *SKELETONS]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["protocol", "method", "source", "paired", "unpaired", *names, "absent"])
    for row in rows:
        numbers = [row.values.get(name, "") for name in names]
        absent = "; ".join(f"{name}: {why}" for name, why in row.why.items())
        writer.writerow([protocol, row.method, row.source, row.paired[0], row.unpaired[0], *numbers, absent])
    return text.getvalue()
