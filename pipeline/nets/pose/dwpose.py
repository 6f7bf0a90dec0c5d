"""133 keypoints a person with DWPose or any model of its signature (RTMW among them), batched over people and pictures.

Input N x 3 x H x W (384 x 288), RGB, normalised as ImageNet; a net of `pipeline.nets.pose.prepare` takes N x H x W x 3 bytes and
normalises them itself. Outputs are SimCC rows, their peaks, or heat maps: `pipeline.nets.pose.decoders` tells them apart.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.base.arrays import Picture
from pipeline.nets.footage import footage_of
from pipeline.nets.pose.batches import is_served, on_gpu, rows_of
from pipeline.nets.pose.decoders import decoder_of
from pipeline.skeleton.layout import K

if TYPE_CHECKING:
    import onnxruntime

Crop = tuple[NDArray[np.float32] | Picture, NDArray[np.float64]]
Pose = tuple[NDArray[np.float32], NDArray[np.float32]]

PADDING = 1.25
MEAN = np.array([123.675, 116.28, 103.53])
STD = np.array([58.395, 57.12, 57.375])
LEVELS = ((np.arange(256)[:, None] - MEAN) / STD).astype(np.float32)  # (256, 3): a byte's normalised value, by channel


class PoseEstimator(Protocol):
    """What annotation needs of a pose net: its batch size, the number of concurrent runs, and the two halves of `estimate`."""

    batch: int
    lanes: int

    @property
    def footage(self) -> str:
        """The only footage that the net can see; "" when it sees any."""

    def prepare_crop(self, picture: Picture, box: ArrayLike) -> Crop:
        """A person's input, and the affine from it back to the picture."""

    def run(self, crops: Sequence[Crop]) -> Pose:
        """Poses of prepared crops."""


class PoseNet:
    """A whole-body pose net.

    Args:
        session: of the model.
        batch: people a run, where the model takes any number.
        workers: threads that prepare crops while the net runs.
        size: (height, width) of the input, for models that leave it open.

    Raises:
        ValueError: the model takes no pictures, or its outputs have an unknown form.
    """

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        batch: int = 16,
        workers: int = 2,
        size: tuple[int, int] = (384, 288),
    ) -> None:
        source, outputs = session.get_inputs()[0], session.get_outputs()
        decode = decoder_of([o.shape for o in outputs], session)
        self._bytes = len(source.shape) == 4 and source.shape[3] == 3 and source.type == "tensor(uint8)"
        if len(source.shape) != 4 or (source.shape[1] != 3 and not self._bytes) or decode is None:
            raise ValueError(
                "a pose net takes N x 3 x H x W and gives two SimCC outputs, or heat maps N x 133 x h x w; this model takes "
                f"{source.shape} and gives {[o.shape for o in outputs]}"
            )
        self.decode = decode
        self._session, self._input = session, source.name
        self._outputs = [o.name for o in outputs]
        sides = source.shape[1:3] if self._bytes else source.shape[2:]
        self.height, self.width = (s if isinstance(s, int) else size[i] for i, s in enumerate(sides))
        self._fixed = isinstance(source.shape[0], int)
        self.batch = source.shape[0] if self._fixed else batch
        self.workers = workers
        self._padded = on_gpu(session) and not is_served(session)
        # One run keeps a CPU busy; a GPU would wait while the batch before is decoded and the next is gathered.
        self.lanes = 2 if on_gpu(session) or is_served(session) else 1

    @property
    def footage(self) -> str:
        return footage_of(self._session)

    def prepare_crop(self, picture: Picture, box: ArrayLike) -> Crop:
        """The net's input for one person.

        Args:
            picture: (H, W, 3) RGB.
            box: x1, y1, x2, y2 in its pixels; it may leave the picture.

        Returns:
            (h, w, 3) bytes, or (3, h, w) float32, normalised, where the net does not do so itself; and the affine (2, 3) from the
            net's pixels back to the picture's.
        """
        extent, x, y = _framing(np.asarray(box, np.float64), self.width, self.height)
        forward = _affine(extent, x, y, self.width, self.height)
        warped = cv2.warpAffine(picture, forward, (self.width, self.height), flags=cv2.INTER_LINEAR)
        scale = extent / self.width
        back = np.array([[scale, 0, x - extent / 2], [0, scale, y - scale * self.height / 2]])
        if self._bytes:
            return np.asarray(warped, np.uint8), back
        crop = np.empty((3, self.height, self.width), np.float32)
        for channel, plane in enumerate(cv2.split(warped)):
            cv2.LUT(plane, LEVELS[:, channel].copy(), dst=crop[channel])
        return crop, back

    def run(self, crops: Sequence[Crop]) -> Pose:
        """Keypoints (N, 133, 2) float32 in picture pixels, NaN where not found, and scores (N, 133) in 0..1."""
        if not crops:
            return np.empty((0, K, 2), np.float32), np.empty((0, K), np.float32)
        parts = [self._run(crops[i : i + self.batch]) for i in range(0, len(crops), self.batch)]
        return np.concatenate([p for p, _ in parts]), np.concatenate([s for _, s in parts])

    def _run(self, crops: Sequence[Crop]) -> Pose:
        first = crops[0][0]
        rows = self.batch if self._fixed else rows_of(len(crops), self.batch, padded=self._padded)
        inputs = np.zeros((rows, *first.shape), first.dtype)
        np.stack([crop for crop, _ in crops], out=inputs[: len(crops)])
        outputs = [part[: len(crops)] for part in self._session.run(self._outputs, {self._input: inputs})]
        if outputs[0].shape[1] != K:
            raise ValueError(f"the model gives {outputs[0].shape[1]} keypoints, not {K}")
        points, scores = self.decode(outputs, (self.height, self.width))
        return _to_picture(points, np.stack([back for _, back in crops])), np.clip(scores, 0, 1)

    def estimate(self, pictures: Sequence[Picture], boxes_per_picture: Sequence[ArrayLike]) -> list[Pose]:
        """Poses of everybody in several pictures, with the batches filled across them.

        Args:
            pictures: (H, W, 3) RGB, sizes may differ.
            boxes_per_picture: for each of them (P, 4 or more): x1, y1, x2, y2 and what is ignored. No box, no skeleton.

        Returns:
            for each picture keypoints (P, 133, 2) float32 in its pixels, NaN where not found, and scores (P, 133).
        """
        counts = [len(np.asarray(boxes)) for boxes in boxes_per_picture]
        points, scores = self._estimate_all(list(_jobs(pictures, boxes_per_picture)))
        ends = np.cumsum(counts)
        return [(points[end - n : end], scores[end - n : end]) for n, end in zip(counts, ends, strict=True)]

    def _estimate_all(self, jobs: list[tuple[Picture, NDArray[np.float64]]]) -> Pose:
        parts = [self.run([])]
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            ahead = [pool.submit(self.prepare_crop, *job) for job in jobs[: 2 * self.batch]]
            for first in range(0, len(jobs), self.batch):
                crops = [future.result() for future in ahead[: self.batch]]
                after = jobs[first + 2 * self.batch : first + 3 * self.batch]
                ahead = ahead[self.batch :] + [pool.submit(self.prepare_crop, *job) for job in after]
                parts.append(self.run(crops))
        return np.concatenate([p for p, _ in parts]), np.concatenate([s for _, s in parts])


def _framing(box: NDArray[np.float64], width: int, height: int) -> tuple[float, float, float]:
    """Width and centre, in the picture, of the net's view: the box padded, then widened to the net's aspect ratio."""
    x1, y1, x2, y2 = (float(v) for v in box[:4])
    extent = max((x2 - x1) * PADDING, (y2 - y1) * PADDING * (width / height))
    return max(extent, 1.0), (x1 + x2) * 0.5, (y1 + y2) * 0.5


def _affine(extent: float, x: float, y: float, width: int, height: int) -> NDArray[np.float64]:
    """Affine from the picture to the net's pixels, through three float32 points as upstream computes it, for bit-equal crops."""
    source = np.array([[x, y], [x, y - extent * 0.5], [0, 0]], np.float32)
    source[2] = source[1] - [source[0, 1] - source[1, 1], 0]
    corner = (height - width) / 2
    target = np.array([[width / 2, height / 2], [width / 2, corner], [0, corner]], np.float32)
    return np.asarray(cv2.getAffineTransform(source, target))


def _to_picture(points: NDArray[np.float32], back: NDArray[np.float64]) -> NDArray[np.float32]:
    return (points * back[:, None, [0, 1], [0, 1]] + back[:, None, :, 2]).astype(np.float32)


def _jobs(
    pictures: Sequence[Picture], boxes_per_picture: Sequence[ArrayLike]
) -> Iterator[tuple[Picture, NDArray[np.float64]]]:
    for picture, boxes in zip(pictures, boxes_per_picture, strict=True):
        for box in np.asarray(boxes, np.float64):
            yield picture, box
