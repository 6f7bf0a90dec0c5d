"""Flashes: sudden changes that take themselves back, and so end no shot."""

from dataclasses import dataclass

from pipeline.media.shots.colour import content_score
from pipeline.media.shots.flags import Pixels
from pipeline.media.shots.settings import ShotSettings

_GONE = 0.5  # share of a change's score under which the picture is as it was before


@dataclass
class _Flash:
    """A sudden change that may take itself back."""

    picture: int
    before: Pixels
    score: float


class FlashWatch:
    """Follows sudden changes for a few pictures.

    Args:
        settings: thresholds.

    Attributes:
        not_cuts: pictures of changes that took themselves back.
    """

    def __init__(self, settings: ShotSettings) -> None:
        self.settings = settings
        self.not_cuts: set[int] = set()
        self._waiting: list[_Flash] = []

    def see(self, picture: int, score: float, before: Pixels, after: Pixels) -> None:
        """Look at a picture.

        Args:
            picture: its number.
            score: content score against the picture before.
            before, after: (H, W, 3) HSV, the picture before and this one.
        """
        waiting = []
        for flash in self._waiting:
            if content_score(flash.before, after) < min(_GONE * flash.score, self.settings.adaptive_score):
                self.not_cuts.update(range(flash.picture, picture + 1))
            elif picture - flash.picture < self.settings.flash_pictures:
                waiting.append(flash)
        self._waiting = waiting
        if score >= self.settings.adaptive_score and self.settings.flash_pictures > 0:
            self._waiting.append(_Flash(picture, before, score))
