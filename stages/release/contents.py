"""What a release holds: which measures are published, and the counts for its index and card."""

from collections import Counter
from dataclasses import dataclass, field

from pipeline.base.units import FPS
from pipeline.shards.format import shard_measures

_PRIVATE_KINDS = ("attributes", "speakers")  # guesses at age, sex and descent of people who were not asked


@dataclass
class Counts:
    """What a release holds, for its index and its card."""

    speakers: int = 0
    clips: int = 0
    videos: int = 0
    frames: int = 0
    smoothed: int = 0
    licences: Counter[str] = field(default_factory=Counter)
    speech_types: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)

    @property
    def hours(self) -> float:
        return self.frames / FPS / 3600


def measures() -> dict[str, tuple[str, ...]]:
    """Table kind -> the measures that are published: those of shards but for the estimated attributes of persons."""
    return {kind: names for kind, names in shard_measures().items() if kind not in _PRIVATE_KINDS}
