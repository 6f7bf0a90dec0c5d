"""Inception of 5 December 2015, the net of the FID (Heusel et al., NeurIPS 2017): a picture's 2048 features.

Two forms, told apart by the file:

* TorchScript, `inception-2015-12-05.pt` of NVlabs' stylegan2-ada-pytorch, a translation of TensorFlow's own graph. It takes RGB
  0..255 of any size, brings it to 299 x 299 as TensorFlow 1 did (an affine grid that undoes the half-pixel shift, bilinear, no
  antialiasing), maps v to (v - 128) / 128, and with `return_features=True` gives what enters the last layer. So pictures go in as
  they are, as in NVlabs' `metrics/frechet_inception_distance.py`.
* ONNX, N x 3 x 299 x 299 -> N x 2048: RGB, resized here in the same way, (v - 128) / 128.

clean-fid resizes with antialiasing, pytorch-fid with torch's half-pixel rule: numbers differ between the three,
so compare only what was computed by one.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32, Picture
from pipeline.metrics.feature_net import checked, open_net
from pipeline.nets.session import Device, ModelRefused

SIDE = 299
WIDTH = 2048


class Inception:
    """Features of pictures.

    Args:
        path: of the net, ONNX or TorchScript; the hash of a TorchScript file must have been checked.
        device: "cpu" or "cuda".
        batch: pictures a run.
        threads: processor threads of an ONNX net; 0 takes one a core.

    Raises:
        FileNotFoundError, ModelRefused, DeviceMissing: it cannot be opened, or is another net.
    """

    def __init__(self, path: Path, device: Device = "cpu", batch: int = 16, threads: int = 0) -> None:
        self._net = open_net(path, device, threads, {"return_features": True})
        self._batch = self._net.batch or batch
        takes = self._net.takes
        if takes is not None and takes[1:] != (3, SIDE, SIDE):
            raise ModelRefused(f"Inception takes N x 3 x {SIDE} x {SIDE}; {path} takes {takes}")

    def __call__(self, pictures: Iterable[Picture]) -> Iterator[Floats32]:
        """Batches (n, 2048) of RGB pictures (H, W, 3), uint8, in their order; sizes may change between pictures.

        Raises:
            BadFeatures: the net gave something else than finite features.
            ValueError: what is no RGB picture.
        """
        for _, alike in groupby(map(_rgb, pictures), key=np.shape):
            while batch := list(islice(alike, self._batch)):
                yield checked(self._net.run(self._prepared(batch)), len(batch), WIDTH, "Inception")

    def _prepared(self, batch: list[Picture]) -> Floats32:
        """(n, 3, H, W), as the net's form wants them."""
        if self._net.takes is None:
            return np.stack(batch).transpose(0, 3, 1, 2).astype(np.float32)
        small = np.stack([resized(picture) for picture in batch])
        return np.ascontiguousarray((small.transpose(0, 3, 1, 2) - 128) / 128, np.float32)


def resized(picture: Picture, side: int = SIDE) -> Floats32:
    """A picture (H, W, 3) at (side, side, 3) as TensorFlow 1's bilinear resize makes it: pixel i looks at i x W / side."""
    rows, columns = (_taps(extent, side) for extent in picture.shape[:2])
    (top, bottom, down), (left, right, along) = rows, columns
    values = picture.astype(np.float32)
    wide = values[top] * (1 - down)[:, None, None] + values[bottom] * down[:, None, None]
    return np.asarray(wide[:, left] * (1 - along)[:, None] + wide[:, right] * along[:, None], np.float32)


def _taps(extent: int, side: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats32]:
    """Which two pixels each new one mixes, and the second one's share; the last pixel goes on beyond the edge."""
    at = np.arange(side) * (extent / side)
    low = np.floor(at).astype(np.intp)
    return low, np.minimum(low + 1, extent - 1), (at - low).astype(np.float32)


def _rgb(picture: Picture) -> Picture:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise ValueError(f"Inception sees RGB pictures (H, W, 3) of bytes, not {picture.dtype} {picture.shape}")
    return picture
