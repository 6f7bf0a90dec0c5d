"""Boxes as others' lists give them: in shares of the picture, or in pixels of a picture whose size the row states."""

import json
from collections.abc import Mapping
from typing import Any

from pipeline.base.units import FloatBox
from pipeline.sources.manifest.rows import HEIGHT, WIDTH, BadRow, box_of, number_of, shown

NAMES = ("crop_box", "bbox", "box")
SIZE = ("width", "height")
_CORNERS = (("left", "top", "right", "bottom"), ("x1", "y1", "x2", "y2"))
_SIDES = (("x", "y", "width", "height"), ("x", "y", "w", "h"))
COLUMNS = tuple(name for names in _CORNERS for name in names)
_LARGEST_SHARE = 2.0  # a box may leave the picture; no person is as small as 2 pixels

NO_SIZE = "in pixels of a picture whose size is not stated"
NO_ORDER = "four numbers of which it is not stated whether they are corners or a corner and sides"
NOT_ONE = "not one box of four numbers"


class UnclearBox(ValueError):
    """Raised for a box that cannot be used though its row can; the message says why."""


def given_box(entry: Mapping[str, Any]) -> FloatBox | None:
    """The box of a row, whose names are in lower case, in pixels of 1280x720; None where the row gives none.

    Raises:
        BadRow: the box makes no sense.
        UnclearBox: it may make sense, but the row does not say which.
    """
    corners = _corners(entry)
    if corners is None:
        return None
    if max(corners) <= _LARGEST_SHARE:
        return box_of([c * (HEIGHT if n % 2 else WIDTH) for n, c in enumerate(corners)])
    width, height = (_side(entry.get(name)) for name in SIZE)
    if not width or not height:
        raise UnclearBox(NO_SIZE)
    return box_of(corners, width, height)


def _corners(entry: Mapping[str, Any]) -> list[float] | None:
    name = next((name for name in NAMES if entry.get(name) not in (None, "", [])), "")
    if not name:
        found = next((names for names in _CORNERS if all(entry.get(n) not in (None, "") for n in names)), None)
        return [_number(entry[n], n) for n in found] if found else None
    value = entry[name]
    value = _unwritten(value) if isinstance(value, str) else value
    if isinstance(value, Mapping):
        return _named(value)
    if not isinstance(value, list) or len(value) != 4:
        raise UnclearBox(NOT_ONE)
    if name != "crop_box":
        raise UnclearBox(NO_ORDER)
    return [_number(v, name) for v in value]


def _named(box: Mapping[str, Any]) -> list[float]:
    sides = next((names for names in _SIDES if all(n in box for n in names)), None)
    if sides:
        x, y, width, height = (_number(box[n], n) for n in sides)
        return [x, y, x + width, y + height]
    found = next((names for names in _CORNERS if any(n in box for n in names)), _CORNERS[0])
    return [_number(box.get(n), n) for n in found]


def _unwritten(text: str) -> object:
    try:
        return json.loads(text) if len(text) < 1000 else text
    except (ValueError, RecursionError):
        return text


def _number(value: object, what: str) -> float:
    try:
        return number_of(float(value) if isinstance(value, str) else value, what)
    except ValueError as error:  # of a text; BadRow is one too
        raise error if isinstance(error, BadRow) else BadRow(f"{what} is no number: {shown(value)}") from None


def _side(value: object) -> float:
    try:
        side = _number(value, "size")
    except BadRow:
        return 0.0
    return side if 1 <= side <= 1 << 16 else 0.0
