"""Statistics of a split of the shards, by which coordinates are normalised and references judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.units import CLIP_SIDE_PX
from pipeline.skeleton import layout
from pipeline.skeleton.local import from_local

FRAMING = (1.0, 50.0, 99.0)  # percentiles over clips


@dataclass(frozen=True)
class Statistics:
    """Statistics of a split.

    Attributes:
        mean, std: (133, 2) of local coordinates, px, over points that count.
        picture_mean, picture_std: (133, 2) of the same points in the 512 crop, px.
        seen: (133,) share of the frames in which a point counts.
        neck_std: (2,) of the neck's path about its mean in a clip, px.
        shoulders: (3,) 1st, 50th and 99th percentile over clips of shoulder width, px.
        neck_x, neck_y: (3,) the same percentiles of the neck's position, px.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    picture_mean: NDArray[np.float64]
    picture_std: NDArray[np.float64]
    seen: NDArray[np.float64]
    neck_std: NDArray[np.float64]
    shoulders: NDArray[np.float64]
    neck_x: NDArray[np.float64]
    neck_y: NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        return {name: np.asarray(value).tolist() for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Statistics":
        return cls(**{name: np.asarray(value, float) for name, value in values.items()})


class Sums:
    """Running sums for `Statistics`: float64 and about a centre near the data, so that nothing cancels."""

    def __init__(self) -> None:
        self.count = np.zeros(layout.K)
        self.frames = 0
        self.sums = np.zeros((2, 2, layout.K, 2))  # (local, picture) x (first, second power)
        self.neck = np.zeros(2)
        self.shoulders: list[float] = []
        self.places: list[NDArray[np.float64]] = []
        self._middle = np.array([0.0, CLIP_SIDE_PX / 2])[:, None, None, None]  # of local, of the picture

    def add(self, local: NDArray[np.float32], neck: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Local (F, 133, 2) and neck (F, 2), px; valid (F, 133)."""
        picture = from_local(local.astype(np.float64), neck.astype(np.float64))
        both = np.stack([local, picture])
        both -= self._middle  # in place, as what follows: this is a fifth of the time that a cache takes
        both[:, ~valid] = 0.0
        first = both.sum(1)
        self.sums += np.stack([first, np.square(both, out=both).sum(1)], 1)
        self.count += valid.sum(0)
        self.frames += len(local)
        sure = valid[:, layout.LEFT_SHOULDER] & valid[:, layout.RIGHT_SHOULDER]
        if sure.any():
            apart = local[sure, layout.LEFT_SHOULDER] - local[sure, layout.RIGHT_SHOULDER]
            self.shoulders.append(float(np.median(np.linalg.norm(apart, axis=-1))))
            self.places.append(np.median(neck[sure], 0).astype(float))
            self.neck += neck[sure].var(0) * len(local)

    def result(self) -> Statistics:
        """Return what was summed up."""
        count = np.maximum(self.count, 1)[:, None]
        means = self.sums[:, 0] / count
        spreads = np.sqrt(np.maximum(self.sums[:, 1] / count - means**2, 0))
        means = np.where(self.count[:, None] > 0, means + self._middle[:, 0], 0.0)
        places = np.percentile(self.places, FRAMING, axis=0) if self.places else np.full((3, 2), np.nan)
        widths = np.percentile(self.shoulders, FRAMING) if self.shoulders else np.full(3, np.nan)
        return Statistics(
            mean=means[0],
            std=spreads[0],
            picture_mean=means[1],
            picture_std=spreads[1],
            seen=self.count / max(1, self.frames),
            neck_std=np.sqrt(self.neck / max(1, self.frames)),
            shoulders=widths,
            neck_x=places[:, 0],
            neck_y=places[:, 1],
        )
