"""Table 2: what a method comes to over all pairs, with what other methods came to in this run, and the paper's rows beside."""

import csv
import io
import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.base import files
from pipeline.base.hashes import checked, with_checksum
from pipeline.base.units import CLIP_SIDE_PX
from pipeline.metrics.frechet import FewSamples, Gaussian, frechet_distance
from pipeline.metrics.gestures import gesture_distance
from pipeline.metrics.skeletons import diversity
from pipeline.skeleton.layout import K, visible
from pipeline.skeleton.local import to_rooted
from pipeline.tables.arrow import to_python
from pipeline.tables.store import Store
from stages.evaluate.pairs import PAIRED, REAL, UNPAIRED
from stages.evaluate.scores.names import NO_SKELETON

SUMMARY = "summary.json"
DRAWN = "drawn skeletons, compared with the true ones drawn: SSIM, PSNR, FID and FVD are no match for the paper's"

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
_WHOLE_SETS = ("fid", "fvd", "gesture_distance", "diversity_px")
_MEANS = [name for name in (*TABLE_2, *SKELETONS) if name not in _WHOLE_SETS]
_OF_PAIRED = ("ssim", "psnr_db", "keypoint_error_px", "mouth_error_px", "hand_error_px")
_DIVERSITY_FRAMES = 100  # of each motion: 4 s, which every clip of the paper has
_DIVERSITY_MOTIONS = 60  # at most, of which every two are compared


@dataclass(frozen=True)
class Summary:
    """What a method comes to.

    Attributes:
        method: its name, such as `ours (skeleton)`.
        source: `measured`, `true` of the true videos, or `paper`.
        paired, unpaired: pairs that were scored, of those that there are.
        values: {measure: number}; a measure that is not there is absent.
        why: {measure: why it is absent}.
        notes: what one should know beside, such as how many pairs failed and why.
        folder: where another system's videos are, or "".
    """

    method: str
    source: str = "measured"
    paired: tuple[int, int] = (0, 0)
    unpaired: tuple[int, int] = (0, 0)
    values: dict[str, float] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    folder: str = ""


def summarise(store: Store, true: Store, method: str, notes: tuple[str, ...] = (), side: int = CLIP_SIDE_PX) -> Summary:
    """A method's summary, from the tables of its evaluation and those of the true videos.

    Means are over pairs, each the mean over its frames. FID, FVD and the Fréchet gesture distance compare all unpaired videos
    with all true ones.

    Args:
        store, true: both evaluations' tables.
        method: its name.
        notes: what else one should know beside.
        side: of the test set's pictures, px.
    """
    scores, counts, motions = _rows(store, "scores"), _counts(store), _motions(store, side)
    figures = _Figures(counts)
    for name in _MEANS:
        setting = PAIRED if name in _OF_PAIRED else UNPAIRED
        figures.mean(name, [row for row in scores if row["setting"] == setting], setting)
    real = _rows(true, "scores")
    for name in ("fid", "fvd"):
        sets = [[row for row in scores if row["setting"] == UNPAIRED], real]
        features = [[row[f"{name}_features"] for row in rows] for rows in sets]
        figures.distance(name, partial(_frechet, *features), _reason(name, *sets))
    figures.distance("gesture_distance", lambda: _gestures(motions[UNPAIRED], _motions(true, side)[REAL]), NO_SKELETON)
    figures.number("diversity_px", lambda: _diversity(motions[UNPAIRED]), NO_SKELETON)
    return Summary(
        method,
        paired=(sum(row["setting"] == PAIRED for row in scores), counts[PAIRED]),
        unpaired=(sum(row["setting"] == UNPAIRED for row in scores), counts[UNPAIRED]),
        values=figures.values,
        why=figures.why,
        notes=(*notes, *failures(store), *figures.notes),
    )


def summarise_true(true: Store, name: str, side: int = CLIP_SIDE_PX) -> Summary:
    """What the true videos themselves come to, of pictures `side` px wide: faces, lips and motions at their best."""
    scores, motions = _rows(true, "scores"), _motions(true, side)
    figures = _Figures(_counts(true))
    for measure in _MEANS:
        if measure not in _OF_PAIRED:
            figures.mean(measure, scores, REAL)
    figures.number("diversity_px", lambda: _diversity(motions[REAL]), NO_SKELETON)
    compared = (*_OF_PAIRED, "fid", "fvd", "gesture_distance")
    figures.why |= dict.fromkeys(compared, "the truth is what is compared with")
    return Summary(
        name,
        "true",
        unpaired=(len(scores), figures.counts[REAL]),
        values=figures.values,
        why=figures.why,
        notes=failures(true),
    )


@dataclass
class _Figures:
    """Values, reasons for those that are absent, and what one should know of the others."""

    counts: Counter[str]
    values: dict[str, float] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def mean(self, name: str, rows: list[dict[str, Any]], setting: str) -> None:
        numbers = [row[name] for row in rows if row[name] is not None]
        if numbers:
            self.values[name] = float(np.mean(numbers))
        elif not self.counts[setting]:
            self.why[name] = f"there are no {setting} pairs"
        else:
            self.why[name] = _reason(name, rows)

    def distance(self, name: str, of: Callable[[], float | None], otherwise: str) -> None:
        """A Frechet distance between two sets; that of few samples is far too large, which is told beside it."""
        if not self.counts[UNPAIRED]:
            otherwise = f"there are no {UNPAIRED} pairs"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", FewSamples)
            self.number(name, of, otherwise)
        heading, *_ = (TABLE_2 | SKELETONS)[name]
        self.notes += [f"{heading}: {warning.message}" for warning in caught]

    def number(self, name: str, of: Callable[[], float | None], otherwise: str) -> None:
        """A number of whole sets; a set too small for it is a reason, not an error."""
        try:
            value = of()
        except ValueError as error:
            value, otherwise = None, str(error)
        if value is None or math.isnan(value):
            self.why[name] = otherwise
        else:
            self.values[name] = float(value)


def _frechet(made: list[Any], true: list[Any]) -> float | None:
    """Of two sets of features, each a list of (N, D) or None."""
    sets = []
    for features in ([part for part in side if part is not None] for side in (made, true)):
        if not features:
            return None
        gathered = Gaussian(features[0].shape[1])
        for batch in features:
            gathered.add(batch)
        sets.append(gathered)
    return frechet_distance(*sets)


def _reason(name: str, *sets: list[dict[str, Any]]) -> str:
    """The one that most rows give."""
    absent = [json.loads(row["absent"] or "{}") for rows in sets for row in rows]
    reasons = Counter(row[name] for row in absent if name in row)
    return reasons.most_common(1)[0][0] if reasons else "no video could be scored"


def _gestures(motions: list[NDArray[np.float32]], true: list[NDArray[np.float32]]) -> float | None:
    return gesture_distance(motions, true) if motions and true else None


def _diversity(motions: list[NDArray[np.float32]]) -> float | None:
    if not motions:
        return None
    long = [motion[:_DIVERSITY_FRAMES] for motion in motions if len(motion) >= _DIVERSITY_FRAMES]
    if len(long) < 2:
        raise ValueError(f"fewer than two motions have {_DIVERSITY_FRAMES} frames")
    return diversity([to_rooted(motion) for motion in long[:_DIVERSITY_MOTIONS]])


def _counts(store: Store) -> Counter[str]:
    """Pairs by setting."""
    return Counter(store.read("pairs", ["setting"])["setting"].to_pylist())


def _rows(store: Store, kind: str) -> list[dict[str, Any]]:
    table = store.read(kind)
    columns = {name: to_python(_flat(table, name), table.schema.field(name).type) for name in table.column_names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _flat(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return column.combine_chunks() if column.num_chunks else pa.nulls(0, column.type)


def _motions(store: Store, side: int) -> dict[str, list[NDArray[np.float32]]]:
    """Skeletons (F, 133, 2) by setting, from pixels of a picture `side` px wide to those of 512, NaN where unseen."""
    settings = {row["pair_id"]: row["setting"] for row in store.read("pairs", ["pair_id", "setting"]).to_pylist()}
    motions: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (PAIRED, UNPAIRED, REAL)}
    for row in _rows(store, "renditions"):
        if row["keypoints"] is not None:
            points = np.asarray(row["keypoints"], np.float32).reshape(-1, K, 2) * np.float32(CLIP_SIDE_PX / side)
            motions[settings[row["pair_id"]]].append(visible(points, row["scores"]).astype(np.float32))
    return motions


def failures(
    store: Store, kinds: Sequence[str] = ("renditions", "scores"), units: Container[str] | None = None
) -> tuple[str, ...]:
    """What became of the pairs, or of other units, that have no row of these kinds: a line a reason, with one unit's detail."""
    lines = []
    for kind in kinds:
        bad = [row for row in store.outcomes(kind).to_pylist() if row["status"] != "ok"]
        bad = [row for row in bad if units is None or row["unit"] in units]
        for reason, count in Counter(row["reason"] for row in bad).most_common():
            detail = next(row["detail"] for row in bad if row["reason"] == reason)
            lines.append(f"{count} of {kind}: {reason} ({detail[:200]})")
    return tuple(lines)


def keep(folder: Path, summary: Summary) -> None:
    """Leave a summary in its folder, for tables that others make later."""
    files.write_text(folder / SUMMARY, with_checksum(asdict(summary), folder.name, indent=1))


def gathered(folder: Path, protocol: str) -> list[Summary]:
    """The true videos, all methods measured under a protocol's folder but those that are `lacking`, and the paper's rows."""
    without = lacking(folder)
    summaries = [kept(path.parent) for path in sorted(folder.glob(f"*/{SUMMARY}")) if path.parent.name not in without]
    return [*sorted(summaries, key=lambda summary: summary.source != "true"), *paper(protocol)]


def lacking(folder: Path) -> dict[str, str]:
    """{folder of a method: why} of those that were scored under a protocol's folder and whose summary cannot be used."""
    found = {}
    for tables in sorted(folder.glob("*/tables/scores")):
        own = tables.parents[1]
        try:
            kept(own)
        except FileNotFoundError:
            found[own.name] = "it has no summary yet"
        except (ValueError, TypeError) as error:
            found[own.name] = f"{own / SUMMARY} does not read ({error})"
    return found


def videos_of(folder: Path) -> str:
    """The folder whose videos a method's summary is of; "" where they are our own, and where no summary says."""
    try:
        return kept(folder).folder
    except (FileNotFoundError, ValueError, TypeError):
        return ""


def kept(folder: Path) -> Summary:
    """The summary that was left in a folder. Raises ValueError or TypeError for one that is not what was written."""
    stored = checked((folder / SUMMARY).read_text(encoding="utf-8"), folder.name)
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    return Summary(**fields)


def paper(protocol: str) -> list[Summary]:
    """The paper's rows of this test set (Yang et al., ICCV 2025, table 2)."""
    text = resources.files("manifests").joinpath("table2.csv").read_text(encoding="utf-8")
    return [
        Summary(row["method"], "paper", values={name: float(row[name]) for name in TABLE_2})
        for row in csv.DictReader(io.StringIO(text))
        if row["protocol"] == protocol
    ]


def markdown(protocol: str, rows: Sequence[Summary], left_out: Sequence[str] = ()) -> str:
    """Both tables, and a line for each method that is left out; a figure that is absent has a number that leads to its reason."""
    notes: list[str] = []
    text = [f"# {protocol}: as in table 2 of the paper", ""]
    text += _grid(TABLE_2, rows, notes)
    text += ["", "Skeletons, in pixels of 512; no net is needed:", ""]
    text += _grid(SKELETONS, [row for row in rows if row.source != "paper"], notes)
    text += ["", *(f"[{number}] {_inline(note)}  " for number, note in enumerate(notes, 1))]
    text += [f"- {_inline(row.method)}: {_inline(note)}" for row in rows for note in row.notes]
    text += [f"- {line}" for line in left_out]
    return "\n".join(text).rstrip() + "\n"


def _grid(columns: dict[str, tuple[str, int, str]], rows: Sequence[Summary], notes: list[str]) -> list[str]:
    heads = [f"{heading} {side}".strip() for heading, _, side in columns.values()]
    lines = [f"| method | pairs | {' | '.join(heads)} |", "|---|---|" + "---:|" * len(columns)]
    for row in rows:
        cells = [_cell(row, name, digits, notes) for name, (_, digits, _) in columns.items()]
        lines.append(f"| {_inline(row.method)} | {_count(row)} | {' | '.join(cells)} |")
    return lines


def _inline(text: str) -> str:
    """A text that ends no line and no cell."""
    return " ".join(text.split()).replace("|", "\\|")


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
    parts = [row.unpaired] if row.source == "true" else [row.paired, row.unpaired]
    return " + ".join(f"{done}" if done == all_ else f"{done}/{all_}" for done, all_ in parts)


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
