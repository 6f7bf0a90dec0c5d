"""Coarse pictures: each pixel is the mean of what it covers."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from pipeline.media.picture import Converter, Geometry, Orientation, planes_of


def frame_of(width: int, height: int) -> av.VideoFrame:
    """BT.601 of limited range, with soft blobs in all planes."""
    rng = np.random.default_rng(405)
    frame = av.VideoFrame(width, height, "yuv420p")
    frame.color_range = ColorRange.MPEG
    frame.colorspace = 5
    for plane, low, high in zip(planes_of(frame), (60, 118, 118), (190, 138, 138), strict=True):
        (tall, wide), grain = plane.shape, width // 64
        blobs = rng.uniform(low, high, (-(-tall // grain), -(-wide // grain))).astype(np.float32)
        plane[:] = cv2.resize(blobs, (wide, tall), interpolation=cv2.INTER_CUBIC).clip(low, high).astype(np.uint8)
    return frame


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (1280, 720, (256, 144)),
        (2048, 1152, (256, 144)),
        (1278, 718, (256, 144)),
        (640, 360, (256, 144)),
        (1280, 536, (256, 107)),
    ],
)
def test_coarse_pictures_are_means(width: int, height: int, size: tuple[int, int]) -> None:
    frame = frame_of(width, height)
    geometry = Geometry(width, height, Fraction(1), Orientation(), width, height)
    found = Converter(geometry, size, "coarse")(frame)
    luma, blue, red = (
        cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_AREA) for plane in planes_of(frame)
    )
    light, blue, red = (luma - 16) * 255 / 219, (blue - 128) * 255 / 224, (red - 128) * 255 / 224
    means = [light + 1.402 * red, light - 0.344136 * blue - 0.714136 * red, light + 1.772 * blue]
    assert found.shape == (size[1], size[0], 3)
    off = np.abs(found - np.stack(means, -1).clip(0, 255))
    assert off.mean() < 2.5 and np.percentile(off, 99) < 9


def test_every_call_has_a_picture_of_its_own() -> None:
    geometry = Geometry(1280, 720, Fraction(1), Orientation(), 1280, 720)
    convert, frame = Converter(geometry, (256, 144), "coarse"), frame_of(1280, 720)
    first = convert(frame)
    kept = first.copy()
    for plane in planes_of(frame):
        plane[:] = 128
    second = convert(frame)
    assert np.array_equal(first, kept) and np.ptp(second) == 0
