"""Person detection with a YOLOX model (ONNX), in batches.

Preparation as YOLOX's own demo and DWPose do it: scaled by min(H/h, W/w) into the top-left corner of a canvas of grey 114, 0..255.
A released net takes float32, CHW, on a canvas of its size; one that `pipeline.nets.pose.prepare` freed takes bytes, HWC, on the
smallest canvas that holds the picture. What a model's outputs mean is read from their shapes.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32, Picture
from pipeline.nets.footage import footage_of
from pipeline.nets.pose.batches import is_served, on_gpu, rows_of

if TYPE_CHECKING:
    import onnxruntime

Head = Literal["raw", "decoded", "boxes"]
Size = tuple[int, int]  # height, width

STRIDES = (8, 16, 32)
PAD = 114
PERSON = 0
CANVAS_KEY = "csg405.canvas"  # in a prepared net's metadata: its largest canvas, height x width
LARGEST_SIDE = 4096  # of a canvas, pixels: a file from outside says how large it is


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
        size: Size = (640, 640),
    ) -> None:
        self._session = session
        self.score, self.nms, self._flip = score, nms, channels == "bgr"
        source = session.get_inputs()[0]
        self._free = len(source.shape) == 4 and source.shape[3] == 3 and source.type == "tensor(uint8)"
        if len(source.shape) != 4 or (source.shape[1] != 3 and not self._free):
            raise ValueError(f"a detector takes N x 3 x H x W, this model {source.shape}")
        self._input = source.name
        if self._free:
            self.size = _canvas_of(session)
        else:
            height, width = (s if isinstance(s, int) else size[i] for i, s in enumerate(source.shape[2:]))
            self.size = (height, width)
        self._fixed = isinstance(source.shape[0], int)
        self.batch = source.shape[0] if self._fixed else batch
        self._padded = on_gpu(session) and not is_served(session)
        self._outputs = [item.name for item in session.get_outputs()]
        self.head = "raw" if self._free else self._recognise()

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
        for canvas, same in groupby(pictures, lambda picture: self.canvas(picture.shape[:2])):
            for group in _parts(list(same), self.batch):
                boxes += self._detect(group, canvas)
        return boxes

    def canvas(self, size: Sequence[int]) -> Size:
        """Height and width of what the net is given of a picture of this (height, width)."""
        if not self._free:
            return self.size
        low, wide = (
            min(most, -(-side // STRIDES[-1]) * STRIDES[-1])
            for most, side in zip(self.size, self._scaled(size), strict=True)
        )
        return low, wide

    def _ratio(self, size: Sequence[int]) -> float:
        return float(min(self.size[0] / size[0], self.size[1] / size[1]))

    def _scaled(self, size: Sequence[int]) -> Size:
        ratio = self._ratio(size)
        return max(1, int(size[0] * ratio)), max(1, int(size[1] * ratio))

    def _detect(self, group: Sequence[Picture], canvas: Size) -> list[NDArray[np.float32]]:
        rows = self.batch if self._fixed else rows_of(len(group), self.batch, padded=self._padded)
        outputs = self._run(group, canvas, rows)
        return [self._people(outputs, i, picture.shape[:2], canvas) for i, picture in enumerate(group)]

    def _run(self, group: Sequence[Picture], canvas: Size, rows: int) -> list[Floats32]:
        if self._free:
            pixels = np.full((rows, *canvas, 3), PAD, np.uint8)
            for i, picture in enumerate(group):
                self._place_bytes(picture, pixels[i])
            return list(self._session.run(self._outputs, {self._input: pixels}))
        planes = np.full((rows, 3, *canvas), PAD, np.float32)
        for i, picture in enumerate(group):
            self._place(picture, planes[i])
        return list(self._session.run(self._outputs, {self._input: planes}))

    def _place_bytes(self, picture: Picture, canvas: Picture) -> None:
        """Scale a picture into the corner of a canvas (H, W, 3)."""
        height, width = self._scaled(picture.shape[:2])
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
        canvas[:height, :width] = cv2.cvtColor(small, cv2.COLOR_RGB2BGR) if self._flip else small

    def _place(self, picture: Picture, canvas: NDArray[np.float32]) -> None:
        """Scale a picture into the corner of a canvas (3, H, W)."""
        height, width = self._scaled(picture.shape[:2])
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
        for channel, plane in enumerate(cv2.split(small)):
            canvas[2 - channel if self._flip else channel, :height, :width] = plane

    def _recognise(self) -> Head:
        """Determine the form of the outputs by running a grey picture: the file may leave shapes open."""
        outputs = self._run([], self.size, self.batch if self._fixed else 1)
        shape = outputs[0].shape
        if len(shape) == 3 and shape[2] == 5:
            return "boxes"
        grid, stride = anchors(*self.size)
        if len(shape) != 3 or shape[2] < 6 or shape[1] != len(grid):
            expected = f"N x {len(grid)} x (5 + classes) or N x M x 5"
            raise ValueError(f"these are not YOLOX's outputs: {[o.shape for o in outputs]}, not {expected}")
        return head_of(outputs[0], grid, stride)

    def _people(self, outputs: list[Floats32], i: int, size: tuple[int, ...], canvas: Size) -> NDArray[np.float32]:
        rows, ratio = outputs[0][i], self._ratio(size)
        if self.head == "boxes":
            keep = rows[:, 4] >= self.score
            if len(outputs) > 1:
                keep &= outputs[1][i].reshape(-1) == PERSON
            boxes, scores = rows[keep, :4] / ratio, rows[keep, 4]
        else:
            scores = rows[:, 4] * rows[:, 5 + PERSON]
            chosen = np.flatnonzero(scores >= self.score)
            boxes, scores = self._decoded(rows, chosen, canvas) / ratio, scores[chosen]
        boxes = np.clip(boxes, 0, np.array([size[1], size[0]] * 2, np.float32))
        real = (boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf) > 1
        boxes, scores = boxes[real], scores[real]
        kept = suppress(boxes, scores, self.nms)
        return np.concatenate([boxes, scores[:, None]], 1)[kept].astype(np.float32)

    def _decoded(self, rows: Floats32, chosen: NDArray[np.intp], canvas: Size) -> NDArray[np.float32]:
        """Corners of the chosen boxes from their centres and sizes, in pixels of the canvas."""
        centre, extent = rows[chosen, :2], rows[chosen, 2:4]
        if self.head == "raw":
            grid, strides = anchors(*canvas)
            if len(rows) != len(grid):
                raise ValueError(f"the detector gives {len(rows)} rows on a canvas of {canvas}, not {len(grid)}")
            stride = strides[chosen]
            centre, extent = (centre + grid[chosen]) * stride, np.exp(np.minimum(extent, 20)) * stride
        return np.concatenate([centre - extent / 2, centre + extent / 2], 1)


def _canvas_of(session: "onnxruntime.InferenceSession") -> Size:
    """The largest canvas of a prepared net, as its metadata say."""
    text = session.get_modelmeta().custom_metadata_map.get(CANVAS_KEY, "")
    found = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    height, width = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE and height % 32 == width % 32 == 0):
        raise ValueError(f"a detector that takes bytes and has a canvas of {text!r}")
    return height, width


def _parts(pictures: list[Picture], count: int) -> Iterator[list[Picture]]:
    for first in range(0, len(pictures), count):
        yield pictures[first : first + count]


def head_of(rows: Floats32, grid: Floats32, stride: Floats32) -> Literal["raw", "decoded"]:
    """Whether rows (N, A, 5 + classes) give offsets of about a cell, or centres near their anchors, all over the canvas."""
    offset = rows[0, :, :2]
    from_anchor = np.abs(offset / stride - grid)
    return "decoded" if np.median(from_anchor) < np.median(np.abs(offset)) else "raw"


@lru_cache(maxsize=8)
def anchors(height: int, width: int) -> tuple[Floats32, Floats32]:
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
