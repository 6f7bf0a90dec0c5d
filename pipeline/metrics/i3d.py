"""I3D trained on Kinetics-400, the net of the FVD (Unterthiner et al., 2018): the 400 logits of a short clip.

Two forms, told apart by the file:

* TorchScript, `i3d_torchscript.pt` of StyleGAN-V (Skorokhodov et al., CVPR 2022), a translation of the original FVD code's net.
  It is called as in its `metrics/frechet_video_distance.py`: `rescale=True, resize=True, return_features=True` on (B, 3, T, H, W),
  RGB 0..255 of any size, so that it maps v to 2 v / 255 - 1 and brings the pictures to 224 x 224 itself, aspect not kept.
* ONNX, N x 3 x T x 224 x 224 -> N x 400: RGB -1..1, brought to 224 x 224 here (bilinear, half-pixel rule, no antialiasing, aspect
  not kept).

The paper does not say which frames its FVD looks at. Clips of 16 frames are what StyleGAN-V reports as FVD_16 and most others do. A
generated video is longer: here it is cut into 16 frames after 16, and what is left over at the end is not used.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32
from pipeline.metrics.feature_net import checked, open_net
from pipeline.nets.session import Device, ModelRefused

Clip = NDArray[np.uint8]

SIDE = 224
WIDTH = 400
LENGTH = 16  # frames a clip
SHORTEST = 9  # frames: with fewer, nothing is left after the net's last pooling


class I3D:
    """Features of clips.

    Args:
        path: of the net, ONNX or TorchScript; the hash of a TorchScript file must have been checked.
        device: "cpu" or "cuda".
        batch: clips a run.
        threads: processor threads of an ONNX net; 0 takes one a core.

    Raises:
        FileNotFoundError, ModelRefused, DeviceMissing: it cannot be opened, or is another net.
    """

    def __init__(self, path: Path, device: Device = "cpu", batch: int = 4, threads: int = 0) -> None:
        options = {"rescale": True, "resize": True, "return_features": True}
        self._net = open_net(path, device, threads, options)
        self._batch = self._net.batch or batch
        takes = self._net.takes
        if takes is not None and (len(takes) != 5 or takes[1] != 3 or takes[3:] != (SIDE, SIDE)):
            raise ModelRefused(f"I3D takes N x 3 x T x {SIDE} x {SIDE}; {path} takes {takes}")
        self._frames = takes[2] if takes is not None and isinstance(takes[2], int) else None

    def __call__(self, clips: Iterable[Clip]) -> Iterator[Floats32]:
        """Batches (n, 400) of RGB clips (T, H, W, 3), uint8, in their order; sizes may change between clips.

        Raises:
            BadFeatures: the net gave something else than finite features.
            ValueError: what is no RGB clip of at least 9 frames.
        """
        for (frames, *_), alike in groupby(map(_rgb, clips), key=np.shape):
            if self._frames not in (None, frames):
                raise ValueError(f"this I3D takes clips of {self._frames} frames, not of {frames}")
            while batch := list(islice(alike, self._batch)):
                yield checked(self._net.run(self._prepared(batch)), len(batch), WIDTH, "I3D")

    def _prepared(self, batch: list[Clip]) -> Floats32:
        """(n, 3, T, H, W), as the net's form wants them."""
        if self._net.takes is None:
            return np.stack(batch).transpose(0, 4, 1, 2, 3).astype(np.float32)
        small = np.stack([[_small(picture) for picture in clip] for clip in batch])
        return np.ascontiguousarray(2 * small.transpose(0, 4, 1, 2, 3) / 255 - 1, np.float32)


def clips_of(pictures: Iterable[NDArray[np.uint8]], length: int = LENGTH, stride: int = LENGTH) -> Iterator[Clip]:
    """Clips (length, H, W, 3) of a video's pictures (H, W, 3): one starts at every `stride`-th frame that has enough after it.

    Raises:
        ValueError: `length` or `stride` is below 1.
    """
    if length < 1 or stride < 1:
        raise ValueError(f"a clip has at least one frame and the next begins later: {length=}, {stride=}")
    held: list[NDArray[np.uint8]] = []
    skip = 0
    for picture in pictures:
        if skip:
            skip -= 1
            continue
        held.append(picture)
        if len(held) == length:
            yield np.stack(held)
            held, skip = held[stride:], max(0, stride - length)


def _small(picture: NDArray[np.uint8]) -> Floats32:
    return np.asarray(cv2.resize(picture.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.float32)


def _rgb(clip: Clip) -> Clip:
    if clip.ndim != 4 or clip.shape[3] != 3 or clip.dtype != np.uint8 or len(clip) < SHORTEST or not clip.size:
        raise ValueError(
            f"I3D sees RGB clips (T, H, W, 3) of bytes, {SHORTEST} frames or more, not {clip.dtype} {clip.shape}"
        )
    return clip
