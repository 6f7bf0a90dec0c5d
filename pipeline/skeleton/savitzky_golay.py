"""The Savitzky-Golay filter of `scipy.signal`, without it: its import, with all of SciPy's statistics, takes a worker 0.25 s."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lstsq
from scipy.ndimage import convolve1d


def savitzky_golay(values: NDArray[np.float64], window: int, order: int) -> NDArray[np.float64]:
    """Each value replaced by that of the polynomial fitted to the window around it; at the ends, to the first and last window.

    The same bits as `scipy.signal.savgol_filter(values, window, order, axis=0, mode="interp")`.

    Args:
        values: (T, ...).
        window: frames, odd, at most T.
        order: of the polynomial, below `window`.
    """
    half = window // 2
    powers = np.arange(-half, half + 1, dtype=float)[::-1] ** np.arange(order + 1, dtype=float)[:, None]
    weights = lstsq(powers, np.eye(order + 1)[0])[0]  # of the polynomial's value in the middle
    result = np.asarray(convolve1d(values, weights, axis=0, mode="constant"))
    result[:half] = _fitted(values[:window], order)[:half]
    result[len(values) - half :] = _fitted(values[-window:], order)[window - half :]
    return result


def _fitted(values: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """The polynomials fitted to values, at all of their frames."""
    frames = np.arange(len(values), dtype=float)
    polynomials = np.polyfit(frames, values.reshape(len(values), -1), order)
    return np.polyval(polynomials, frames[:, None]).reshape(values.shape)
