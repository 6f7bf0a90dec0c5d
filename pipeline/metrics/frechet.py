"""The Frechet distance of two sets of features, each modelled as a Gaussian: FID, FVD and their like.

Heusel et al. (NeurIPS 2017): |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), with covariances divided by N - 1 as in `numpy.cov`
and the usual implementations. Features come in batches and are not kept. The distance of few samples is too large: say N beside it.

    made = Gaussian(inception.WIDTH)
    for features in Inception(path)(pictures):
        made.add(features)
    fid = frechet_distance(made, true)
"""

import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64


class FewSamples(UserWarning):
    """Warned of a covariance from no more samples than dimensions: the distance is finite, but much too large."""


@dataclass
class Gaussian:
    """Mean and covariance of features, accumulated batch by batch in float64.

    What is kept is the mean and the sum of outer products about it, joined as Chan et al. (1979) do: plain sums of
    squares would lose the digits of features whose mean is far from zero.

    Attributes:
        width: D, numbers a sample.
        count: N, samples so far.
        mean: (D,).
        scatter: (D, D) sum of outer products of deviations from the mean.
    """

    width: int
    count: int = 0
    mean: Floats64 = field(init=False)
    scatter: Floats64 = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.scatter = np.zeros(self.width), np.zeros((self.width, self.width))

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> "Gaussian":
        """The Gaussian of features (N, D)."""
        return cls(np.shape(features)[-1]).add(features)

    def add(self, features: NDArray[np.floating]) -> "Gaussian":
        """Add a batch (N, D), N may be 0; returns itself. ValueError: another width, or values that are not finite."""
        batch = np.asarray(features, np.float64)
        if batch.ndim != 2 or batch.shape[1] != self.width:
            raise ValueError(f"features of shape {batch.shape} do not fit a Gaussian of width {self.width}")
        if not np.isfinite(batch).all():
            raise ValueError("some features are not finite")
        if len(batch):
            mean = batch.mean(0)
            self._join(len(batch), mean, (batch - mean).T @ (batch - mean))
        return self

    def merge(self, other: "Gaussian") -> "Gaussian":
        """Add the samples of another one; returns itself. ValueError: another width."""
        if other.width != self.width:
            raise ValueError(f"Gaussians of widths {self.width} and {other.width} cannot be joined")
        if other.count:
            self._join(other.count, other.mean, other.scatter)
        return self

    def _join(self, count: int, mean: Floats64, scatter: Floats64) -> None:
        total, away = self.count + count, mean - self.mean
        self.scatter = self.scatter + scatter + np.outer(away, away) * (self.count * count / total)
        self.mean = self.mean + away * (count / total)
        self.count = total

    @property
    def covariance(self) -> Floats64:
        """(D, D), divided by N - 1. ValueError with fewer than two samples."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least two samples; there are {self.count}")
        return self.scatter / (self.count - 1)


def frechet_distance(made: Gaussian, true: Gaussian) -> float:
    """The distance, at least 0, in squared units of the features; symmetric.

    The trace of the root is the sum of the singular values of sqrt(C1) sqrt(C2): those are the square roots of the eigenvalues of
    sqrt(C1) C2 sqrt(C1), found without squaring the rounding errors. Eigenvalues that rounding made negative count as 0, so that
    singular covariances need no offset and nothing becomes complex.

    Warns:
        FewSamples: one of the two has no more samples than dimensions.

    Raises:
        ValueError: other widths, or fewer than two samples.
    """
    if made.width != true.width:
        raise ValueError(f"Gaussians of widths {made.width} and {true.width} cannot be compared")
    one, other = made.covariance, true.covariance
    if (fewest := min(made.count, true.count)) <= made.width:
        warnings.warn(
            f"{fewest} samples for {made.width} dimensions: the Frechet distance of so few is far too large",
            FewSamples,
            stacklevel=2,
        )
    shared = np.linalg.svd(_root(one) @ _root(other), compute_uv=False).sum()
    apart = np.square(made.mean - true.mean).sum()
    return float(max(0.0, apart + np.trace(one) + np.trace(other) - 2 * shared))


def _root(covariance: Floats64) -> Floats64:
    """The symmetric square root of a covariance (D, D)."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
