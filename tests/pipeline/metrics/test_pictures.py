"""SSIM and PSNR against torchmetrics, and against their formulas."""

import cv2
import numpy as np
import pytest

from pipeline.metrics.pictures import over_frames, psnr, ssim
from tests.pipeline.metrics.references import torchmetrics

pytest.importorskip("skimage", reason="needs scikit-image")


def pictures(frames: int = 3, height: int = 70, width: int = 92, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth video (F, H, W, 3) and the same with noise."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (frames, 6, 8, 3), dtype=np.uint8)
    true = np.stack([cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC) for picture in small])
    noisy = np.clip(true + rng.normal(0, 12, true.shape), 0, 255)
    return noisy.astype(np.uint8), true


def test_ssim_is_torchmetrics() -> None:
    torchmetrics()
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure as reference

    made, true = pictures()
    a, b = (torch.from_numpy(video.transpose(0, 3, 1, 2)).double() for video in (made, true))
    _, full = reference(a, b, sigma=1.5, data_range=255.0, return_full_image=True)
    inside = full[..., 5:-5, 5:-5]  # torchmetrics also counts windows that reach over the edge, into a mirror image
    assert ssim(made, true) == pytest.approx(float(inside.mean()), rel=1e-3)
    assert ssim(made, true) < 0.95


def test_ssim_is_its_formula() -> None:
    """Wang et al., 2004: written out for one channel."""
    made, true = pictures(1)
    kernel = cv2.getGaussianKernel(11, 1.5)
    values = []
    for channel in range(3):
        x, y = made[0, ..., channel].astype(float), true[0, ..., channel].astype(float)
        mx, my, xx, yy, xy = (cv2.sepFilter2D(v, -1, kernel, kernel)[5:-5, 5:-5] for v in (x, y, x * x, y * y, x * y))
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        top = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
        values.append((top / ((mx**2 + my**2 + c1) * (xx - mx**2 + yy - my**2 + c2))).mean())
    assert ssim(made[0], true[0]) == pytest.approx(np.mean(values), rel=1e-6)


@pytest.mark.parametrize(
    "where",
    [
        (slice(20, 41), slice(30, 50)),
        (slice(0, 1), slice(0, 1)),
        (slice(69, 70), slice(91, 92)),
        (slice(0, 70), slice(4, 9)),
        (slice(0, 70), slice(0, 92)),
        (slice(0, 0), slice(0, 0)),
    ],
)
@pytest.mark.parametrize("ground", ["black", "smooth"])
def test_ssim_of_pictures_alike_but_for_a_part_is_bit_for_bit_that_of_the_whole(
    where: tuple[slice, slice], ground: str
) -> None:
    """Not looking at what is alike changes no bit: also where one channel alone differs, and at the edges."""
    from skimage.metrics import structural_similarity

    noisy, smooth = pictures(1)
    true = smooth[0] * (ground == "smooth")
    for channels in (slice(0, 3), slice(1, 2)):
        made = true.copy()
        made[where][..., channels] = noisy[0][where][..., channels]
        whole = structural_similarity(
            made, true, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2
        )
        assert ssim(made, true) == whole


def test_psnr_is_torchmetrics() -> None:
    torchmetrics()
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio as reference

    made, true = pictures()
    each = [
        float(reference(torch.from_numpy(a).double(), torch.from_numpy(b).double(), data_range=255.0))
        for a, b in zip(made, true, strict=True)
    ]
    np.testing.assert_allclose(over_frames(psnr, made, true), each, rtol=1e-3)
    assert psnr(made, true) == pytest.approx(np.mean(each), rel=1e-3)


def test_what_is_known() -> None:
    _, true = pictures()
    assert ssim(true, true) == pytest.approx(1) and psnr(true, true) == float("inf")
    brighter = (true // 2 + 10).astype(np.uint8)
    assert psnr((brighter + 10).astype(np.uint8), brighter) == pytest.approx(20 * np.log10(25.5))
    half = np.concatenate([true[:1], brighter[1:]])
    assert psnr(half, true) == float("inf"), "a mean over an identical frame has no finite value"


def test_what_cannot_be_compared() -> None:
    made, true = pictures()
    for a, b in ((made[:2], true), (made.astype(float), true), (made[..., 0], true[..., 0]), (made[:0], true[:0])):
        for measure in (ssim, psnr):
            with pytest.raises(ValueError, match=r"cannot be compared|are RGB bytes|no picture to compare"):
                measure(a, b)
    with pytest.raises(ValueError, match="window of 11 px"):
        ssim(made[:, :10], true[:, :10])
    with pytest.raises(ValueError, match="is longer than"):
        over_frames(psnr, made[:2], true)
