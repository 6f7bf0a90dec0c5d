"""A preview before hours of GPU time: whether a motion lies on the person in the picture, and what of both the video will show."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.backends.geometry import MIN_SCORE, hands_outside, shown
from pipeline.backends.inputs import write_png
from pipeline.backends.job import Job, View
from pipeline.base import files
from pipeline.base.arrays import Floats, Picture
from pipeline.base.units import FPS, Colour
from pipeline.skeleton import layout
from pipeline.skeleton.align import Comparison
from pipeline.skeleton.draw import draw
from pipeline.skeleton.layout import visible

WIDTH_PX = 1440
LATER = 3  # frames of the motion besides the first
_GAP, _BAR, _LINE = 16, 30, 26  # px
_TALL = (560, 360)  # px at most, of the upper and the lower panels
_GROUND, _OUTSIDE, _TEXT, _FAINT = (24, 26, 31), (52, 55, 63), (236, 238, 242), (150, 155, 166)
_GOOD, _WARN, _FRAME = (118, 214, 140), (255, 178, 84), (255, 214, 10)
_GHOST = (240, 240, 240)
_FONT = cv2.FONT_HERSHEY_DUPLEX


def write_preview(
    path: Path, job: Job, view: View, comparison: Comparison, title: str, notes: Sequence[str] = ()
) -> None:
    """Write the preview as a PNG, atomically.

    Above, the picture with its own skeleton, and the motion's first usable frame over it, with the picture's skeleton in white;
    below, later frames. The yellow frame is what the film shows.

    Args:
        path: the PNG.
        job: the motion as it will be filmed.
        view: what the film will show.
        comparison: `pipeline.skeleton.align.compare` of that motion.
        title: such as the back-end's name.
        notes: more lines for people, such as how the motion was mended.
    """
    with files.replacing(path) as temporary:
        write_png(temporary, preview(job, view, comparison, title, notes))


def preview(job: Job, view: View, comparison: Comparison, title: str, notes: Sequence[str] = ()) -> Picture:
    """(H, 1440, 3) RGB; arguments as of `write_preview`."""
    stage, offset = _stage(job.picture, view)
    box = np.array(view.box).reshape(2, 2) + offset
    reference = visible(job.reference, job.reference_scores, MIN_SCORE) + offset
    motion = shown(job) + offset
    dim = (stage * 0.45).astype(np.uint8)
    ghost = _ghost(dim, reference)
    first = max(comparison.frame, 0)
    later = [round(share * (len(motion) - 1)) for share in np.linspace(0, 1, LATER + 1)[1:]]
    upper = [
        ("the picture and its skeleton", _figure(stage, reference)),
        (f"the motion at {first / FPS:.2f} s, over the picture's skeleton (white)", _figure(ghost, motion[first])),
    ]
    lower = [(f"at {n / FPS:.2f} s", _figure(dim, motion[n])) for n in later]
    rows = [_row(panels, tall, box) for panels, tall in zip((upper, lower), _TALL, strict=True)]
    return np.concatenate([_head(title, view, comparison, hands_outside(job, view), notes), *rows])


def _stage(picture: Picture, view: View) -> tuple[Picture, Floats]:
    """The picture, on a ground that holds the film's box too, and where its corner (0, 0) lies on it.

    A box that leaves the picture by more than its size is cut: the picture must stay to be seen.
    """
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = view.box
    left, top = (min(max(0, -v), side) for v, side in ((x1, width), (y1, height)))
    right, bottom = (min(max(0, v - side), side) for v, side in ((x2, width), (y2, height)))
    made = cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=_OUTSIDE)
    return np.asarray(made, np.uint8), np.array([left, top], float)


def _figure(ground: Picture, points: Floats) -> Picture:
    return draw(points, np.ones(layout.K), background=ground)


def _ghost(ground: Picture, points: Floats) -> Picture:
    """The ground with a skeleton in white."""
    drawn = (_figure(ground, points) != ground).any(-1)
    ghost = ground.copy()
    ghost[drawn] = _GHOST
    return np.asarray(cv2.addWeighted(ghost, 0.75, ground, 0.25, 0), np.uint8)


def _row(panels: Sequence[tuple[str, Picture]], tall: int, box: Floats) -> Picture:
    """Panels side by side, each in the middle of its share of the width, below its caption."""
    share = (WIDTH_PX - _GAP * (len(panels) + 1)) / len(panels)
    height, width = panels[0][1].shape[:2]
    scale = min(share / width, tall / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    row = np.full((_BAR + size[1] + _GAP, WIDTH_PX, 3), _GROUND, np.uint8)
    for n, (caption, panel) in enumerate(panels):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        small = np.asarray(cv2.resize(panel, size, interpolation=how), np.uint8)
        corners = np.round(box * scale).astype(int)
        cv2.rectangle(small, tuple(corners[0]), tuple(corners[1] - 1), _FRAME, 2, cv2.LINE_AA)
        left = round(_GAP + n * (share + _GAP) + (share - size[0]) / 2)
        row[_BAR : _BAR + size[1], left : left + size[0]] = small
        _write(row, caption, left, _BAR - 9, 0.5, _FAINT)
    return row


def _head(title: str, view: View, comparison: Comparison, outside: float, notes: Sequence[str]) -> Picture:
    """Title and numbers; warnings in orange, or in green that there are none."""
    x1, y1, x2, y2 = view.box
    facts = [
        f"film {view.size[0]}x{view.size[1]} px, {view.frames} pictures at {float(view.fps):g} a second, "
        f"shows x {x1} to {x2}, y {y1} to {y2} of the picture (yellow)"
    ]
    if np.isfinite(comparison.scale):
        x, y = comparison.shift
        away = f"{comparison.distance:.2f} shoulder widths off ({x:+.0f}, {y:+.0f} px)"
        facts.append(f"motion {comparison.scale:.2f} x the person's size, {away}")
    facts.append(f"a hand leaves the film in {100 * outside:.0f} of 100 frames")
    lines: list[tuple[str, Colour]] = [(fact, _TEXT) for fact in facts]
    lines += [(note, _TEXT) for note in notes]
    lines += [(f"! {warning}", _WARN) for warning in comparison.warnings] or [("the motion lies on the person", _GOOD)]
    wrapped = [(part, color) for line, color in lines for part in textwrap.wrap(line, 130)]
    head = np.full((_GAP + 36 + _LINE * len(wrapped), WIDTH_PX, 3), _GROUND, np.uint8)
    _write(head, title, _GAP, _GAP + 20, 0.9, _TEXT)
    for n, (line, color) in enumerate(wrapped):
        _write(head, line, _GAP, _GAP + 48 + _LINE * n, 0.55, color)
    return head


def _write(canvas: Picture, text: str, x: int, y: int, size: float, color: Colour) -> None:
    plain = text.encode("ascii", "replace").decode()  # what the font knows
    cv2.putText(canvas, plain, (x, y), _FONT, size, color, 1, cv2.LINE_AA)
