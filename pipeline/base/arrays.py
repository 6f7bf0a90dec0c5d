"""Array types that rooms share. Separate from `units`, because numpy is not a light import."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]  # of either width
Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]
Ints = NDArray[np.int64]
Picture = NDArray[np.uint8]  # (H, W, 3) RGB
Points = NDArray[np.floating]  # (F, 133, 2) px, NaN where not seen; a pixel's centre has whole coordinates
