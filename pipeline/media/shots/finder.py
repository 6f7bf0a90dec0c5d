"""Shots: where the camera's take changes, found in one pass over small pictures.

Colour: PySceneDetect's Content and Adaptive detectors, which see the score that camera motion does not explain, so that
a pan or a zoom is no cut. Motion: a jump of global camera motion (a whip pan, a punch-in) is one. Flat pictures (black,
white, one colour) and the fades around them belong to no shot; a flash does not end one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scenedetect.detectors import AdaptiveDetector, ContentDetector

from pipeline.base.units import FPS
from pipeline.media.shots.motion import Motion, MotionMeter, compensate

Pixels = npt.NDArray[Any]  # uint8
Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]

LONG_SIDE_PX = 256  # as in PySceneDetect, whose thresholds were set at about this size

_IDENTICAL = 0.02  # score under which two pictures are one
_STIRRED = 0.5  # score above which something moves
_HELD = 0.01  # share of a neighbour's score under which a picture is held: coding it twice leaves a trace
_AT_REST = 0.2  # score under which looking for motion is not worth while
_EXPLAINED = 0.5  # share of a score that may remain for camera motion to be its cause
_BETTER = 0.85  # share that may remain for a motion to be believed at all
_FLAT_LEVELS = 12  # 2nd to 98th percentile of luma of a flat picture
_DARK_LEVEL = 24  # 98th percentile of a black one
_FADE_LEVELS = (1.5, 40)  # least and most contrast that a fade gains or loses a picture
_FADE_PICTURES = (3, 75)  # shortest and longest
_LEAST_FRAMES = 5  # between two cuts; less is a part of the change, not a shot
_LONE_RATIO = 8  # a step this much faster than both its neighbours is an edit; a shaken camera comes to 6
_UNKNOWN = float("nan")
_STEADIED = 5  # pictures over which speed is averaged: odd rates on the grid move in uneven steps


@dataclass(frozen=True)
class ShotSettings:
    """Thresholds of the detectors; scores are PySceneDetect's (mean difference of hue, saturation, value, 0..255)."""

    content_score: float = 27.0
    adaptive_ratio: float = 3.0
    adaptive_score: float = 15.0
    jump_widths_per_second: float = 1.0
    flash_pictures: int = 4


@dataclass(frozen=True)
class Footage:
    """What one pass found; frames are pictures of the 25-fps grid.

    Attributes:
        frames: pictures in all.
        cuts: first picture of each new shot, ascending; a fade or whip counts once, where the next shot begins.
        shots: (first, end) half open, in order; flat pictures, fades and whips lie between them.
        speed: (frames,) camera motion, picture widths/s.
        repeated: (frames,) the reader showed the picture before once more.
        stutters: (frames,) the source itself holds the picture twice while things move.
        flat_share: share of pictures without content.
    """

    frames: int
    cuts: list[int]
    shots: list[tuple[int, int]]
    speed: Values
    repeated: Flags
    stutters: Flags
    flat_share: float

    def camera_motion(self, first: int, end: int) -> float:
        """95th percentile of the steadied camera speed within [first, end), picture widths/s."""
        speed = self.speed[first + 1 : end]
        if not len(speed):
            return 0.0
        width = min(_STEADIED, len(speed))
        steady = np.convolve(speed, np.ones(width) / width, mode="valid")
        return float(np.percentile(steady, 95))

    def repeated_share(self, first: int, end: int, source_fps: float) -> float:
        """Share of [first, end) that repeats the picture before beyond what a source of this rate must."""
        explained = max(0.0, 1.0 - source_fps / FPS) if source_fps > 0 else 0.0
        count = int(np.count_nonzero(self.repeated[first + 1 : end] | self.stutters[first + 1 : end]))
        return max(0.0, count / max(1, end - first) - explained)


def analysis_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) at which pictures are looked at: the long side 256 px, never enlarged."""
    scale = min(1.0, LONG_SIDE_PX / max(width, height))
    return max(16, round(width * scale)), max(16, round(height * scale))


class _GivenContent(ContentDetector):
    """The library's decision over a score that was measured before."""

    def _calculate_frame_score(self, frame_num: int, frame_img: Any) -> float:
        return float(frame_img)


class _GivenAdaptive(AdaptiveDetector):
    """The library's decision over a score that was measured before."""

    def _calculate_frame_score(self, frame_num: int, frame_img: Any) -> float:
        return float(frame_img)


def content_score(before: Pixels, after: Pixels) -> float:
    """PySceneDetect's content score with its default weights; before, after: (H, W, 3) HSV as OpenCV makes it."""
    return float(cv2.norm(before, after, cv2.NORM_L1)) / after.size


@dataclass
class _Flash:
    """A sudden change that may take itself back."""

    picture: int
    before: Pixels
    score: float


@dataclass
class _Trace:
    """One value a picture (not a grid frame: what the reader repeats is not looked at again)."""

    frame: list[int] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)  # moved since the picture before
    spread: list[int] = field(default_factory=list)
    flat: list[bool] = field(default_factory=list)


_REST = Motion(np.eye(2, 3), 0.0)


class ShotFinder:
    """Takes pictures in order and finds shots.

    Args:
        size: (width, height) of the pictures, px; see `analysis_size`.
        settings: thresholds.
    """

    def __init__(self, size: tuple[int, int], settings: ShotSettings | None = None) -> None:
        self.settings = settings or ShotSettings()
        self._meter = MotionMeter(*size)
        self._trace = _Trace()
        self._repeated: list[bool] = []
        self._last: tuple[Pixels, Pixels, Pixels] | None = None  # RGB, HSV, grey
        self._flashes: list[_Flash] = []
        self._not_cuts: set[int] = set()

    def feed(self, frame: int, rgb: Pixels, repeated: bool = False) -> None:
        """Look at the next picture of the grid.

        Args:
            frame: its number; consecutive.
            rgb: (height, width, 3) uint8.
            repeated: it is the picture before once more.
        """
        self._repeated.append(repeated and self._last is not None)
        if self._repeated[-1]:
            return
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        raw, score, widths = 0.0, 0.0, 0.0
        if self._last is not None:
            raw = content_score(self._last[1], hsv)
            score, motion = self._explain(raw, rgb, hsv, grey)
            widths = motion.widths if motion else _UNKNOWN
            self._watch_flashes(raw, hsv)
        self._note(frame, raw, score, widths, grey)
        self._last = (rgb, hsv, grey)

    def finish(self) -> Footage:
        """What was found; call once, after the last picture."""
        trace, frames = self._trace, len(self._repeated)
        starts = self._colour_cuts()
        outside = _with_fades(trace.flat, trace.spread)
        held = _held(np.array(trace.raw))
        speed = _speed(np.array(trace.frame), np.array(trace.widths), held)
        jumps, whips = _jumps(speed, self.settings.jump_widths_per_second)
        starts |= jumps
        outside |= whips
        at = [*trace.frame, frames]
        found = [(at[a], at[b]) for a, b in _runs(starts, outside)]
        shots = [(a, b) for a, b in found if b - a >= _LEAST_FRAMES or a == 0 or b == frames]
        cuts = [first for first, _ in shots[1:]]
        stutters = np.zeros(frames, dtype=bool)
        stutters[trace.frame] = held
        shown = np.cumsum(~np.array(self._repeated, dtype=bool)) - 1  # the picture that each grid frame shows
        flat = float(np.mean(trace.flat)) if trace.flat else 1.0
        return Footage(frames, cuts, shots, _filled(speed)[shown], np.array(self._repeated, dtype=bool), stutters, flat)

    def _explain(self, raw: float, rgb: Pixels, hsv: Pixels, grey: Pixels) -> tuple[float, Motion | None]:
        """The score that camera motion leaves unexplained, and that motion; None when it cannot be told."""
        assert self._last is not None
        if raw < _AT_REST:
            return raw, _REST
        motion = self._meter.follow(self._last[2], grey)
        if raw < self.settings.adaptive_score:
            return raw, motion
        for guess in (motion, self._meter.correlate(self._last[2], grey)):
            if guess is None or guess.widths == 0:
                continue
            moved, covered = compensate(self._last[0], guess)
            rest = _covered_score(cv2.cvtColor(moved, cv2.COLOR_RGB2HSV), hsv, covered)
            if rest <= _BETTER * raw:
                return (rest if rest <= _EXPLAINED * raw else raw), guess
        return raw, None

    def _watch_flashes(self, raw: float, hsv: Pixels) -> None:
        """Strike out the cuts of a change that is gone a few pictures later."""
        picture = len(self._trace.frame)
        waiting = []
        for flash in self._flashes:
            if content_score(flash.before, hsv) < min(_EXPLAINED * flash.score, self.settings.adaptive_score):
                self._not_cuts.update(range(flash.picture, picture + 1))
            elif picture - flash.picture < self.settings.flash_pictures:
                waiting.append(flash)
        self._flashes = waiting
        if raw >= self.settings.adaptive_score and self.settings.flash_pictures > 0:
            assert self._last is not None
            self._flashes.append(_Flash(picture, self._last[1], raw))

    def _note(self, frame: int, raw: float, score: float, widths: float, grey: Pixels) -> None:
        low, high = _luma_range(grey)
        trace = self._trace
        trace.frame.append(frame)
        trace.raw.append(raw)
        trace.score.append(score)
        trace.widths.append(widths)
        trace.spread.append(high - low)
        trace.flat.append(high - low < _FLAT_LEVELS or high < _DARK_LEVEL)

    def _colour_cuts(self) -> Flags:
        """(pictures,) a new shot begins here, by the two detectors and without flashes."""
        settings = self.settings
        content = _GivenContent(threshold=settings.content_score, min_scene_len=0)
        adaptive = _GivenAdaptive(
            adaptive_threshold=settings.adaptive_ratio, min_content_val=settings.adaptive_score, min_scene_len=0
        )
        count = len(self._trace.score)
        found: set[int] = set()
        rest = (
            adaptive.window_width
        )  # pictures at rest before and after, so that no cut is too near to an end to be seen
        for number, score in enumerate([*[0.0] * rest, *self._trace.score, *[0.0] * rest], start=-rest):
            found.update(content.process_frame(number, score))
            found.update(adaptive.process_frame(number, score))
        starts = np.zeros(count, dtype=bool)
        starts[[n for n in found if 0 < n < count and n not in self._not_cuts]] = True
        return starts


def _held(raw: Values) -> Flags:
    """(pictures,) the source shows the picture before once more, while things move before or after."""
    held = np.zeros(len(raw), dtype=bool)
    if len(raw) > 2:
        stir = np.maximum(raw[:-2], raw[2:])
        held[1:-1] = (stir > _STIRRED) & (raw[1:-1] < np.maximum(_IDENTICAL, _HELD * stir))
    held[:2] = False  # the first picture follows nothing
    return held


def _speed(frame: npt.NDArray[np.int64], widths: Values, held: Flags) -> Values:
    """(pictures,) picture widths/s since the last picture that was new; NaN where unknown."""
    speed = np.zeros(len(frame))
    new = np.flatnonzero(~held)
    speed[new[1:]] = widths[new[1:]] * FPS / np.diff(frame[new])
    following = np.searchsorted(new, np.flatnonzero(held))
    speed[held] = np.append(speed[new], 0.0)[following]
    return speed


def _filled(speed: Values) -> Values:
    """Unknown speeds from the known ones around them; all 0 when none is known."""
    known = np.flatnonzero(np.isfinite(speed))
    return np.interp(np.arange(len(speed)), known, speed[known]) if len(known) else np.zeros(len(speed))


def _covered_score(before: Pixels, after: Pixels, covered: Flags) -> float:
    if covered.mean() < 0.2:
        return float("inf")
    return float(cv2.absdiff(before, after)[covered].mean())


def _luma_range(grey: Pixels) -> tuple[int, int]:
    """2nd and 98th percentile."""
    summed = np.cumsum(cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel())
    low, high = np.searchsorted(summed, (0.02 * summed[-1], 0.98 * summed[-1]))
    return int(low), int(high)


def _with_fades(flat: list[bool], spread: list[int]) -> Flags:
    """(pictures,) flat, or in a fade: contrast grows picture by picture away from a flat one."""
    outside = np.array(flat, dtype=bool)
    shortest, longest = _FADE_PICTURES
    for first, end in _flag_runs(outside):
        for at, step in ((first, -1), (end - 1, 1)):
            faded: list[int] = []
            while len(faded) < longest:
                ahead = at + step
                if not 0 <= ahead < len(flat) or flat[ahead]:
                    break
                if not _FADE_LEVELS[0] <= spread[ahead] - spread[at] <= _FADE_LEVELS[1]:
                    break
                faded.append(ahead)
                at = ahead
            if len(faded) >= shortest:
                outside[faded] = True
    return outside


def _jumps(speed: Values, limit: float) -> tuple[Flags, Flags]:
    """(pictures,) shots that begin after a jump of camera motion, and the pictures inside a whip.

    A step between two pictures counts when its neighbours are as fast (a whip), or when both are known to be slow (a punch-in):
    there half the speed is enough.
    """
    count = len(speed)
    if count < 3:
        return np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    padded = np.pad(speed, 1, mode="edge")
    around = np.nan_to_num(np.stack([padded[:-2], speed, padded[2:]]))
    whip = (around[1] >= limit) & (around.mean(axis=0) >= limit)
    lone = (speed >= limit / 2) & (
        speed >= _LONE_RATIO * np.maximum(padded[:-2], padded[2:])
    )  # false where a neighbour is unknown
    fast = whip | lone
    fast[0] = False
    starts, inside = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for first, end in _flag_runs(fast):
        inside[first : end - 1] = True  # the last step of a whip lands on the first picture of what follows
        starts[end - 1] = True
    return starts, inside


def _flag_runs(flags: Flags) -> Iterable[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _runs(starts: Flags, outside: Flags) -> list[tuple[int, int]]:
    """(first, end) of stretches of pictures that are not outside and hold no start but at their head."""
    runs = []
    for first, end in _flag_runs(~outside):
        inner = first + 1 + np.flatnonzero(starts[first + 1 : end])
        runs += list(pairwise([first, *inner.tolist(), end]))
    return runs
