"""Gradual transitions (dissolve, wipe, iris): looked for in windows of several lengths over very small pictures."""

from collections import deque
from math import ceil, floor

import cv2
import numpy as np

from pipeline.media.shots.blend import Blend, ends_differ, fit_blend, likeness, off_the_way
from pipeline.media.shots.flags import Flags, Pixels
from pipeline.media.shots.settings import ShotSettings

_SIDE_PX = 48  # long side of what is looked at
_WINDOWS = (24, 40, 72, 100)  # pictures; transitions of 6 to 90 fit into one
_STRIDES = 6  # a window begins so many times in its own length
_PLATEAU = 2.5  # pictures of one shot alone at either end of a window
_SHORTEST = 6  # pictures; what is shorter is a cut with blended neighbours, for which guard bands are there
_LOOSE = 2  # times the unexplained share that three pictures may show before the fit is tried
_DIFFERENT = 0.93  # of the greatest change among windows over one transition: they show all of it


def very_small(rgb: Pixels) -> Pixels:
    """The picture (height, width, 3) with a long side of 48 px."""
    height, width = rgb.shape[:2]
    scale = min(1.0, _SIDE_PX / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    if width % 2 == height % 2 == 0 and width >= 2 * size[0] and height >= 2 * size[1]:
        rgb = cv2.resize(
            rgb, (width // 2, height // 2), interpolation=cv2.INTER_AREA
        )  # halved first: a sixth of the time
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


class GradualWatch:
    """Follows very small pictures and notes the transitions among them; keeps the last hundred.

    Args:
        settings: thresholds.
    """

    def __init__(self, settings: ShotSettings) -> None:
        self._settings = settings
        self._last: deque[Pixels] = deque(maxlen=max(_WINDOWS))
        self._count = 0
        self._found: list[tuple[float, float, Blend]] = []

    def see(self, picture: Pixels, sudden: bool = False) -> None:
        """Look at the next picture.

        Args:
            picture: made by `very_small`.
            sudden: a hard cut lies before it, so that no transition reaches across.
        """
        if sudden:
            self._last.clear()
        self._last.append(picture)
        self._count += 1
        for length in _WINDOWS:
            if self._count % max(4, length // _STRIDES) == 0 and len(self._last) >= length:
                self._try(length)

    def inside(self) -> Flags:
        """(pictures,) the picture belongs to a transition; known to about a picture, so that guard bands are still needed."""
        flags = np.zeros(self._count, dtype=bool)
        for first, end in _best(self._found):
            flags[max(0, floor(first)) : ceil(end)] = True
        return flags

    def _try(self, length: int) -> None:
        settings = self._settings
        at = len(self._last) - length
        if not ends_differ(self._last[at], self._last[-1], settings.blend_share, settings.blend_score):
            return
        if likeness((self._last[at], self._last[at + 1]), (self._last[-2], self._last[-1])) > settings.blend_likeness:
            return
        between = [self._last[at + length * k // 4] for k in (1, 2, 3)]
        if off_the_way(self._last[at], self._last[-1], between) > _LOOSE * settings.blend_unexplained:
            return
        blend = fit_blend(np.stack([self._last[k] for k in range(at, len(self._last))]))
        if blend is None or blend.unexplained > settings.blend_unexplained:
            return
        if blend.first < _PLATEAU or blend.end > length - _PLATEAU or blend.end - blend.first < _SHORTEST:
            return
        start = self._count - length
        self._found.append((start + blend.first, start + blend.end, blend))


def _best(found: list[tuple[float, float, Blend]]) -> list[tuple[float, float]]:
    """(first, end) of each transition, by the fit that explains most among those that show all of it."""
    groups: list[list[tuple[float, float, Blend]]] = []
    reach = -np.inf
    for fit in sorted(found, key=lambda f: f[0]):
        if fit[0] >= reach:
            groups.append([])
        groups[-1].append(fit)
        reach = max(reach, fit[1]) if len(groups[-1]) > 1 else fit[1]
    best = []
    for group in groups:
        most = max(blend.change for _, _, blend in group)
        whole = [fit for fit in group if fit[2].change >= _DIFFERENT * most]
        first, end, _ = min(whole, key=lambda fit: fit[2].unexplained)
        best.append((first, end))
    return best
