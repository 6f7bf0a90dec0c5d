"""How a preview is drawn: a skeleton over a picture, pictures side by side."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Picture
from pipeline.base.units import KEYPOINTS, Row
from pipeline.skeleton.draw import draw


def skeleton_at(row: Row | None, frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(133, 2) keypoints and (133,) scores of a frame; nothing seen where there is no row or no such frame."""
    if row is None or frame >= len(row["scores"]):
        return np.full((KEYPOINTS, 2), np.nan, np.float32), np.zeros(KEYPOINTS, np.float32)
    return np.asarray(row["keypoints"][frame]).reshape(-1, 2), np.asarray(row["scores"][frame])


def scene(
    pixels: Picture, height: int, points: NDArray[np.float32], scores: NDArray[np.float32], box: list[int] | None
) -> Picture:
    """A picture scaled to `height` with the skeleton, dimmed outside the crop box, whose edge is drawn."""
    scale = height / pixels.shape[0]
    small = resized(pixels, height=height)
    if box is not None:
        x1, y1, x2, y2 = (round(value * scale) for value in box)
        inside = np.zeros(small.shape[:2], bool)
        inside[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
        small = np.where(inside[..., None], small, (small * 0.45).astype(np.uint8))
        cv2.rectangle(small, (x1, y1), (x2 - 1, y2 - 1), (255, 255, 255), 2)
    return draw((points + 0.5) * scale - 0.5, scores, background=small)


def resized(picture: Picture, height: int) -> Picture:
    return resized_to(picture, (max(1, round(picture.shape[1] * height / picture.shape[0])), height))


def resized_to(picture: Picture, size: tuple[int, int]) -> Picture:
    """A picture of (width, height)."""
    how = cv2.INTER_AREA if size[1] < picture.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def side_by_side(tiles: list[Picture], gap: int = 4) -> Picture:
    """Pictures of one height side by side, a dark gap between them."""
    space = np.full((tiles[0].shape[0], gap, 3), 24, np.uint8)
    parts = [part for tile in tiles for part in (space, tile)][1:]
    return np.concatenate(parts, axis=1)
