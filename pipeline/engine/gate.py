"""Gates of costly measures: conditions over the cheap ones, looser than the thresholds of `judge`.

A gate decides what is measured, never what is kept: a person held back has nulls, which judge, report and sliders know. So it must
leave room to argue about thresholds, and loosening it later measures only those who were held back.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator

from pipeline.tables.arrow import numbers
from pipeline.tables.hashing import flat, raw, valid
from pipeline.tables.kinds import KINDS

if TYPE_CHECKING:
    from pipeline.tables.store import Store

CHEAP_KINDS = ("pose_measures", "sound_measures")  # of persons, and of their clips
_SIDES: dict[str, Callable[..., np.ndarray]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)\s*")

DEFAULT = (
    "seen_share >= 0.8",
    "upper_body_share >= 0.6",
    "face_seen_share >= 0.6",
    "yaw_degrees <= 60",
    "back_share <= 0.5",
    "shoulder_width_px >= 40",
    "speech_share >= 0.2",
)


@dataclass(frozen=True)
class Condition:
    """A measure, a comparison and a limit, such as `yaw_degrees <= 60`; an unknown measure passes."""

    measure: str
    side: str
    limit: float

    def passes(self, values: np.ndarray) -> np.ndarray:
        """(persons,) bool of (persons,) values; NaN passes."""
        values = np.asarray(values, float)
        return np.asarray(np.isnan(values) | _SIDES[self.side](values, self.limit), bool)


def parse(text: str) -> Condition:
    """Parse a condition; the ValueError says what is wrong with it."""
    match = _FORM.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no condition such as 'yaw_degrees <= 60'")
    measure, side, limit = match.groups()
    if not any(measure in KINDS[kind].schema.names for kind in CHEAP_KINDS):
        raise ValueError(f"{measure!r} in {text!r} is no measure of {' or '.join(CHEAP_KINDS)}")
    return Condition(measure, side, float(limit))


def _checked(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        parse(text)
    return texts


Gate = Annotated[tuple[str, ...], AfterValidator(_checked)]


def through(store: "Store", gate: Sequence[str], column: str) -> set[str]:
    """The ids in this column (video_id, clip_id or person_id) of the people that pass the gate."""
    people = store.live("persons", ["person_id", "clip_id", "video_id"])
    of_kind: dict[str, list[Condition]] = {}
    for condition in map(parse, gate):
        of_kind.setdefault(_kind_of(condition.measure), []).append(condition)
    passing = np.ones(len(people), bool)
    for kind, conditions in of_kind.items():
        values = _values(store, people, kind, [condition.measure for condition in conditions])
        for condition in conditions:
            passing &= condition.passes(values[condition.measure])
    return set(people[column].take(numbers(np.flatnonzero(passing))).unique().to_pylist())


def _kind_of(measure: str) -> str:
    return next(kind for kind in CHEAP_KINDS if measure in KINDS[kind].schema.names)


def _values(store: "Store", people: pa.Table, kind: str, measures: Sequence[str]) -> dict[str, np.ndarray]:
    """Measures, (people,) each, NaN where unknown. Without pandas, whose import would slow a run with nothing to do."""
    key = KINDS[kind].key
    known = store.live(kind, [key, *measures])
    rows = pc.index_in(flat(people[key]), value_set=flat(known[key]))
    found = {}
    for measure in dict.fromkeys(measures):
        values = flat(known[measure]).take(rows).cast(pa.float64())
        found[measure] = np.full(len(people), np.nan)
        found[measure][valid(values)] = raw(values.drop_null())
    return found
