"""Skeletons as video: pictures, sides, sound and places are those that were asked for, and look like what `draw` draws."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.base.units import SAMPLE_RATE
from pipeline.media.audio import read_wave
from pipeline.media.skeleton_film import LONG_SIDE_PX, drawn_size, write_skeletons
from pipeline.media.video import GridReader, probe
from pipeline.skeleton import layout
from pipeline.skeleton.draw import draw
from tests.pipeline.skeleton.people import person

FRAMES = 12


def walker(frames: int = FRAMES, x: float = 90.0) -> tuple[np.ndarray, np.ndarray]:
    """Somebody who walks to the right by 3 px a picture."""
    points, scores = person(frames, width=70, x=x, y=60)
    points[..., 0] += 3 * np.arange(frames)[:, None]
    return points, scores


def tone(frames: int) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * 440 * np.arange(frames * 640) / SAMPLE_RATE)).astype(np.float32)


def pictures(path: Path) -> list[np.ndarray]:
    with GridReader(path) as reader:
        return [np.array(frame.pixels) for frame in reader]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize(
    ("size", "written"), [((240, 160), (240, 160)), ((241, 160), (242, 160)), ((201, 151), (202, 152))]
)
def test_every_picture_is_there_and_odd_sides_grow_by_one(
    size: tuple[int, int], written: tuple[int, int], tmp_path: Path
) -> None:
    points, scores = walker()
    path = tmp_path / "one.mp4"
    write_skeletons(path, [(points, scores)], tone(FRAMES), size)
    seen = probe(path)
    assert (seen.width, seen.height, seen.grid_frames, seen.source_fps) == (*written, FRAMES, 25.0)
    found = pictures(path)
    assert len(found) == FRAMES
    for n in (0, 5, FRAMES - 1):
        assert psnr(found[n], draw(points[n], scores[n], written)) > 25
    assert psnr(found[0], draw(points[5], scores[5], written)) < 25, "the measure tells pictures apart"


def test_the_voice_is_as_long_as_the_pictures_and_the_same(tmp_path: Path) -> None:
    wave = tone(FRAMES)
    wave[: 4 * 640] = 0  # it begins late
    path = tmp_path / "voice.mp4"
    write_skeletons(path, [walker()], wave, (240, 160))
    heard = read_wave(path)
    assert heard is not None and len(wave) <= len(heard) < len(wave) + 1024  # a block of AAC
    assert np.abs(heard[len(wave) :]).max(initial=0) < 0.05
    assert np.corrcoef(heard[: len(wave)], wave)[0, 1] > 0.99


def test_without_a_voice_there_is_no_track(tmp_path: Path) -> None:
    path = tmp_path / "mute.mp4"
    write_skeletons(path, [walker()], None, (240, 160))
    assert probe(path).audio_codec is None and read_wave(path) is None


def test_two_stand_side_by_side_the_first_to_the_left_as_long_as_the_shorter(tmp_path: Path) -> None:
    (one, scores), (other, _) = walker(), walker(FRAMES - 3, x=150)
    path = tmp_path / "two.mp4"
    write_skeletons(path, [(one, scores), (other, scores[0])], None, (240, 160))
    found = pictures(path)
    assert len(found) == FRAMES - 3 and found[0].shape == (160, 480, 3)
    for n in (0, FRAMES - 4):
        assert psnr(found[n][:, :240], draw(one[n], scores[n], (240, 160))) > 25
        assert psnr(found[n][:, 240:], draw(other[n], scores[0], (240, 160))) > 25


@pytest.mark.parametrize("by_picture", [True, False])
def test_points_scored_low_are_left_out(by_picture: bool, tmp_path: Path) -> None:
    points, scores = walker()
    scores[:, layout.LEFT_SHOULDER :] = 0.1
    if by_picture:
        scores[6:] = 1
    path = tmp_path / "low.mp4"
    write_skeletons(path, [(points, scores if by_picture else scores[0])], None, (240, 160))
    lit = [int((picture.max(-1) > 60).sum()) for picture in pictures(path)]
    assert max(lit[:6]) < 300
    assert (min(lit[6:]) > 300) is by_picture


@pytest.mark.parametrize(
    ("size", "count", "drawn"),
    [
        ((512, 512), 1, (512, 512)),
        ((2047, 3), 1, (2048, 4)),
        ((2048, 2048), 1, (2048, 2048)),
        ((2049, 1024), 1, (2048, 1024)),
        ((12000, 8000), 1, (2048, 1366)),
        ((4001, 20000), 1, (410, 2048)),
        ((100_000, 9), 1, (2048, 2)),
        ((1024, 700), 2, (1024, 700)),
        ((1025, 700), 2, (1024, 700)),
        ((3000, 3000), 3, (682, 682)),
    ],
)
def test_a_video_has_even_sides_and_is_no_larger_than_the_limit(
    size: tuple[int, int], count: int, drawn: tuple[int, int]
) -> None:
    assert drawn_size(size, count) == drawn
    assert max(drawn[0] * count, drawn[1]) <= LONG_SIDE_PX


def test_in_a_picture_that_is_too_large_a_skeleton_is_drawn_smaller(tmp_path: Path) -> None:
    points, scores = walker(2)
    small, large = tmp_path / "small.mp4", tmp_path / "large.mp4"
    grown = (points + 0.5) * 8 - 0.5
    before = grown.copy()
    write_skeletons(large, [(grown, scores)], None, (4096, 2048))
    np.testing.assert_array_equal(grown, before)
    write_skeletons(small, [((points + 0.5) * 4 - 0.5, scores)], None, (2048, 1024))
    for one, other in zip(pictures(large), pictures(small), strict=True):
        assert one.shape == (1024, 2048, 3)
        assert psnr(one, other) > 40
