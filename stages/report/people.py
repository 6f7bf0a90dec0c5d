"""Everybody as numbers: what the page recounts, sorts and filters without a card at hand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.reasons import Reason
from stages.report.columns import packed
from stages.report.gather import COSTLY, RunTables, among, judged

Flags = npt.NDArray[np.bool_]
_MOST_REASONS = 31  # bits of a number in the page's script that are no sign


@dataclass(frozen=True)
class Fixed:
    """What thresholds do not change about a verdict.

    Attributes:
        reasons: {code: (people,) whether it speaks against the person, wherever the thresholds lie}.
        incomplete: (people,) whether a costly measure that has to be known is not: judge drops them, and says so where nothing else
            speaks against them.
    """

    reasons: dict[str, Flags]
    incomplete: Flags


def fixed_of(tables: RunTables) -> Fixed:
    """The rules of judge that are no thresholds: the manifest's person, sound, and measures that have to be there."""
    people, settings = tables.people, tables.judge
    none = np.zeros(len(people), bool)
    reasons = {Reason.NOT_THE_CLIPS_PERSON.code: is_false(people["clips_person"])}
    reasons[Reason.NO_AUDIO.code] = is_false(people["has_audio"]) if settings["require_audio"] else none
    if settings["drop_twins"]:
        code = Reason.NEAR_DUPLICATE.code
        reasons[code] = np.array([code in against for against in people["reasons"]], bool)
    missing, incomplete = none.copy(), none.copy()
    costly = {name for names in COSTLY.values() for name in names}
    for measure in settings["require_measured"]:
        (incomplete if measure in costly else missing)[:] |= people[measure].isna().to_numpy()
    reasons[Reason.NOT_MEASURED.code] = missing
    return Fixed(reasons, incomplete)


def is_false(column: "pd.Series[Any]") -> Flags:
    """(rows,) whether it is known, and false."""
    found: Flags = column.eq(False).fillna(False).to_numpy(bool)
    return found


def reasons_of(tables: RunTables) -> list[str]:
    """Every reason that speaks against somebody in this run, or could with other thresholds, in the order of judge.

    Raises:
        ValueError: there are more than the page can count.
    """
    found = {code for reasons in tables.dropped["reasons"] for code in reasons}
    found |= {check.reason.code for check in judged()}
    found |= {Reason.OVERRIDDEN.code, *fixed_of(tables).reasons}
    order = {reason.code: rank for rank, reason in enumerate(Reason)}
    codes = sorted(found, key=lambda code: (order.get(code, len(order)), code))
    if len(codes) > _MOST_REASONS:
        raise ValueError(f"{len(codes)} reasons of verdicts are more than the page can count")
    return codes


def columns_of(tables: RunTables, codes: Sequence[str]) -> dict[str, Any]:
    """The script file of everybody: {name: packed column}, and the words that some of them are places in.

    A person's id is `<video>/<first>+<frames>#<person>`.
    """
    people = tables.people
    parts = _parts(people["person_id"])
    videos = {video: at for at, video in enumerate(_videos(tables)["video_id"])}
    fixed = fixed_of(tables)
    types, type_of = _places(people["speech_type"])
    speakers, speaker_of = _places(people["speaker"])
    sheet = {
        "video": people["video_id"].map(videos),
        "first": parts["first"],
        "frames": parts["frames"],
        "person": parts["person"],
        "type": type_of,
        "speaker": speaker_of,
        "fixed": _bits([fixed.reasons.get(code) for code in codes], len(people)),
        "was": _bits(_told(people["reasons"], codes), len(people)),
        "flags": _flags(tables, fixed),
    }
    return {name: packed(values) for name, values in sheet.items()} | {"types": types, "speakers": speakers}


def _parts(ids: "pd.Series[Any]") -> dict[str, npt.NDArray[np.int64]]:
    """The numbers in ids of people. Raises ArrowInvalid where one has none."""
    found = pc.extract_regex(pa.array(ids, pa.string()), r"/(?P<first>\d+)\+(?P<frames>\d+)#(?P<person>\d+)$")
    return {name: pc.struct_field(found, name).cast(pa.int64()).to_numpy() for name in ("first", "frames", "person")}


def videos_of(tables: RunTables) -> dict[str, list[Any]]:
    """The videos that somebody was judged in: ids, titles and channels, to search and to name."""
    rows = _videos(tables)
    return {
        "ids": rows["video_id"].tolist(),
        "titles": rows["title"].fillna(rows["video_id"]).tolist(),
        "channels": rows["channel"].fillna("").tolist(),
    }


def _videos(tables: RunTables) -> pd.DataFrame:
    """One row a video, in the order of `people`."""
    return tables.people[["video_id", "title", "channel"]].drop_duplicates("video_id")


def _places(words: "pd.Series[Any]") -> tuple[list[str], npt.NDArray[np.int64]]:
    """The distinct words, "" first, and the place of each row's among them."""
    codes, found = pd.factorize(words, sort=True)
    return ["", *map(str, found)], codes.astype(np.int64) + 1


def _told(reasons: "pd.Series[Any]", codes: Sequence[str]) -> Iterator[Flags]:
    """For each code, (people,) whether the run's verdict names it."""
    table = reasons.explode()
    for code in codes:
        rows = np.zeros(len(reasons), bool)
        rows[table.index[table.eq(code).to_numpy(bool)].to_numpy()] = True
        yield rows


def _bits(columns: Any, rows: int) -> npt.NDArray[np.int64]:
    """(rows,) numbers of which bit n is column n; None is a column without any."""
    found = np.zeros(rows, np.int64)
    for at, column in enumerate(columns):
        if column is not None:
            found |= column.astype(np.int64) << at
    return found


def _flags(tables: RunTables, fixed: Fixed) -> npt.NDArray[np.int64]:
    """Bits: kept by the run, overridden in it, a picture, incomplete; then, of each costly kind, that it was not measured."""
    people = tables.people
    drawn = among(people["person_id"], pd.Series([*tables.previews], dtype="str")) | people["sample"].notna().to_numpy()
    unmeasured = [~people[f"in_{kind}"].to_numpy(bool) & bool(people[f"in_{kind}"].any()) for kind in COSTLY]
    first = [people["keep"].to_numpy(bool), people["overridden"].fillna(False).to_numpy(bool), drawn]
    return _bits([*first, fixed.incomplete, *unmeasured], len(people))
