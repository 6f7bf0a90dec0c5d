"""Where units and hours go, step by step and reason by reason."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from pipeline.base.reasons import Reason
from stages.report.gather import RunTables


@dataclass(frozen=True)
class Loss:
    """What one reason took from a step; `seconds` is None where nobody knows how long it was."""

    code: str
    text: str
    units: int
    seconds: float | None
    kind: str = "unwanted"


@dataclass(frozen=True)
class Step:
    """One step of the funnel.

    Attributes:
        name: what is counted from here on.
        noun: one of it, many of it.
        units, seconds: what is left after the step; seconds is None before anything was measured.
        losses: what the step took, largest first.
        note: a line under the name.
    """

    name: str
    noun: tuple[str, str]
    units: int
    seconds: float | None
    losses: list[Loss] = field(default_factory=list)
    note: str = ""

    @property
    def entered_seconds(self) -> float:
        return (self.seconds or 0) + sum(loss.seconds or 0 for loss in self.losses)


def steps(tables: RunTables) -> list[Step]:
    """Videos, clips, people, kept, exported; steps that did not run are left out."""
    length = tables.seconds
    done = set(tables.outcomes["kind"].unique())
    result = []
    if "videos" in done:
        losses = _refused(tables.outcomes, "videos", {})
        total = float(tables.videos["duration_seconds"].sum())
        if losses:
            asked = len(tables.videos) + sum(loss.units for loss in losses)
            result.append(Step("Asked for", ("source", "sources"), asked, None, note="links and files"))
        result.append(Step("Videos", ("video", "videos"), len(tables.videos), total, losses, "fetched and readable"))
    if "clips" in done:
        losses = _refused(tables.outcomes, "clips", length)
        in_clips = float(tables.clips["seconds"].sum())
        used = tables.clips["video_id"].unique().tolist()
        rest = sum(length.get(video, 0.0) for video in used) - in_clips
        if rest > 0.5:
            text = "footage between the clips: cuts, guard bands, shots that are too short"
            losses.append(Loss("between", text, 0, rest, "rest"))
        result.append(Step("Clips", ("clip", "clips"), len(tables.clips), in_clips, losses, "shots cut into 5 to 15 s"))
    if "persons" in done or len(tables.people):
        losses = _refused(tables.outcomes, "persons", length)
        people = float(tables.people["seconds"].sum())
        note = "on screen; two in one clip count twice"
        result.append(Step("People", ("person", "people"), len(tables.people), people, losses, note))
    if "verdicts" in done:
        kept = tables.passed
        losses = _by_reason(tables.dropped)
        seconds = float(kept["seconds"].sum())
        result.append(Step("Kept", ("person", "people"), len(kept), seconds, losses, "passed every threshold"))
    if "samples" in done:
        losses = _refused(tables.outcomes, "samples", length)
        seconds = float(tables.kept["seconds"].sum())
        note = "cropped, smoothed and packed"
        result.append(Step("Data set", ("clip", "clips"), len(tables.kept), seconds, losses, note))
    return result


def sentence(code: str) -> str:
    """What a reason means, for people; the code itself when nobody wrote a sentence."""
    try:
        return Reason.of(code).sentence
    except KeyError:
        return code.replace("_", " ") or "no reason was given"


def reason_kind(code: str) -> str:
    try:
        return str(Reason.of(code).kind)
    except KeyError:
        return "unwanted"


def _refused(outcomes: pd.DataFrame, kind: str, seconds: dict[str, float]) -> list[Loss]:
    """Losses of a stage by the outcomes of its units; failed ones are losses too, until a later run mends them."""
    lost = outcomes[(outcomes["kind"] == kind) & (outcomes["status"] != "ok")]
    return _losses((row.reason, seconds.get(row.unit)) for row in lost.itertuples())


def _by_reason(dropped: pd.DataFrame) -> list[Loss]:
    return _losses(zip(dropped["reason"].tolist(), dropped["seconds"].tolist(), strict=True))


def _losses(entries: Iterable[tuple[str, float | None]]) -> list[Loss]:
    units: Counter[str] = Counter()
    seconds: dict[str, float | None] = {}
    for code, length in entries:
        units[code] += 1
        known = seconds.get(code)
        seconds[code] = known if length is None else (known or 0.0) + float(length)
    losses = [Loss(code, sentence(code), units[code], seconds[code], reason_kind(code)) for code in units]
    return sorted(losses, key=lambda loss: (-(loss.seconds or 0), -loss.units, loss.code))


@dataclass(frozen=True)
class ReasonTotals:
    """What a reason means for the verdicts: people with it first, with it at all, with it alone."""

    code: str
    text: str
    first: int
    any: int
    only: int
    seconds_any: float
    seconds_only: float


def totals(dropped: pd.DataFrame) -> list[ReasonTotals]:
    """A row a reason, the most frequent first."""
    first: Counter[str] = Counter(dropped["reason"].tolist())
    any_, only = Counter[str](), Counter[str]()
    seconds_any, seconds_only = Counter[str](), Counter[str]()
    for reasons, seconds in zip(dropped["reasons"].tolist(), dropped["seconds"].fillna(0).tolist(), strict=True):
        for code in set(reasons):
            any_[code] += 1
            seconds_any[code] += seconds
        if len(set(reasons)) == 1:
            only[reasons[0]] += 1
            seconds_only[reasons[0]] += seconds
    rows = [
        ReasonTotals(code, sentence(code), first[code], any_[code], only[code], seconds_any[code], seconds_only[code])
        for code in any_
    ]
    return sorted(rows, key=lambda row: (-row.any, row.code))
