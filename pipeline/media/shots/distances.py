"""How far places of two very small pictures lie apart, in levels of RGB."""

import numpy as np

from pipeline.base.arrays import Floats32


def distances(before: Floats32, after: Floats32) -> Floats32:
    """(..., height, width) distance of each place of two pictures (..., height, width, 3), levels of RGB."""
    moved = after - before
    return np.asarray(np.sqrt(np.einsum("...c,...c->...", moved, moved)), np.float32)
