"""What kept people were not asked, and why: a threshold passes whoever was never measured."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pandas as pd

from pipeline.base import install
from pipeline.engine.lookup import settings_class
from pipeline.engine.runner import importable
from pipeline.engine.stage import Stage
from pipeline.engine.stage_nets import net_files
from pipeline.registry.models import MissingModel, Registry
from pipeline.tables.kinds import KINDS
from stages.report import charts
from stages.report.gather import RunTables, judged

_IDS = ("person_id", "clip_id", "video_id")


@dataclass(frozen=True)
class Unmeasured:
    """Measures of one stage that kept people have a threshold for and no value.

    Attributes:
        stage: what would have measured them.
        measures: their names, for people.
        units: kept people without one of them, of `of` kept people.
        why: one clause.
    """

    stage: str
    measures: tuple[str, ...]
    units: int
    of: int
    why: str


def unmeasured(tables: RunTables, models: Registry | None = None) -> list[Unmeasured]:
    """What is unknown of kept people though the run has a threshold for it, by stage; empty where everything was measured.

    Args:
        models: where nets are looked for; None: nothing is said of missing ones.
    """
    kept = tables.passed
    missing: dict[str, set[str]] = {}
    unknown = set(chain.from_iterable(kept["unmeasured"]))
    for check in judged():
        if check.measure in unknown:
            missing.setdefault(check.kind, set()).add(check.measure)
    return [_of_kind(kind, names, kept, tables, models) for kind, names in missing.items()]


def _of_kind(kind: str, names: set[str], kept: pd.DataFrame, tables: RunTables, models: Registry | None) -> Unmeasured:
    without = kept[[not names.isdisjoint(found) for found in kept["unmeasured"]]]
    stage = _stage_of(kind, tables)
    outcomes = tables.outcomes[tables.outcomes["kind"] == kind]
    why = _why_never(stage, tables, models) if outcomes.empty else "; ".join(_why_some(kind, without, outcomes))
    labels = tuple(charts.label(check.measure) for check in judged() if check.measure in names)
    return Unmeasured(stage.name if stage else kind, labels, len(without), len(kept), why)


def _stage_of(kind: str, tables: RunTables) -> Stage | None:
    """The stage of the run's profile that writes a kind, with its settings; None where there is none."""
    for name, settings in tables.profile.get("stages", {}).items():
        cls = settings_class(name)
        if issubclass(cls, Stage) and cls.writes == kind:
            return cls(**settings)
    return None


def _why_never(stage: Stage | None, tables: RunTables, models: Registry | None) -> str:
    targets: dict[str, list[str]] = tables.profile.get("targets", {})
    if stage is None or not any(stage.name in names for names in targets.values()):
        return "the profile does not run it"
    if absent := [name for name in stage.needed_modules() if not importable(name)]:
        return f"it never ran: it needs {', '.join(absent)}: {install.with_extra(stage.extra)}"
    try:
        if models is not None:
            net_files(stage, models.looking())
    except MissingModel as error:
        return f"it never ran: {error}"
    return f"it has not run yet: csg405 run {stage.name}"


def _why_some(kind: str, people: pd.DataFrame, outcomes: pd.DataFrame) -> Iterator[str]:
    """Why these people have no value, where others have."""
    status = dict(zip(outcomes["unit"].tolist(), outcomes["status"].tolist(), strict=True))
    asked = people[[name for name in (*_IDS, f"in_{kind}") if name in people]]
    counts: Counter[str] = Counter(_why(row, kind, status) for row in asked.to_dict("records"))
    for reason, count in counts.most_common():
        yield f"{count:,} {reason}"


def _why(person: dict[Any, Any], kind: str, status: dict[str, str]) -> str:
    if person.get(f"in_{kind}", True) is True:
        return "gave no value, as without a face or a voice to measure it on"
    found = {status.get(person[key]) for key in _IDS}
    if "failed" in found:
        return "failed, to be tried again"
    if found & {"ok", "rejected"}:
        return "were passed over in their clip or video"
    return f"were held back by the gate, or wait (setting gate of the stage that writes {KINDS[kind].name})"
