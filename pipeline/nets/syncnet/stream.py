"""Lip embeddings of videos that do not fit into memory: crops come frame by frame, the net runs on batches of windows."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32
from pipeline.nets.syncnet.graph import SIDE, WIDTH, WINDOW
from pipeline.nets.syncnet.net import Crops, SyncNet, windows_of


def lips_of(net: SyncNet, crops: Iterable[Crops], tracks: int) -> Floats32:
    """Embeddings (N, windows_of(T), 1024) of N face tracks, from T frames of crops (N, 224, 224, 3) BGR; N >= 1."""
    count = max(1, net.batch // tracks) + WINDOW - 1
    waiting = np.empty((tracks, count, SIDE, SIDE, 3), np.uint8)
    embeddings = [np.zeros((tracks, 0, WIDTH), np.float32)]
    held = shown = 0
    for faces in crops:
        waiting[:, held] = faces
        held, shown = held + 1, shown + 1
        if held == count:
            embeddings.append(net.lips(waiting))
            waiting[:, : WINDOW - 1] = waiting[:, count - WINDOW + 1 :]  # the next window begins with these
            held = WINDOW - 1
    embeddings.append(net.lips(waiting[:, :held]))
    return np.concatenate(embeddings, 1)[:, : windows_of(shown)]


def whole_windows(seen: NDArray[np.bool_], windows: int) -> NDArray[np.bool_]:
    """Mask (windows,) of windows whose five frames all show the face, from a mask (F,) of frames that do, F >= 5."""
    return np.asarray(np.lib.stride_tricks.sliding_window_view(seen, WINDOW).all(axis=1), bool)[:windows]
