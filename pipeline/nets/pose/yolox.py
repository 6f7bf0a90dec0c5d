"""Person detection with a YOLOX model (ONNX), in batches.

Preparation as YOLOX's own demo and DWPose do it: scaled by min(H/h, W/w) into the top-left corner of a canvas of grey 114,
float32 0..255, CHW. What a model's outputs mean is read from their shapes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Picture
from pipeline.nets.footage import footage_of

if TYPE_CHECKING:
    import onnxruntime

Head = Literal["raw", "decoded", "boxes"]

STRIDES = (8, 16, 32)
PAD = 114
PERSON = 0


class Detector:
    """A person detector.

    Three kinds of export are told apart: the raw head N x A x (5 + classes), which is decoded here; the same already
    decoded to pixels; and boxes after non-maximum suppression, N x M x 5, alone or with a second output of labels N x M.

    Args:
        session: of the model.
        score: least objectness x class probability of a box.
        nms: overlap (IoU) above which the weaker of two boxes is dropped.
        batch: pictures a run, where the model takes any number; one at a time where it does not.
        channels: the order that the model was trained on; YOLOX takes blue first.
        size: (height, width) of the input, for models that leave it open.

    Raises:
        ValueError: the model's inputs or outputs are none of the above.
    """

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        score: float = 0.3,
        nms: float = 0.45,
        batch: int = 8,
        channels: Literal["bgr", "rgb"] = "bgr",
        size: tuple[int, int] = (640, 640),
    ) -> None:
        self._session = session
        self.score, self.nms, self._flip = score, nms, channels == "bgr"
        source = session.get_inputs()[0]
        if len(source.shape) != 4 or source.shape[1] != 3:
            raise ValueError(f"a detector takes N x 3 x H x W, this model {source.shape}")
        self._input = source.name
        self.size = tuple(s if isinstance(s, int) else size[i] for i, s in enumerate(source.shape[2:]))
        self.batch = source.shape[0] if isinstance(source.shape[0], int) else batch
        self._grid, self._stride = _anchors(*self.size)
        self._outputs = [item.name for item in session.get_outputs()]
        self.head = self._recognise()

    @property
    def footage(self) -> str:
        """The only footage that the net can see; "" when it sees any."""
        return footage_of(self._session)

    def detect(self, pictures: Sequence[Picture]) -> list[NDArray[np.float32]]:
        """People in each picture.

        Args:
            pictures: (H, W, 3) RGB, sizes may differ.

        Returns:
            one (N, 5) float32 a picture: x1, y1, x2, y2 in its pixels, clipped to it, and the score; best first.
        """
        boxes: list[NDArray[np.float32]] = []
        for first in range(0, len(pictures), self.batch):
            group = pictures[first : first + self.batch]
            canvas = np.full((self.batch if self._fixed else len(group), 3, *self.size), PAD, np.float32)
            ratios = [self._place(picture, canvas[i]) for i, picture in enumerate(group)]
            outputs = self._session.run(self._outputs, {self._input: canvas})
            for i, (picture, ratio) in enumerate(zip(group, ratios, strict=True)):
                boxes.append(self._people(outputs, i, ratio, picture.shape[:2]))
        return boxes

    @property
    def _fixed(self) -> bool:
        return isinstance(self._session.get_inputs()[0].shape[0], int)

    def _place(self, picture: Picture, canvas: NDArray[np.float32]) -> float:
        """Scales a picture into the corner of a canvas (3, H, W); returns the scale."""
        height, width = picture.shape[:2]
        ratio = min(self.size[0] / height, self.size[1] / width)
        w, h = max(1, int(width * ratio)), max(1, int(height * ratio))
        small = cv2.resize(picture, (w, h), interpolation=cv2.INTER_LINEAR)
        for channel, plane in enumerate(cv2.split(small)):
            canvas[2 - channel if self._flip else channel, :h, :w] = plane
        return float(ratio)

    def _recognise(self) -> Head:
        """Determine the form of the outputs by running a grey picture: the file may leave shapes open."""
        grey = np.full((self.batch if self._fixed else 1, 3, *self.size), PAD, np.float32)
        outputs = self._session.run(self._outputs, {self._input: grey})
        shape = outputs[0].shape
        if len(shape) == 3 and shape[2] == 5:
            return "boxes"
        if len(shape) != 3 or shape[2] < 6 or shape[1] != len(self._grid):
            expected = f"N x {len(self._grid)} x (5 + classes) or N x M x 5"
            raise ValueError(f"these are not YOLOX's outputs: {[o.shape for o in outputs]}, not {expected}")
        # A raw head gives offsets of about a cell; decoded centres lie near their anchors, all over the canvas.
        offset = outputs[0][0, :, :2]
        from_anchor = np.abs(offset / self._stride - self._grid)
        return "decoded" if np.median(from_anchor) < np.median(np.abs(offset)) else "raw"

    def _people(
        self, outputs: list[NDArray[np.float32]], i: int, ratio: float, size: tuple[int, int]
    ) -> NDArray[np.float32]:
        rows = outputs[0][i]
        if self.head == "boxes":
            keep = rows[:, 4] >= self.score
            if len(outputs) > 1:
                keep &= outputs[1][i].reshape(-1) == PERSON
            boxes, scores = rows[keep, :4] / ratio, rows[keep, 4]
        else:
            scores = rows[:, 4] * rows[:, 5 + PERSON]
            chosen = np.flatnonzero(scores >= self.score)
            boxes, scores = self._decoded(rows[chosen, :4], chosen) / ratio, scores[chosen]
        boxes = np.clip(boxes, 0, np.array([size[1], size[0]] * 2, np.float32))
        real = (boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf) > 1
        boxes, scores = boxes[real], scores[real]
        kept = suppress(boxes, scores, self.nms)
        return np.concatenate([boxes, scores[:, None]], 1)[kept].astype(np.float32)

    def _decoded(self, rows: NDArray[np.float32], anchors: NDArray[np.intp]) -> NDArray[np.float32]:
        """Corners of each box from its centre and size, in pixels of the canvas."""
        centre, extent = rows[:, :2], rows[:, 2:]
        if self.head == "raw":
            stride = self._stride[anchors]
            centre, extent = (centre + self._grid[anchors]) * stride, np.exp(np.minimum(extent, 20)) * stride
        return np.concatenate([centre - extent / 2, centre + extent / 2], 1)


def _anchors(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cell (x, y) and stride of each of the head's A rows: (A, 2) and (A, 1)."""
    grids, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        grids.append(np.stack([x, y], -1).reshape(-1, 2))
        strides.append(np.full((x.size, 1), stride))
    return np.concatenate(grids).astype(np.float32), np.concatenate(strides).astype(np.float32)


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32], overlap: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of the boxes (N, 4) that stay, best score first."""
    order = np.argsort(-scores, kind="stable")
    shared = iou(boxes, boxes)
    kept: list[int] = []
    for i in order:
        if not kept or shared[i, kept].max() <= overlap:
            kept.append(int(i))
    return np.array(kept, np.intp)


def iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N, M) intersection over union of boxes (N, 4) and (M, 4), x1 y1 x2 y2."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [np.clip(c[:, 2:4] - c[:, :2], 0, None).prod(-1) for c in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9))
