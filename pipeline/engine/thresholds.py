"""Thresholds over stored measures, each declared once, as the settings field that holds its limit."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from pipeline.base.reasons import Reason
from pipeline.tables.kinds import KINDS

if TYPE_CHECKING:
    import numpy as np

_MARK = "threshold"  # in the `json_schema_extra` of a field
_RANK = {reason: rank for rank, reason in enumerate(Reason)}
_NUMBER = r"(-?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf))"
_SAID = re.compile(rf"\w+ {_NUMBER} (?:[^;<>]+ )?[<>] {_NUMBER}")  # as `Threshold.words`


@dataclass(frozen=True)
class Threshold:
    """A limit on one measure, and the reason given for dropping a person beyond it.

    Attributes:
        side: "min" drops what lies below the limit, "max" what lies above it.
        measure: a column of the kind.
        reason: why a person is dropped.
        kind: the table kind that holds the measure.
        default: the limit unless a profile sets another; None is off.

    Raises:
        ValueError: the kind has no such column.
    """

    side: Literal["min", "max"]
    measure: str
    reason: Reason
    kind: str
    default: float | None

    def __post_init__(self) -> None:
        if self.measure not in KINDS[self.kind].schema.names:
            raise ValueError(f"a threshold for {self.measure!r}, which is no column of {self.kind}")

    @property
    def setting(self) -> str:
        """The name of the setting that holds the limit."""
        return f"{self.side}_{self.measure}"

    @cached_property
    def unit(self) -> str:
        """The unit of the measure and of its limit; "" where it has none."""
        return str(KINDS[self.kind].schema.field(self.measure).metadata[b"unit"].decode())

    @property
    def sign(self) -> str:
        """How a value that is dropped compares with the limit."""
        return "<" if self.side == "min" else ">"

    def words(self, value: float, limit: float) -> str:
        """A value beyond the limit, in the words of a verdict's details: `shoulder_width_px 38.2 px < 60`."""
        return " ".join(filter(None, (self.measure, f"{value:.4g}", self.unit, self.sign, f"{limit:g}")))

    def fails(self, values: "np.ndarray", limit: float) -> "np.ndarray":
        """(rows,) bool of (rows,) values: on the wrong side of the limit. One that equals it passes, and so does NaN."""
        return values < limit if self.side == "min" else values > limit


def excess(details: str) -> float:
    """How far the values in a verdict's details lie beyond their limits, as a share of the limit: the largest of them.

    Infinite where the text holds no value with a limit, such as `has_audio false`. A limit of 0 counts as 1.
    """
    pairs = [(float(value), float(limit)) for value, limit in _SAID.findall(details)]
    return max((abs(value - limit) / (abs(limit) or 1.0) for value, limit in pairs), default=float("inf"))


def at_least(measure: str, default: float | None, reason: Reason, text: str, kind: str = "pose_measures") -> Any:
    """A setting `min_<measure>` that drops what lies below it; None, or "off" in a profile, switches it off."""
    return _setting(Threshold("min", measure, reason, kind, default), text)


def at_most(measure: str, default: float | None, reason: Reason, text: str, kind: str = "pose_measures") -> Any:
    """A setting `max_<measure>` that drops what lies above it; None, or "off" in a profile, switches it off."""
    return _setting(Threshold("max", measure, reason, kind, default), text)


def _setting(threshold: Threshold, text: str) -> Any:
    return Field(threshold.default, description=text, json_schema_extra={_MARK: threshold})  # type: ignore[dict-item]


def thresholds(settings: type[BaseModel]) -> tuple[Threshold, ...]:
    """The thresholds among the fields, in the order in which `Reason` lists their reasons, then in that of the fields.

    Raises:
        ValueError: a field is not called as its threshold says.
    """
    listed: list[Threshold] = []
    for name, field in settings.model_fields.items():
        extra = field.json_schema_extra
        threshold = extra.get(_MARK) if isinstance(extra, dict) else None
        if isinstance(threshold, Threshold):
            if name != threshold.setting:
                raise ValueError(f"the setting {name} holds a threshold that is called {threshold.setting}")
            listed.append(threshold)
    return tuple(sorted(listed, key=lambda threshold: _RANK[threshold.reason]))
