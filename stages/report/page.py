"""Writes the page: the template, its style and script, and the data in pieces that are loaded when looked at."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b, sha256
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from pipeline.base import files
from pipeline.base.reasons import Reason
from pipeline.base.version import version_of
from pipeline.skeleton.draw import strokes
from pipeline.views import table_one
from pipeline.views.table_one import DASH
from stages.report import charts, funnel, gather, people, sheets
from stages.report.cards import link, pieces
from stages.report.costs import costs
from stages.report.figure_two import distributions
from stages.report.films import film_of
from stages.report.gather import RunTables
from stages.report.settings import ReportSettings
from stages.report.text import json_of, six_digits
from stages.report.twins import twins_of
from stages.report.unmeasured import Unmeasured

Record = dict[str, Any]
Written = dict[Path, tuple[int, str]]  # bytes and sha256 of files
# Plain scripts, joined in this order into `app.js`: modules do not load from file://.
SCRIPTS = (
    "data",
    "skeleton",
    "player",
    "controls",
    "recount",
    "votes",
    "thresholds",
    "limit",
    "panel",
    "gallery",
    "details",
    "downloads",
    "start",
)
_FINDS_PEOPLE = ("annotate", "import_poses")
STYLES = ("style.css", "argue.css", "player.css")


@dataclass(frozen=True)
class Group:
    """Units refused for one reason: what the page says of them, and the data file that holds some."""

    code: str
    text: str
    kind: str
    units: int
    seconds: float
    shown: int
    file: str


def write(folder: Path, tables: RunTables, settings: ReportSettings, unmeasured: Sequence[Unmeasured] = ()) -> Written:
    """Write the folder; `index.html` comes last, and data files of an older page go. Returns: what the many files hold."""
    data = folder / "data"
    tables = tables if settings.footage else without_footage(tables)
    of_people = dict(_write_people(data, tables, settings.clips_a_file))
    groups = list(_write_refused(data, tables, settings.dropped_a_reason))
    files.write_text(data / "summary.js", "CSG.summary = " + json_of(_summary(tables, settings, folder)) + ";\n")
    files.sync(data)
    written = {"summary.js", *(path.name for path in of_people), *(f"{group.file}.js" for group in groups)}
    files.write_text(folder / "style.css", "".join(map(_packed, STYLES)))
    files.write_text(folder / "app.js", script())
    files.write_text(folder / "index.html", render(tables, settings, groups, unmeasured))
    for path in data.glob("*.js"):
        if path.name not in written:
            path.unlink()
    return of_people


def _summary(tables: RunTables, settings: ReportSettings, folder: Path) -> Record:
    """What the page's script knows before it loads anything else."""
    codes = people.reasons_of(tables)
    return {
        "run": tables.name,
        "mark": _mark(folder),
        "fields": [_described(field) for field in gather.measures()],
        "columns": [
            [field.name, charts.label(field.name), charts.unit_beside(field)] for field in sheets.numeric(tables)
        ],
        "people": {"count": len(tables.people), "size": settings.clips_a_file},
        "reasons": [[code, funnel.sentence(code)] for code in codes],
        "thresholds": sheets.thresholds_of(tables),
        "costly": sheets.costly_of(tables),
        "decisions": sheets.decisions_of(tables),
        "skeleton": strokes(),
    }


def _mark(folder: Path) -> str:
    """What tells runs of one name apart, in a browser that knows them all as 127.0.0.1: a digest of where the report lies."""
    return blake2b(str(folder.resolve()).encode(errors="surrogateescape"), digest_size=8).hexdigest()


def without_footage(tables: RunTables) -> RunTables:
    """The same without pictures and sound."""
    return replace(tables, previews={}, footage=False)


def script() -> str:
    """The page's script: all of `app/`, as one strict script."""
    return '"use strict";\n' + "\n".join(_packed(f"app/{name}.js") for name in SCRIPTS)


def _packed(name: str) -> str:
    return package_files("stages.report").joinpath(name).read_text(encoding="utf-8")


def render(
    tables: RunTables, settings: ReportSettings, groups: Sequence[Group], unmeasured: Sequence[Unmeasured] = ()
) -> str:
    """The page as HTML; every value is escaped by the template engine."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stages.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"hours": hours, "count": _count, "bytes": _bytes, "round": round}
    steps = funnel.steps(tables)
    return environment.get_template("index.html.jinja").render(
        title=settings.title or tables.name,
        tables=tables,
        version=version_of(),
        steps=steps,
        widest=max([step.entered_seconds for step in steps] or [1]) or 1,
        totals=funnel.totals(tables.dropped),
        histograms=charts.histograms(tables),
        off=charts.histograms(tables, off=True),
        chart=(charts.WIDTH, charts.HEIGHT),
        groups=groups,
        splits=_splits(tables),
        licences=_licences(tables),
        heads=table_one.HEADS,
        published=table_one.PUBLISHED,
        row=tables.row,
        attributes=distributions(tables),
        guessed=set(tables.attributes),
        unmeasured=unmeasured,
        annotated_by=[made for made in tables.nets if made.stage in _FINDS_PEOPLE],
        failed=_failed(tables, settings.failed_shown),
        costs=costs(tables),
        twins=twins_of(tables),
    )


def hours(seconds: float | None) -> str:
    """`12.3 h`, `4 min 5 s` or `7 s`; a dash where nobody knows."""
    if seconds is None or math.isnan(seconds):
        return DASH
    if seconds >= 36_000:
        return f"{seconds / 3600:,.0f} h" if seconds >= 360_000 else f"{seconds / 3600:,.1f} h"
    if seconds >= 3600:
        return f"{seconds / 3600:.2f} h"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _write_people(data: Path, tables: RunTables, size: int) -> Iterator[tuple[Path, tuple[int, str]]]:
    """The data files of everybody judged: their columns, and their cards in pieces."""
    if not len(tables.people):
        return
    for name, value in sheets.scripts(tables):
        yield _write_data(data, name, json_of(value))
    for number, cards in enumerate(pieces(tables, size)):
        yield _write_data(data, f"people-{number}", cards)


def _write_refused(data: Path, tables: RunTables, limit: int) -> Iterator[Group]:
    """A data file a reason for which videos, clips or links were refused before there was anybody to judge."""
    refused = tables.outcomes[tables.outcomes["status"].eq("rejected")]
    lengths = tables.seconds
    groups = sorted(refused.groupby("reason"), key=lambda item: (-len(item[1]), str(item[0])))
    for reason, rows in groups:
        code = str(reason)
        shown = _nameable(rows, tables)
        drawn = shown["unit"].isin(tables.previews.keys())
        records = _refused(pd.concat([shown[drawn], shown[~drawn]]).head(limit), tables)
        file = "refused-" + "".join(c if c.isalnum() or c == "_" else "-" for c in code)
        _write_data(data, file, json_of(records))
        seconds = sum(lengths.get(unit, 0.0) for unit in rows["unit"])
        text, kind = funnel.sentence(code), funnel.reason_kind(code)
        yield Group(code, text, kind, len(rows), seconds, len(records), file)


def _nameable(rows: pd.DataFrame, tables: RunTables) -> pd.DataFrame:
    """Rows of refused units without those of people who opted out: these are counted, and not named."""
    rows = rows[rows["reason"].ne(Reason.OPTED_OUT.code)]
    if not tables.opted_out and not tables.out:
        return rows
    named = [sheets.names_opted_out(unit, tables) for unit in rows["unit"]]
    return rows[~np.array(named, dtype=bool)]


def _refused(rows: pd.DataFrame, tables: RunTables) -> list[Record]:
    """Videos, clips or links that a stage said no to before there was anybody to judge."""
    videos = {unit: unit.split("/")[0] for unit in rows["unit"]}
    clips = {unit: unit.split("#")[0] for unit in rows["unit"]}
    about = {row["video_id"]: row for row in _dicts(tables.videos[tables.videos["video_id"].isin(videos.values())])}
    at = {row["clip_id"]: row for row in _dicts(tables.clips[tables.clips["clip_id"].isin(clips.values())])}
    records = []
    for row in _dicts(rows):
        unit = row["unit"]
        video, clip = about.get(videos[unit], {}), at.get(clips[unit], {})
        records.append(
            {
                "i": unit,
                "t": video.get("title") or unit,
                "c": video.get("channel"),
                "u": link(video.get("url") or unit, clip.get("start_seconds")),
                "s": clip.get("start_seconds"),
                "n": clip.get("seconds", video.get("duration_seconds")),
                **film_of(tables.previews.get(unit)),
                "k": False,
                "r": [row["reason"]],
                "d": [row["detail"]],
            }
        )
    return records


def _dicts(table: pd.DataFrame) -> list[Record]:
    """Rows as dicts with plain values; NaN and NaT are None."""
    names = [str(name) for name in table.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(_plain(table[name]) for name in table), strict=True)]


def _plain(column: "pd.Series[Any]") -> list[Any]:
    """The values of a column as JSON knows them, floats to six digits."""
    if column.dtype.kind == "f":
        values = six_digits(column.to_numpy("float64"))
        return [value if known else None for value, known in zip(values.tolist(), np.isfinite(values), strict=True)]
    missing = column.isna().tolist()
    return [
        None if gone else value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for value, gone in zip(column.tolist(), missing, strict=True)
    ]


def _write_data(data: Path, name: str, value: str) -> tuple[Path, tuple[int, str]]:
    """Write a data file. Where a threshold changed some stay as they are: these are read, and not written.

    Returns: the file, its bytes and sha256: to read thousands of them again takes longer than to write them.
    """
    path, content = data / f"{name}.js", f"CSG.add({json_of(name)}, {value});\n".encode()
    files.write_if_changed(path, content)
    return path, (len(content), sha256(content).hexdigest())


def _described(field: Any) -> list[str]:
    notes = {key.decode(): value.decode() for key, value in field.metadata.items()}
    return [field.name, charts.label(field.name), charts.unit_beside(field), notes["text"]]


def _splits(tables: RunTables) -> list[tuple[str, int, float]]:
    """(split, clips, seconds) as the shards hold them."""
    rows = tables.shards.groupby("split")[["rows", "seconds"]].sum()
    return [
        (name, int(rows.loc[name, "rows"]), float(rows.loc[name, "seconds"]))
        for name in ("train", "validation", "test")
        if name in rows.index
    ]


def _licences(tables: RunTables) -> list[tuple[str, int]]:
    """(licence as the source states it, kept clips), most frequent first."""
    counts = tables.kept["licence"].fillna("not stated").value_counts()
    return [(str(name), int(count)) for name, count in counts.items()]


def _failed(tables: RunTables, limit: int) -> tuple[int, list[Record]]:
    rows = tables.outcomes[tables.outcomes["status"].eq("failed")]
    listed = [row | {"text": funnel.sentence(row["reason"])} for row in _dicts(rows.head(limit))]
    return len(rows), listed


def _count(number: int) -> str:
    return f"{number:,}"


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
