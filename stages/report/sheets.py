"""The page's data beside the cards: everybody's columns, the measures, the thresholds, and people's own decisions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.engine.lookup import settings_class
from pipeline.engine.overrides import Override, read_overrides, strangers
from pipeline.engine.thresholds import Threshold
from pipeline.shards.format import MEASURE_KINDS
from pipeline.tables.kinds import KINDS
from pipeline.tables.people import mentioned, video_of
from stages.report import charts, columns, people
from stages.report.gather import COSTLY, OF_SOUND, RunTables, judged, measures


def scripts(tables: RunTables) -> Iterator[tuple[str, Any]]:
    """(name, what it holds) of each data file that the page loads once somebody is about to argue."""
    yield "people", people.columns_of(tables, people.reasons_of(tables))
    yield "videos", people.videos_of(tables)
    silent = people.is_false(tables.people["has_audio"])
    for field in numeric(tables):
        yield f"measure-{field.name}", columns.script_of(field.name, _column(tables, field.name, silent))


def numeric(tables: RunTables) -> list[pa.Field]:
    """The measures that are numbers, of which at least one is known."""
    known = tables.people.notna().any()
    fields = {field.name: field for field in measures() if known.get(field.name, False)}
    wanted = [field for field in fields.values() if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)]
    return wanted


def _column(tables: RunTables, name: str, silent: people.Flags) -> columns.Column:
    check = next((check for check in judged() if check.measure == name), None)
    values = tables.people[name].to_numpy("float64", na_value=np.nan)
    asked = ~silent if check and check.kind in OF_SOUND else np.ones_like(silent)
    edges = [float(limit) for _, limit in [tables.limits.get(name, ("", None))] if limit is not None]
    if check and check.default is not None:
        edges.append(check.default)
    return columns.coded(values, check.side if check else "min", asked, edges)


def thresholds_of(tables: RunTables) -> list[dict[str, Any]]:
    """Each threshold of `judge` as the page's script knows it; limits are null where they are off."""
    codes = {code: at for at, code in enumerate(people.reasons_of(tables))}
    there = {field.name for field in numeric(tables)}
    return [_described(check, tables, codes[check.reason.code], check.measure in there) for check in judged()]


def _described(check: Threshold, tables: RunTables, reason: int, measured: bool) -> dict[str, Any]:
    least, most = _bounds(check.setting)
    return {
        "setting": check.setting,
        "measure": check.measure,
        "name": charts.label(check.measure),
        "unit": check.unit,
        "text": settings_class("judge").model_fields[check.setting].description,
        "side": check.side,
        "reason": reason,
        "kind": list(COSTLY).index(check.kind) if check.kind in COSTLY else None,
        "limit": tables.limits.get(check.measure, ("", None))[1],
        "whole": _whole(check.setting),
        "least": least,
        "most": most,
        "measured": measured,
    }


def _bounds(setting: str) -> tuple[float | None, float | None]:
    """The least and the largest limit that the setting takes; None is none."""
    marks = settings_class("judge").model_fields[setting].metadata
    least = next((mark.ge for mark in marks if hasattr(mark, "ge")), None)
    return least, next((mark.le for mark in marks if hasattr(mark, "le")), None)


def _whole(setting: str) -> bool:
    """Whether the setting takes whole numbers alone."""
    return settings_class("judge").model_fields[setting].annotation == int | None


def decisions_of(tables: RunTables) -> dict[str, Any]:
    """The run's own overrides: their lines, the ids that match nobody, and why they cannot be read, if so.

    Lines about a video that opted out are left out; of ids that match nobody, and may be of a channel that did, only the number
    is there.
    """
    path = tables.judge["overrides"]
    if not path or path == "off":
        return {"file": None, "rows": [], "strangers": [], "untold": 0, "trouble": None}
    try:
        found, trouble = read_overrides(Path(path)), None
    except (OSError, ValueError) as error:
        found, trouble = list[Override](), str(error)
    ids = tables.people[["person_id", "clip_id", "video_id"]].to_dict("records")
    found = [one for one in found if not names_opted_out(one.id, tables)]
    unknown = strangers((one.id for one in found), ids) if found else []
    known = set(tables.videos["video_id"]) if tables.out.channels else set()
    untold = {id for id in unknown if tables.out.channels and video_of(id) not in known}
    rows = [[one.id, one.verdict, *_words(one, tables)] for one in found if one.id not in untold]
    told = [id for id in unknown if id not in untold]
    return {"file": Path(path).name, "rows": rows, "strangers": told, "untold": len(untold), "trouble": trouble}


def names_opted_out(text: str, tables: RunTables) -> bool:
    """Whether a text is the id of, or names, a video that opted out."""
    return any(one in tables.opted_out or one in tables.out for one in {text.partition("/")[0], *mentioned(text)})


def _words(one: Override, tables: RunTables) -> list[str]:
    """Who decided and why, without words that name a video that opted out."""
    return ["" if names_opted_out(text, tables) else text for text in (one.who, one.why)]


def costly_of(tables: RunTables) -> list[list[Any]]:
    """For each costly kind: its name, and whether it was measured of anybody."""
    return [[KINDS[kind].name, bool(tables.people[f"in_{kind}"].any())] for kind in COSTLY if kind in MEASURE_KINDS]
