"""Crops in the planes of their file lie where keypoints say, luma and chroma, to a small part of a pixel."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.base.units import Box
from pipeline.media.planes import PlaneCrop
from pipeline.media.reading import AS_IT_STANDS
from pipeline.media.video import GridReader, write_clip
from pipeline.media.writer import PLANES
from pipeline.skeleton.crop import cut, map_points
from tests.pipeline.media.footage import constant_times, ffmpeg, write_footage

WIDTH, HEIGHT, SIDE, FRAMES = 480, 360, 256, 4
SPOT = np.array([203.3, 151.7])  # pixels of the source, its middle
BOXES = [
    *((20, 10, 340, 330), (21, 10, 341, 330), (20, 11, 340, 331), (21, 11, 341, 331), (81, 31, 281, 231)),
    *((100, 51, 300, 251), (-40, 20, 300, 360), (10, 60, 330, 260)),  # enlarged; leaves the picture; not square
]


def bump(shape: tuple[int, int], middle: np.ndarray, sigma: float) -> np.ndarray:
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    return np.exp(-((xs - middle[0]) ** 2 + (ys - middle[1]) ** 2) / (2 * sigma**2))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright red spot, its samples laid down in planes: chroma on the left column, between two rows."""
    luma = 60 + 120 * bump((HEIGHT, WIDTH), SPOT, 9)
    middle = np.array([SPOT[0] / 2, (SPOT[1] - 0.5) / 2])
    red, blue = (128 + sign * 90 * bump((HEIGHT // 2, WIDTH // 2), middle, 4.5) for sign in (1, -0.3))
    picture = np.concatenate([np.rint(plane).astype(np.uint8).ravel() for plane in (luma, blue, red)])
    path = tmp_path_factory.mktemp("planes") / "spot.mp4"
    write_clip(path, [picture] * FRAMES, None, size=(WIDTH, HEIGHT), crf=4, planes=True)
    return path


def middle_of(plane: np.ndarray, ground: float) -> np.ndarray:
    weights = np.abs(plane.astype(float) - ground)
    weights = np.where(weights > 0.1 * weights.max(), weights, 0)
    ys, xs = np.mgrid[: plane.shape[0], : plane.shape[1]]
    return np.array([(weights * xs).sum(), (weights * ys).sum()]) / weights.sum()


def exported(film: Path, box: Box, target: Path) -> list[np.ndarray]:
    """Luma and the plane of red of the first picture of a clip that was cut in planes."""
    with GridReader(film, planes_of=PlaneCrop(box, SIDE), reading=AS_IT_STANDS) as reader:
        pictures: Iterator[np.ndarray] = (frame.pixels for frame in reader)
        opening = list(islice(pictures, 1))
        assert reader.pixel_format == PLANES
        assert opening[0].shape == (SIDE * SIDE * 3 // 2,)
        write_clip(target, chain(opening, pictures), None, size=(SIDE, SIDE), crf=4, planes=True)
    with av.open(str(target)) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (1, 1)
        data = frame.to_ndarray()
    chroma = data.reshape(-1)[SIDE * SIDE :].reshape(2, SIDE // 2, SIDE // 2)
    return [data[:SIDE], chroma[1]]


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_a_spot_lies_where_its_keypoint_is_mapped(film: Path, tmp_path: Path, box: Box) -> None:
    luma, red = exported(film, box, tmp_path / "clip.mp4")
    truth = map_points(SPOT, box, SIDE)
    ground, spot = float(np.median(luma)), luma.astype(float)
    around = np.hypot(*(np.mgrid[:SIDE, :SIDE] - truth[::-1, None, None])) < 60
    spot[~around] = ground  # the black beside the picture is no part of the spot
    assert np.abs(middle_of(spot, ground) - truth).max() < 0.06
    found = middle_of(red, 128) * 2 + [0, 0.5]
    assert np.abs(found - truth).max() < 0.12, "a sixteenth of a sample of chroma"


@pytest.mark.parametrize("box", [BOXES[6], BOXES[7]], ids=str)
def test_outside_of_the_picture_and_of_a_flat_box_it_is_black(film: Path, tmp_path: Path, box: Box) -> None:
    luma, red = exported(film, box, tmp_path / "clip.mp4")
    side = max(box[2] - box[0], box[3] - box[1])
    edge = 20 * SIDE // side
    outside = (luma[:, :edge], red[:, : edge // 2]) if box[0] < 0 else (luma[:edge], red[: edge // 2])
    assert np.abs(outside[0].astype(int) - 16).max() <= 3 and np.abs(outside[1].astype(int) - 128).max() <= 3


def test_it_is_the_picture_that_rgb_gives(film: Path, tmp_path: Path) -> None:
    box = BOXES[3]
    exported(film, box, tmp_path / "clip.mp4")
    with GridReader(film, reading=AS_IT_STANDS) as reader, GridReader(tmp_path / "clip.mp4") as made:
        wanted, found = (next(iter(each)).pixels for each in (reader, made))
    assert np.abs(cut(wanted, box, SIDE).astype(int) - found).mean() < 0.6


@pytest.mark.parametrize(
    "odd",
    [
        {"pixel_format": "yuv444p"},
        {"rotation": 90},
        {"sample_aspect": Fraction(4, 3)},
        {"size": (1282, 722), "options": {"color_range": "pc"}},
        {},  # SD that says nothing is BT.601
    ],
    ids=str,
)
def test_what_is_coded_otherwise_stays_rgb(tmp_path: Path, odd: dict) -> None:
    path = write_footage(tmp_path / "odd.mp4", constant_times(25, 3), **odd)
    with GridReader(path, planes_of=PlaneCrop((0, 0, 32, 32), 32), reading=AS_IT_STANDS) as reader:
        shapes = {frame.pixels.shape for frame in reader}
        assert reader.pixel_format == "rgb24"
    with GridReader(path, reading=AS_IT_STANDS) as reader:
        assert shapes == {frame.pixels.shape for frame in reader}


def test_pictures_of_another_shape_on_the_way_are_fitted_in(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate([(1280, 720), (640, 360)]):  # HD that says nothing is BT.709
        parts.append(tmp_path / f"{number}.h264")
        write_footage(parts[-1], constant_times(25, 20), size=size)
    joined = tmp_path / "joined.mkv"
    (tmp_path / "joined.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    ffmpeg("-r", "25", "-i", tmp_path / "joined.h264", "-c", "copy", joined)
    box = (4, 4, 204, 204)
    with GridReader(joined, planes_of=PlaneCrop(box, 200), reading=AS_IT_STANDS) as reader, GridReader(joined) as plain:
        for planes, frame in zip(reader, plain, strict=True):
            grey = 16 + frame.pixels[4:204, 4:204].astype(float).mean() * 219 / 255
            assert planes.pixels.shape == (200 * 200 * 3 // 2,)
            assert abs(planes.pixels[: 200 * 200].mean() - grey) < 1.5
        assert reader.pixel_format == PLANES and planes.n > 30
