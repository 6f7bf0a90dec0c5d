"""Shots: where the camera's take changes, found in one pass over small pictures.

Colour: PySceneDetect's Content and Adaptive detectors, which see the score that camera motion does not explain, so that
a pan or a zoom is no cut. Motion: a jump of global camera motion (a whip pan, a punch-in) is one, and so is a jump in
time. Flat pictures (black, white, one colour) and the fades around them belong to no shot, nor do dissolves, wipes and
irises; a flash does not end one. `gradual` finds these where most of the picture changes, `sudden` and `doubled` within one
talk, where nothing but the speaker does.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.base.arrays import Floats32
from pipeline.media.repeats import change_between, repeating
from pipeline.media.shots.colour import colour_cuts, content_score, covered_score
from pipeline.media.shots.distances import distances
from pipeline.media.shots.doubled import DoubledWatch
from pipeline.media.shots.fades import is_flat, luma_range, with_fades
from pipeline.media.shots.flags import Flags, Pixels, Values, shot_runs
from pipeline.media.shots.flash import FlashWatch
from pipeline.media.shots.footage import Footage
from pipeline.media.shots.glimpses import EVERY, Glimpses
from pipeline.media.shots.gradual import GradualWatch, very_small
from pipeline.media.shots.jump import find_jump_cuts, late_pictures, pictures_since_a_new_one, stirs
from pipeline.media.shots.learned import ShotNet, added
from pipeline.media.shots.motion import Motion, MotionMeter, compensate
from pipeline.media.shots.motion_print import MotionPrint
from pipeline.media.shots.settings import ShotSettings
from pipeline.media.shots.speed import filled_in, find_jumps, held_pictures, speeds
from pipeline.media.shots.sudden import NEAR, SuddenWatch

PIXEL_FORMAT = "coarse"  # of pictures as `GridReader` gives them
LONG_SIDE_PX = 256  # as in PySceneDetect, whose thresholds were set at about this size

_AT_REST = 0.2  # score under which looking for motion is not worth while
_EXPLAINED = 0.5  # share of a score that may remain for camera motion to be its cause
_BETTER = 0.85  # share that may remain for a motion to be believed at all
_JOLT = 0.002  # picture widths that a camera moved: whatever else changes with it is no jump in time
_LEAST_FRAMES = 5  # between two cuts; less is a part of the change, not a shot
_TOGETHER = 32  # very small pictures looked at in a row: one by one, calls cost more than what they compute
_UNKNOWN = float("nan")


def analysis_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) at which pictures are looked at: the long side 256 px, never enlarged."""
    scale = min(1.0, LONG_SIDE_PX / max(width, height))
    return max(16, round(width * scale)), max(16, round(height * scale))


@dataclass
class _Trace:
    """One value a picture (not a grid frame: what the reader repeats is not looked at again)."""

    frame: list[int] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)  # of luma, as `change_between`
    score: list[float] = field(default_factory=list)
    stir: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)  # moved since the picture before
    spread: list[int] = field(default_factory=list)
    flat: list[bool] = field(default_factory=list)


_REST = Motion(np.eye(2, 3), 0.0)


class ShotFinder:
    """Takes pictures in order and finds shots.

    Args:
        size: (width, height) of the pictures, px; see `analysis_size`.
        settings: thresholds.
        net: it may add shots; none is asked by default.
    """

    def __init__(self, size: tuple[int, int], settings: ShotSettings | None = None, net: ShotNet | None = None) -> None:
        self.settings = settings or ShotSettings()
        self._net = net
        self._meter = MotionMeter(*size)
        self._trace = _Trace()
        self._repeated: list[bool] = []
        self._last: tuple[Pixels, Pixels, Pixels] | None = None  # RGB, HSV, grey
        self._small: list[Pixels] = []  # very small pictures whose changes are not looked at yet
        self._levels: Floats32 | None = None  # (1, height, width, 3) of the one before them
        self._flashes = FlashWatch(self.settings)
        self._gradual = GradualWatch(self.settings)
        self._sudden, self._doubled = SuddenWatch(), DoubledWatch()
        self._glimpses, self._print = Glimpses(), MotionPrint()

    def feed(self, frame: int, rgb: Pixels, repeated: bool = False) -> None:
        """Look at the next picture of the grid.

        Args:
            frame: its number; consecutive.
            rgb: (height, width, 3) uint8.
            repeated: it is the picture before once more.
        """
        again = self._last if repeated else None
        grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8) if again is None else again[2]
        if frame % EVERY == 0:
            self._glimpses.see(frame, grey)
        self._print.see(frame, grey)
        self._repeated.append(again is not None)
        if again is not None:
            return
        if self._net is not None:
            self._net.see(rgb)
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
        raw, score, widths, change = 0.0, 0.0, 0.0, 0.0
        if self._last is not None:
            change = change_between(self._last[2], grey)
            raw = content_score(self._last[1], hsv)
            score, motion = self._explain(raw, rgb, hsv, grey)
            widths = motion.widths if motion else _UNKNOWN
            self._flashes.see(len(self._trace.frame), raw, self._last[1], hsv)
        self._trace.change.append(change)
        small = very_small(rgb)
        sudden = score >= self.settings.content_score
        self._doubled.see(grey, sudden)
        self._gradual.see(small, sudden)
        self._small.append(small)
        if len(self._small) == _TOGETHER:
            self._look_at_small()
        self._note(frame, raw, score, widths, grey)
        self._last = (rgb, hsv, grey)

    def finish(self) -> Footage:
        """What was found; call once, after the last picture."""
        if self._small:
            self._look_at_small()
        trace, frames = self._trace, len(self._repeated)
        at_frame = np.array(trace.frame, dtype=np.int64)
        held = held_pictures(np.array(trace.raw))
        speed = speeds(at_frame, np.array(trace.widths), held)
        starts, outside = self._edits(at_frame, held, speed)
        at = [*trace.frame, frames]
        found = [(at[a], at[b]) for a, b in shot_runs(starts, outside)]
        shots = [(a, b) for a, b in found if b - a >= _LEAST_FRAMES or a == 0 or b == frames]
        cuts = [first for first, _ in shots[1:]]
        stutters = np.zeros(frames, dtype=bool)
        stutters[trace.frame] = repeating(np.array(trace.change))
        shown = np.cumsum(~np.array(self._repeated, dtype=bool)) - 1  # the picture that each grid frame shows
        flat = float(np.mean(trace.flat)) if trace.flat else 1.0
        repeated = np.array(self._repeated, dtype=bool)
        return Footage(
            frames, cuts, shots, filled_in(speed)[shown], repeated, stutters, flat, self._glimpses, self._print
        )

    def _look_at_small(self) -> None:
        """Changes of the very small pictures since this was last done."""
        levels = np.stack(self._small).astype(np.float32)
        levels = np.concatenate([levels[:1] if self._levels is None else self._levels, levels])
        moved = distances(levels[:-1], levels[1:])
        self._sudden.see(levels[1:], moved)
        self._trace.stir += stirs(moved).tolist()
        self._small, self._levels = [], levels[-1:]

    def _edits(self, at_frame: npt.NDArray[np.int64], held: Flags, speed: Values) -> tuple[Flags, Flags]:
        """(pictures,) shots that begin, and pictures of no shot."""
        trace, settings = self._trace, self.settings
        starts = colour_cuts(trace.score, settings, self._flashes.not_cuts)
        jump_cuts = find_jump_cuts(at_frame, np.array(trace.raw), np.array(trace.stir), held, settings)
        starts |= jump_cuts & ~self._sudden.narrow()
        jumps, whips = find_jumps(speed, settings.jump_widths_per_second)
        starts |= jumps
        outside = with_fades(trace.flat, trace.spread) | whips | self._gradual.inside()
        not_cuts = late_pictures(pictures_since_a_new_one(at_frame, held), held)
        not_cuts |= np.array(trace.widths) > _JOLT
        not_cuts[list(self._flashes.not_cuts)] = True
        more_starts, more_outside = self._sudden.beyond(starts, outside, not_cuts)
        starts, outside = starts | more_starts, outside | more_outside
        outside |= self._doubled.beyond(starts | outside, NEAR, np.array(trace.widths))
        if self._net is not None:
            more_starts, more_outside = added(*self._net.finish(), starts, outside, settings.net_threshold)
            starts, outside = starts | more_starts, outside | more_outside
        return starts, outside

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
            rest = covered_score(cv2.cvtColor(moved, cv2.COLOR_RGB2HSV), hsv, covered)
            if rest <= _BETTER * raw:
                return (rest if rest <= _EXPLAINED * raw else raw), guess
        return raw, None

    def _note(self, frame: int, raw: float, score: float, widths: float, grey: Pixels) -> None:
        low, high = luma_range(grey)
        trace = self._trace
        trace.frame.append(frame)
        trace.raw.append(raw)
        trace.score.append(score)
        trace.widths.append(widths)
        trace.spread.append(high - low)
        trace.flat.append(is_flat(low, high))
