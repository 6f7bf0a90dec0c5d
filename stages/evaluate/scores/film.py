"""A video as it is compared, and the truth beside it."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from pipeline.base.arrays import Picture
from pipeline.base.units import Box
from pipeline.skeleton.draw import draw
from stages.evaluate.cast import Subject


class Film:
    """A video as it is compared: its frames on the 25-fps grid, in the size of the box that it shows."""

    def __init__(self, as_stored: Callable[[], Iterator[Picture]], frames: int, box: Box) -> None:
        self.as_stored, self.frames, self.box = as_stored, frames, box
        self.size = (box[2] - box[0], box[3] - box[1])

    def pictures(self) -> Iterator[Picture]:
        for picture in self.as_stored():
            if (picture.shape[1], picture.shape[0]) != self.size:
                shrinks = picture.shape[1] > self.size[0]
                how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
                picture = np.asarray(cv2.resize(picture, self.size, interpolation=how), np.uint8)
            yield np.ascontiguousarray(picture)


def cut(picture: Picture, box: Box) -> Picture:
    """What a box shows of a picture, black outside it."""
    x1, y1, x2, y2 = box
    height, width = picture.shape[:2]
    if (x1, y1, x2, y2) == (0, 0, width, height):
        return picture
    out = np.zeros((y2 - y1, x2 - x1, 3), np.uint8)
    inner = picture[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)]
    top, left = max(0, -y1), max(0, -x1)
    out[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return out


def drawn(subject: Subject) -> Iterator[Picture]:
    for points, scores in zip(subject.keypoints, subject.scores, strict=True):
        yield draw(points, scores, (subject.side, subject.side))
