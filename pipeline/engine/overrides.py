"""People's own decisions, from a CSV file: they win over the thresholds."""

import csv
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from pipeline.base.units import Row

log = logging.getLogger(__name__)


Verdict = Literal["keep", "drop", "unsure"]


@dataclass(frozen=True)
class Override:
    """A decision about a person, a clip or a video, by its id; `unsure` is a note, and decides nothing."""

    id: str
    verdict: Verdict
    who: str
    why: str

    @property
    def decides(self) -> bool:
        """Whether it has a say in who is kept."""
        return self.verdict != "unsure"


def read_overrides(path: Path | None) -> list[Override]:
    """The lines of a CSV file with the columns id, verdict, who, why, sorted by id; the last line about an id wins.

    Raises:
        ValueError: a line is not understood; the message names file and line.
        FileNotFoundError: there is no such file.
    """
    if path is None:
        return []
    overrides = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not {"id", "verdict"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path}: line 1: the columns must be id, verdict, who, why")
        for line in reader:
            override = _override(line, f"{path}: line {reader.line_num}")
            overrides[override.id] = override
    return [overrides[id] for id in sorted(overrides)]


def _override(line: Mapping[str | None, str | None], where: str) -> Override:
    """A line of the file; `where` begins the message of the ValueError."""
    # A line with too many cells has the rest under None, one with too few has None in their place.
    values = {key: (value or "").strip() for key, value in line.items() if isinstance(key, str)}
    verdict = values["verdict"].lower()
    if not values["id"] or verdict not in get_args(Verdict):
        raise ValueError(f"{where}: needs an id, and keep, drop or unsure, not {verdict!r}")
    return Override(values["id"], cast(Verdict, verdict), values.get("who", ""), values.get("why", ""))


def override_of(person: Row, overrides: Mapping[str, Override]) -> Override | None:
    """The most specific decision: about the person, else the clip, else the video."""
    return next((overrides[id] for id in _ids(person) if id in overrides and overrides[id].decides), None)


def strangers(overrides: Iterable[str], persons: Iterable[Row]) -> list[str]:
    """The ids among these that are about nothing in the run, sorted."""
    return sorted(set(overrides) - {id for person in persons for id in _ids(person)})


def tell_of(overrides: Mapping[str, Override], persons: Sequence[Row]) -> None:
    """Log how many overrides are about nothing in this run, and how many decide nothing."""
    if unknown := strangers(overrides, persons):
        log.warning("%d overrides match nothing in this run, for example %s", len(unknown), unknown[0])
    if unsure := sum(not override.decides for override in overrides.values()):
        log.info("%d overrides say unsure: notes, which decide nothing", unsure)


def _ids(person: Row) -> tuple[str, str, str]:
    return person["person_id"], person["clip_id"], person["video_id"]
