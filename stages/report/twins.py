"""Videos of the run that hold the same footage, as the page lists them."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from stages.report.gather import RunTables

_SHOWN = 100  # copies


@dataclass(frozen=True)
class Copy:
    """A video of which a better copy is in the run, and that copy; titles where they are known, else ids.

    Attributes:
        how: sound, motion or both.
        speed: of this one over the better one's.
        bit_error, likeness: of their sound and of their motion; None where they were not found alike by that.
    """

    video: str
    better: str
    seconds: float
    offset_seconds: float
    speed: float
    how: str
    mirrored: bool
    bit_error: float | None
    likeness: float | None


@dataclass(frozen=True)
class Twins:
    """What the page says of twins.

    Attributes:
        clusters, videos: how many clusters there are, and videos in them.
        near: videos that only splits keep together with others.
        compared: videos whose sound was compared; `unheard` had none, or it was not measured.
        copies: cluster by cluster, some of them at most; `more` are not listed.
    """

    clusters: int
    videos: int
    near: int
    compared: int
    unheard: int
    copies: list[Copy]
    more: int


def twins_of(tables: RunTables) -> Twins | None:
    """The twins of a run; None where nobody looked for them."""
    rows = tables.twins
    if not len(rows):
        return None
    titles = dict(zip(tables.videos["video_id"], tables.videos["title"], strict=True))
    found = rows[rows["twin_of"].notna()].sort_values(["cluster_id", "video_id"])
    heard = int(rows["fingerprint_of"].notna().sum())
    return Twins(
        clusters=int(rows["cluster_id"].nunique()),
        videos=int(rows["cluster_id"].notna().sum()),
        near=int((rows["near_cluster_id"].notna() & rows["cluster_id"].isna()).sum()),
        compared=heard,
        unheard=len(rows) - heard,
        copies=[_copy(row, titles) for row in found.head(_SHOWN).to_dict("records")],
        more=max(0, len(found) - _SHOWN),
    )


def _copy(row: dict[Any, Any], titles: dict[str, Any]) -> Copy:
    better, video = (_called(row[name], titles) for name in ("twin_of", "video_id"))
    bits, likeness = (None if pd.isna(row[name]) else float(row[name]) for name in ("bit_error", "motion_likeness"))
    return Copy(
        video,
        better,
        seconds=row["matched_seconds"],
        offset_seconds=row["offset_seconds"],
        speed=row["speed"],
        how=row["how"],
        mirrored=row["mirrored"] is True,
        bit_error=bits,
        likeness=likeness,
    )


def _called(video: str, titles: dict[str, Any]) -> str:
    title = titles.get(video)
    return video if title is None or pd.isna(title) else f"{title} ({video})"
