"""How one file is to be read: what a look at it decided, kept in `videos`, so that all stages read it alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.media.clock import Clock


@dataclass(frozen=True)
class Reading:
    """How to read one file; by default, one with nothing odd about it.

    Attributes:
        clock: how its times are mended.
        sound_track: index of the stream with the voice; None for the default one.
        combed: which pictures are deinterlaced, as `combing.Combing.rule`; None for those whose flags say so.
    """

    clock: Clock = field(default_factory=Clock)
    sound_track: int | None = None
    combed: str | None = None

    @classmethod
    def of(cls, video: Mapping[str, Any]) -> "Reading":
        """The reading that a row of `videos` holds; a row of before has nothing odd about it."""
        return cls(Clock.of(video.get("clock")), video.get("sound_track"), video.get("combed"))


AS_IT_STANDS = Reading()
"""Of files in which nothing is odd, such as our own clips."""
