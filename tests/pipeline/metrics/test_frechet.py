"""The Frechet distance against SciPy, torchmetrics and Gaussians whose distance is known; streaming against numpy.cov."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from pipeline.metrics.frechet import FewSamples, Gaussian, frechet_distance
from tests.pipeline.metrics.references import torchmetrics


def features(count: int, width: int = 12, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    """(count, width) correlated numbers."""
    rng = np.random.default_rng([seed, width])
    return rng.standard_normal((count, width)) @ rng.standard_normal((width, width)) + shift


def of(mean: np.ndarray, covariance: np.ndarray) -> Gaussian:
    """A Gaussian that is known."""
    made = Gaussian(len(mean), 10**6)
    made.mean, made.scatter = np.asarray(mean, float), np.asarray(covariance, float) * (10**6 - 1)
    return made


def test_it_is_what_scipy_makes_of_it() -> None:
    one, other = features(300), features(200, seed=1, shift=0.7)
    c1, c2 = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    expected = np.square(one.mean(0) - other.mean(0)).sum() + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    found = frechet_distance(Gaussian.of(one), Gaussian.of(other))
    assert found == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(Gaussian.of(other), Gaussian.of(one)) == pytest.approx(found, rel=1e-9)


def test_it_is_what_torchmetrics_makes_of_it() -> None:
    torchmetrics()
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Eight(torch.nn.Module):
        num_features = 8

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return pictures.double().reshape(len(pictures), 8, -1).mean(-1)

    rng = np.random.default_rng(3)
    made = rng.integers(0, 256, (60, 3, 8, 16), dtype=np.uint8)
    true = rng.integers(0, 200, (80, 3, 8, 16), dtype=np.uint8)
    metric = FrechetInceptionDistance(Eight(), normalize=False, input_img_size=(3, 8, 16)).set_dtype(torch.float64)
    metric.update(torch.from_numpy(made), real=False)
    metric.update(torch.from_numpy(true), real=True)
    one, other = (Gaussian.of(Eight()(torch.from_numpy(pictures)).numpy()) for pictures in (made, true))
    assert frechet_distance(one, other) == pytest.approx(float(metric.compute()), rel=1e-3)


def test_gaussians_of_known_distance() -> None:
    a, b = np.array([4.0, 1.0, 0.0]), np.array([9.0, 1.0, 0.25])
    found = frechet_distance(of(np.zeros(3), np.diag(a)), of(np.array([1.0, 2, 2]), np.diag(b)))
    assert found == pytest.approx(9 + np.square(np.sqrt(a) - np.sqrt(b)).sum())
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    turned = frechet_distance(
        of(np.zeros(3), turn @ np.diag(a) @ turn.T), of(turn @ [1.0, 2, 2], turn @ np.diag(b) @ turn.T)
    )
    assert turned == pytest.approx(found)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.floats(-1e6, 1e6))
def test_batches_are_not_results(sizes: list[int], shift: float) -> None:
    """However it is cut, and however far from zero: the covariance of all."""
    total = sum(sizes)
    rows = features(total + 2, 4, shift=shift)
    gathered, at = Gaussian(4), 0
    for size in (*sizes, 2):
        gathered.merge(Gaussian(4).add(rows[at : at + size])) if at % 2 else gathered.add(rows[at : at + size])
        at += size
    assert gathered.count == total + 2
    np.testing.assert_allclose(gathered.mean, rows.mean(0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(gathered.covariance, np.cov(rows, rowvar=False), rtol=1e-6, atol=1e-6)


def test_the_same_set_has_no_distance_to_itself() -> None:
    rows = Gaussian.of(features(100))
    assert frechet_distance(rows, rows) == pytest.approx(0, abs=1e-9)


def test_fewer_samples_than_dimensions_give_a_finite_number_and_a_warning() -> None:
    one, other = Gaussian.of(features(5, 40)), Gaussian.of(features(6, 40, seed=1))
    with pytest.warns(FewSamples, match="5 samples for 40 dimensions"):
        found = frechet_distance(one, other)
    assert np.isfinite(found) and found > 0
    with pytest.warns(FewSamples):
        assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        still = Gaussian.of(np.ones((60, 40)))  # nothing moves: no root of noise
        assert frechet_distance(still, Gaussian.of(np.ones((60, 40)) + 1)) == pytest.approx(40)


def test_what_has_no_distance() -> None:
    rows = Gaussian.of(features(20))
    for count in (0, 1):
        with pytest.raises(ValueError, match=f"at least two samples; there are {count}"):
            frechet_distance(Gaussian.of(features(20)[:count]), rows)
    with pytest.raises(ValueError, match="widths 3 and 12"):
        frechet_distance(Gaussian(3), rows)
    with pytest.raises(ValueError, match="cannot be joined"):
        Gaussian(3).merge(rows)
    with pytest.raises(ValueError, match="do not fit"):
        rows.add(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="not finite"):
        Gaussian(2).add(np.array([[1.0, np.nan]]))
