"""SSIM and PSNR of pictures against the true ones, as scikit-image computes them.

The paper names neither window nor colour handling. Here SSIM is that of Wang et al. (IEEE TIP 2004): a Gaussian window of sigma 1.5
cut at 11 x 11, K1 = 0.01, K2 = 0.03, a data range of 255, covariances divided by N, the mean over all windows that lie inside
the picture and then over the three channels of RGB. In scikit-image: `structural_similarity(gaussian_weights=True, sigma=1.5,
use_sample_covariance=False, data_range=255, channel_axis=2)`, which its documentation names as the way to match that paper.
torchmetrics counts windows over the mirrored edge too, and comes to slightly other values.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

Pixels = NDArray[np.uint8]

WINDOW = 11  # px; smaller pictures have no SSIM
RANGE = 255


def ssim(made: Pixels, true: Pixels) -> float:
    """Structural similarity, -1..1, of two pictures (H, W, 3), or its mean over the frames of two videos (F, H, W, 3).

    Raises:
        ValueError: not of one shape, no RGB bytes, no frame, or a side below 11 px.
        ImportError: there is no scikit-image.
    """
    return _mean(_ssim, made, true)


def psnr(made: Pixels, true: Pixels) -> float:
    """Peak signal-to-noise ratio, dB, of two pictures (H, W, 3), or its mean over the frames of two videos (F, H, W, 3).

    The squared error is taken over all pixels and channels: 10 log10(255^2 / error). Identical pictures have inf, and so has
    the mean of a video in which one frame is identical: no finite number would be honest. To leave such frames
    out, or to cap them (often at 100 dB), use `over_frames(psnr, ...)`.

    Raises:
        ValueError, ImportError: as `ssim` does, but pictures may be of any size.
    """
    return _mean(_psnr, made, true)


def over_frames(
    measure: Callable[[Pixels, Pixels], float], made: Iterable[Pixels], true: Iterable[Pixels]
) -> NDArray[np.float64]:
    """(F,) a measure of each pair of pictures (H, W, 3), for videos that do not fit into memory.

    Raises:
        ValueError: one of the two has more pictures, or as `measure` does.
    """
    return np.array([measure(a, b) for a, b in zip(made, true, strict=True)], np.float64)


def _mean(measure: Callable[[Pixels, Pixels], float], made: Pixels, true: Pixels) -> float:
    """The measure of a picture, or its mean over frames."""
    if made.shape != true.shape:
        raise ValueError(f"pictures of {made.shape} and {true.shape} cannot be compared")
    if made.dtype != np.uint8 or true.dtype != np.uint8 or made.ndim not in (3, 4) or made.shape[-1] != 3:
        raise ValueError(f"pictures are RGB bytes (H, W, 3) or (F, H, W, 3), not {made.dtype} {made.shape}")
    if not made.size:
        raise ValueError("there is no picture to compare")
    if made.ndim == 3:
        return measure(made, true)
    return float(over_frames(measure, made, true).mean())


def _ssim(made: Pixels, true: Pixels) -> float:
    """SSIM of two pictures; bit for bit what `structural_similarity` of both as a whole is.

    A window in which both are equal has exactly 1, as numerator and denominator come to the same number: of drawn skeletons, which
    are black for the most part, only the part in which they differ is looked at.
    """
    if min(made.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM uses a window of {WINDOW} px; a picture of {made.shape[:2]} is smaller")
    return float(np.mean([_of_channel(made[..., k], true[..., k]) for k in range(made.shape[2])]))


def _of_channel(made: Pixels, true: Pixels) -> float:
    edge = WINDOW // 2
    values = np.ones(made.shape)
    unlike = made != true
    if unlike.any():
        touched = _box(unlike, edge)  # windows with a pixel that differs
        whole = _box(unlike, 2 * edge)  # all that these windows see
        corner = tuple(outer.start for outer in whole)
        inner = tuple(slice(t.start - at, t.stop - at) for t, at in zip(touched, corner, strict=True))
        _, local = structural_similarity(
            made[whole],
            true[whole],
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=RANGE,
            full=True,
        )
        values[touched] = local[inner]
    return float(values[edge:-edge, edge:-edge].mean())


def _box(unlike: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Rows and columns of all that is set, and a margin around it inside the picture."""
    spans = (np.flatnonzero(unlike.any(axis)) for axis in (1, 0))
    rows, columns = (slice(max(0, int(at[0]) - margin), int(at[-1]) + 1 + margin) for at in spans)
    return rows, columns


def _psnr(made: Pixels, true: Pixels) -> float:
    if np.array_equal(made, true):  # scikit-image would divide by zero, with a warning
        return float("inf")
    return float(peak_signal_noise_ratio(true, made, data_range=RANGE))
