"""People's own decisions, from a CSV file: they win over the thresholds."""

import csv
import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from pipeline.base.errors import UserError
from pipeline.base.units import Row
from pipeline.tables.people import mentioned

if TYPE_CHECKING:
    from pipeline.tables.opt_out import OptOut

log = logging.getLogger(__name__)

Verdict = Literal["keep", "drop", "unsure"]


class OverridesError(UserError, ValueError):
    """A file of decisions cannot be used; the message names the file and the line."""


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
        OverridesError: a line is not understood, or no UTF-8; the message names file and line.
        FileNotFoundError: there is no such file.
    """
    if path is None:
        return []
    overrides = {}
    # strict: a quote that is never closed would else make one reason of all lines after it
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        if not {"id", "verdict"} <= set(reader.fieldnames or ()):
            raise OverridesError(f"{path}: line 1: the columns must be id, verdict, who, why")
        for line in reader:
            override = _override(line, f"{path}: line {reader.line_num}")
            overrides[override.id] = override
    except csv.Error as error:
        raise OverridesError(f"{path}: line {reader.line_num + 1}: {error}") from None
    return [overrides[id] for id in sorted(overrides)]


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise OverridesError(f"{path}: line {line}: no UTF-8; save it as `CSV UTF-8`") from None


def _override(line: Mapping[str | None, str | None], where: str) -> Override:
    """A line of the file; `where` begins the message of the OverridesError."""
    # A line with too many cells has the rest under None, one with too few has None in their place.
    values = {key: (value or "").strip() for key, value in line.items() if isinstance(key, str)}
    verdict = values["verdict"].lower()
    if not values["id"] or verdict not in get_args(Verdict):
        # What stands there instead is not repeated: it may be somebody's id, and reports hold this message.
        raise OverridesError(f"{where}: needs an id, and keep, drop or unsure as its verdict")
    return Override(values["id"], cast(Verdict, verdict), values.get("who", ""), values.get("why", ""))


def override_of(person: Row, overrides: Mapping[str, Override]) -> Override | None:
    """The most specific decision: about the person, else the clip, else the video."""
    return next((overrides[id] for id in _ids(person) if id in overrides and overrides[id].decides), None)


def strangers(overrides: Iterable[str], persons: Iterable[Row]) -> list[str]:
    """The ids among these that are about nothing in the run, sorted."""
    return sorted(set(overrides) - {id for person in persons for id in _ids(person)})


def tell_of(overrides: Mapping[str, Override], persons: Sequence[Row], opt_out: "OptOut | None" = None) -> None:
    """Log how many overrides are about nothing in this run, and how many decide nothing.

    Logs stay in the run's folder: none names a video that opted out, and where channels did, it may be of any stranger.
    """
    if unknown := strangers(overrides, persons):
        out, channels = (opt_out, opt_out.channels) if opt_out else ((), frozenset[str]())
        told = [
            id for id in unknown if not channels and not any(v in out for v in {id.partition("/")[0], *mentioned(id)})
        ]
        example = f", for example {told[0]}" if told else ""
        log.warning("%d overrides match nothing in this run%s", len(unknown), example)
    if unsure := sum(not override.decides for override in overrides.values()):
        log.info("%d overrides say unsure: notes, which decide nothing", unsure)


def _ids(person: Row) -> tuple[str, str, str]:
    return person["person_id"], person["clip_id"], person["video_id"]
