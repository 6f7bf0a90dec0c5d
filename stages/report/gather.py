"""What the report shows, read from the tables of a run."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base import toml
from pipeline.base.units import CLIP_SIDE_PX, FPS
from pipeline.engine.lookup import settings_class
from pipeline.engine.thresholds import Threshold, thresholds
from pipeline.shards.format import MEASURE_KINDS
from pipeline.tables.hashing import flat
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out import OptOut
from pipeline.views import table_one
from pipeline.views.nets import MadeBy, made_by
from pipeline.views.table_one import Share

if TYPE_CHECKING:
    from pipeline.tables.store import Store

_VIDEO = [
    "video_id",
    "title",
    "channel",
    "url",
    "licence",
    "speech_type",
    "duration_seconds",
    "width",
    "height",
    "footage",
]
_IDS = ("person_id", "clip_id", "video_id")
_WORDS = ["reasons", "details", "unmeasured"]  # lists of a verdict
OF_SOUND = ("sound_measures", "overlaps", "lip_syncs")  # not asked of clips without sound
# Measured of those alone whom the gate lets through: {kind: its measures}.
COSTLY = {kind: tuple(KINDS[kind].schema.names) for kind in ("overlaps", "same_faces", "lip_syncs")}


class Preview(NamedTuple):
    """What there is to look at of a person, clip or video: paths relative to the run folder.

    Attributes:
        path: a strip of `tiles` pictures (None: made before they were counted).
        loop: a still of the exported clip.
        clip: a small film of what was dropped.
        pose: the skeleton of the film, or of the exported clip, as a script.
    """

    path: str
    loop: str | None = None
    tiles: int | None = None
    clip: str | None = None
    pose: str | None = None


@dataclass(frozen=True)
class RunTables:
    """The run's tables as data frames, without the heavy columns.

    Attributes:
        name: the run folder's.
        profile: the resolved profile that the run left, {} when there is none.
        people: one row a judged person: ids, title ... of its video, times of its clip, every measure, verdict, sample, preview,
            and whether there is a row of each costly kind (`in_overlaps` ...). People of one clip stand together.
        outcomes: one row a unit of each stage: kind, unit, stage, status, reason, detail, attempt, at, wall_seconds, cpu_seconds,
            gpu_seconds.
        row, attributes: the run in the terms of the paper's table 1 and figure 2.
        nets: which nets made the rows.
        footage: whether the page shows pictures and plays sound.
        twins: one row a video: with which others it shares footage, and what its sound was compared by.
    """

    name: str
    profile: dict[str, Any]
    videos: pd.DataFrame
    clips: pd.DataFrame
    people: pd.DataFrame
    previews: dict[str, Preview]
    shards: pd.DataFrame
    outcomes: pd.DataFrame
    row: tuple[str, ...]
    attributes: dict[str, list[Share]]
    nets: list[MadeBy]
    footage: bool = True
    twins: pd.DataFrame = field(default_factory=pd.DataFrame)
    opted_out: frozenset[str] = frozenset()
    out: OptOut = field(default_factory=OptOut)

    @cached_property
    def _about(self) -> pd.DataFrame:
        """People without measure columns, which no subset needs."""
        found = {field.name for field in measures()}
        return self.people[[name for name in self.people if name not in found]]

    @cached_property
    def passed(self) -> pd.DataFrame:
        """People whom their verdict keeps, without measures."""
        return self._about[self.people["keep"]]

    @cached_property
    def kept(self) -> pd.DataFrame:
        """Those of them with a sample, in the order of the page."""
        return self.passed[self.passed["sample"].notna()]

    @cached_property
    def dropped(self) -> pd.DataFrame:
        """People whom their verdict drops, without measures."""
        return self._about[~self.people["keep"]]

    @property
    def judge(self) -> dict[str, Any]:
        """The settings of `judge`, as the run's profile has them; those that it leaves out are as usual."""
        found = self.profile.get("stages", {}).get("judge", {})
        usual = {name: field.get_default() for name, field in settings_class("judge").model_fields.items()}
        return usual | {name: value for name, value in found.items() if name in usual}

    @property
    def limits(self) -> dict[str, tuple[str, float]]:
        """Measure -> ("min" or "max", threshold), as the profile sets them."""
        settings = self.profile.get("stages", {}).get("judge", {})
        limits = ((threshold, settings.get(threshold.setting)) for threshold in judged())
        return {
            threshold.measure: (threshold.side, float(limit))
            for threshold, limit in limits
            if isinstance(limit, int | float)  # not "off"
        }

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Id of a video, clip or person -> how long it is."""
        known: dict[str, float] = {}
        for table, key, column in (
            (self.videos, "video_id", "duration_seconds"),
            (self.clips, "clip_id", "seconds"),
            (self.people, "person_id", "seconds"),
        ):
            known |= dict(zip(table[key].tolist(), table[column].fillna(0.0).tolist(), strict=True))
        return known

    @property
    def last(self) -> datetime | None:
        """When the latest outcome was written."""
        at = self.outcomes["at"].dropna()
        return None if at.empty else at.max().to_pydatetime()


@cache
def measures() -> list[pa.Field]:
    """The measures of a person and of its clip's sound, in the order of the tables."""
    return [
        field
        for kind in MEASURE_KINDS
        for field in KINDS[kind].columns
        if field.name not in _IDS and not pa.types.is_nested(field.type) and not pa.types.is_binary(field.type)
    ]


def judged() -> tuple[Threshold, ...]:
    """The thresholds that `judge` knows, set or not."""
    return thresholds(settings_class("judge"))


def gather(store: "Store") -> RunTables:
    """Read what the report needs; tables that are not there yet are empty."""
    outcomes = _outcomes(store)  # first: of what is read of them, the rest takes its part
    videos = _read(store, "videos", _VIDEO)
    clips = _read(store, "clips", ["clip_id", "video_id", "start_seconds", "frames"])
    clips["seconds"] = clips["frames"].astype("float64") / FPS
    previews = store.read("previews", ["preview_id", *Preview._fields]).to_pylist()
    path = store.run / "profile.toml"
    profile = toml.read(path) if path.is_file() else {}
    side = profile.get("stages", {}).get("export", {}).get("side_px")
    return RunTables(
        name=store.run.resolve().name,
        profile=profile,
        videos=videos,
        clips=clips,
        people=_people(store, videos, clips),
        previews={row.pop("preview_id"): Preview(**row) for row in previews},
        shards=_read(store, "shards", ["bucket", "split", "rows", "seconds", "bytes"]),
        outcomes=outcomes,
        row=table_one.row(store, side if isinstance(side, int) else CLIP_SIDE_PX),
        attributes=table_one.attributes(store),
        nets=made_by(store),
        twins=_twins(store),
        opted_out=frozenset(store.opted_out.to_pylist()),
        out=store.opt_out,
    )


def _people(store: "Store", videos: pd.DataFrame, clips: pd.DataFrame) -> pd.DataFrame:
    wanted_of = [*_IDS, "keep", "overridden", *_WORDS]
    verdicts = store.live("verdicts", wanted_of).select(wanted_of)
    table = verdicts.drop_columns(_WORDS).to_pandas()
    for column in _WORDS:
        table[column] = _lists(flat(verdicts[column]))
    table["keep"] = table["keep"].fillna(False).astype(bool)
    table["reason"] = [reasons[0] if reasons else "" for reasons in table["reasons"]]
    table = table.merge(clips[["clip_id", "start_seconds", "seconds"]], on="clip_id", how="left")
    table = table.merge(videos.drop(columns=["duration_seconds"]), on="video_id", how="left")
    table = table.merge(_unsorted(store, "persons", ["person_id", "person"]), on="person_id", how="left")
    wanted = {field.name for field in measures()}
    for kind in MEASURE_KINDS:
        key = KINDS[kind].key
        names = [name for name in KINDS[kind].schema.names if name in wanted]
        more = [key, "crop_box"] if kind == "pose_measures" else [key]
        rows = _unsorted(store, kind, [*more, *names])
        if kind in COSTLY:
            table[f"in_{kind}"] = among(table[key], rows[key])
        table = table.merge(rows, on=key, how="left")
    samples = _unsorted(store, "samples", ["person_id", "video"]).rename(columns={"video": "sample"})
    table = table.merge(samples, on="person_id", how="left")
    order = ["video_id", "start_seconds", "clip_id", "person", "person_id"]
    return table.sort_values(order, kind="stable").reset_index(drop=True)


def _lists(column: pa.Array) -> list[list[str]]:
    """The lists of a column, those that are null empty."""
    ends = np.append(0, np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy())).tolist()
    values = column.flatten().to_pylist()
    return [values[first:end] for first, end in pairwise(ends)]


def among(ids: "pd.Series[Any]", found: "pd.Series[Any]") -> npt.NDArray[np.bool_]:
    """(rows,) whether an id is among those that were found; the way of pandas takes ten times as long."""
    here = pc.is_in(pa.array(ids, pa.string()), value_set=pa.array(found, pa.string()))
    return np.asarray(here.to_numpy(zero_copy_only=False), bool)


def _twins(store: "Store") -> pd.DataFrame:
    columns = ["video_id", "cluster_id", "near_cluster_id", "twin_of", "matched_seconds"]
    found = ["how", "mirrored", "offset_seconds", "speed", "bit_error", "motion_likeness"]
    rows = _read(store, "twins", [*columns, *found])
    return rows.merge(_read(store, "sound_fingerprints", ["video_id", "fingerprint_of"]), on="video_id", how="left")


def _outcomes(store: "Store") -> pd.DataFrame:
    columns = [
        "unit",
        "stage",
        "status",
        "reason",
        "detail",
        "attempt",
        "at",
        "wall_seconds",
        "cpu_seconds",
        "gpu_seconds",
    ]
    tables = []
    for kind in store.kinds:
        if kind != "reports":
            won = store.outcomes(kind, columns).select(columns)
            tables.append(won.append_column("kind", pa.array([kind] * len(won), pa.string())))
    if not tables:
        return pd.DataFrame(columns=[*columns, "kind"])
    return pa.concat_tables(tables, promote_options="permissive").to_pandas()


def _read(store: "Store", kind: str, columns: list[str]) -> pd.DataFrame:
    return store.read(kind, columns).to_pandas()


def _unsorted(store: "Store", kind: str, columns: list[str]) -> pd.DataFrame:
    """The same in no order, for what is joined to people."""
    return store.live(kind, columns).select(columns).to_pandas()
