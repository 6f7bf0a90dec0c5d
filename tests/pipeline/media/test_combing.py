"""Combed pictures are found by looking, and only those: planted fields of a moving subject, stripes, text, noise, real clips."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.media.combing import Comb, Combing, comb_of, combing_of
from pipeline.media.video import GridReader, probe
from tests.pipeline.media.footage import constant_times, ffmpeg, write_footage
from tests.stages.stage_assets import asset

TALL, WIDE, COUNT = 288, 360, 60
Grey = NDArray[np.uint8]
Scene = Callable[[float], Grey]
TOP, BOTTOM = slice(0, None, 2), slice(1, None, 2)


def subject(moment: float) -> Grey:
    """A head that sways and an arm that waves in front of a wall with a picture on it, at a time in pictures."""
    scene = np.full((TALL, WIDE), 90, np.uint8)
    scene[40:100, 20:90] = (
        np.random.default_rng(1).integers(60, 200, (6, 7), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    )
    centre = (180 + 24 * np.sin(moment / 5), 120 + 6 * np.sin(moment / 7))
    cv2.ellipse(scene, (round(16 * centre[0]), round(16 * centre[1])), (16 * 34, 16 * 44), 0, 0, 360, 190, -1, 8, 4)
    hand = (270 + 40 * np.sin(moment / 4), 210 + 30 * np.cos(moment / 4))
    cv2.line(scene, (16 * 210, 16 * 260), (round(16 * hand[0]), round(16 * hand[1])), 230, 14, 8, 4)
    return scene


def combed(scene: Scene, first: slice = TOP, count: int = COUNT) -> list[Grey]:
    """Pictures of two moments each."""
    second = BOTTOM if first == TOP else TOP
    pictures = [scene(float(n)) for n in range(count)]
    for n, picture in enumerate(pictures):
        picture[second] = scene(n + 0.5)[second]
    return pictures


def telecined(scene: Scene, count: int = COUNT) -> list[Grey]:
    """Two of five pictures hold fields of two: 24 a second as 30."""
    pictures = []
    for n in range(count):
        top, bottom = ((0, 0), (1, 1), (1, 2), (2, 3), (3, 3))[n % 5]
        picture = scene(1.25 * (top + 4 * (n // 5)))
        picture[BOTTOM] = scene(1.25 * (bottom + 4 * (n // 5)))[BOTTOM]
        pictures.append(picture)
    return pictures


def film(path: Path, pictures: list[Grey], flagged: bool = False, fps: int = 25) -> Path:
    """Coded as progressive pictures, unless they are to be flagged."""
    options = {"preset": "ultrafast", "crf": "16"} | ({"flags": "+ildct+ilme"} if flagged else {})
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDE, TALL, "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    return path


def read(path: Path, first: int = 0, frames: int | None = None) -> list[Grey]:
    with GridReader(path, first, frames, pixel_format="gray", reading=probe(path).reading) as reader:
        return [frame.pixels for frame in reader]


def zigzag(picture: Grey) -> float:
    """How much rows differ from both neighbours, at the worst place."""
    rows = picture.astype(np.float32)
    return float(cv2.blur(np.abs(rows[:-2] + rows[2:] - 2 * rows[1:-1]), (16, 16)).max())


def decided(pictures: list[Grey]) -> Combing:
    step = max(1, WIDE // 128)
    thin = [np.ascontiguousarray(picture[:, ::step]) for picture in pictures]
    return combing_of([comb_of(*thin[n - 1 : n + 2]) for n in range(1, len(thin) - 1)])


@pytest.mark.parametrize(("first", "order"), [(TOP, "tff"), (BOTTOM, "bff")])
def test_a_combed_film_that_says_it_is_progressive(tmp_path: Path, first: slice, order: str) -> None:
    path = film(tmp_path / "combed.mp4", combed(subject, first))
    measured = probe(path)
    assert (measured.combed, measured.interlaced) == (order, True)
    assert measured.combed_share == pytest.approx(1, abs=0.1)
    whole = read(path)
    assert len(whole) == measured.grid_frames == COUNT, "one picture out for each one in"
    for n in range(2, COUNT - 2):
        one = subject(float(n))
        assert zigzag(whole[n]) < 1.5 * zigzag(one) + 12
        assert np.abs(whole[n].astype(int) - one).mean() < 1.5, "it shows the moment of its first field"
    for begin in range(28, 34):
        for n, picture in enumerate(read(path, begin, 3), start=begin):
            assert np.array_equal(picture, whole[n]), "the same picture wherever reading begins"
    with GridReader(path, pixel_format="gray") as reader:
        assert all(np.array_equal(frame.pixels, whole[frame.n]) for frame in reader), "a reader that looks for itself"


def test_telecine(tmp_path: Path) -> None:
    """Two of five pictures are rebuilt; the other three are not touched."""
    path = film(tmp_path / "telecined.mp4", telecined(subject))
    measured = probe(path)
    assert measured.combed == "tff partly"
    assert 0.25 < (measured.combed_share or 0) < 0.75
    whole = read(path)
    with av.open(str(path)) as container:
        coded = [
            frame.reformat(format="gray", dst_color_range="JPEG").to_ndarray() for frame in container.decode(video=0)
        ]
    assert len(whole) == len(coded) == COUNT
    for n in range(2, COUNT - 2):
        assert zigzag(whole[n]) < 1.5 * zigzag(subject(float(n))) + 12
    changed = [n for n in range(COUNT) if not np.array_equal(whole[n], coded[n])]
    assert changed and all(n % 5 in (2, 3) for n in changed)
    for begin in (20, 31, 32, 33):
        for n, picture in enumerate(read(path, begin, 4), start=begin):
            assert np.array_equal(picture, whole[n])


@pytest.mark.parametrize("flagged", [False, True])
def test_progressive_films_are_not_touched(tmp_path: Path, flagged: bool) -> None:
    path = film(tmp_path / "progressive.mp4", [subject(float(n)) for n in range(COUNT)], flagged)
    measured = probe(path)
    assert (measured.combed, measured.combed_share, measured.interlaced) == ("none" if flagged else None, 0.0, False)
    with av.open(str(path)) as container:
        coded = [
            frame.reformat(format="gray", dst_color_range="JPEG").to_ndarray() for frame in container.decode(video=0)
        ]
    assert all(np.array_equal(one, other) for one, other in zip(read(path), coded, strict=True))


def test_flags_that_are_right_are_followed(tmp_path: Path) -> None:
    measured = probe(film(tmp_path / "flagged.mp4", combed(subject), flagged=True))
    assert (measured.combed, measured.interlaced) == (None, True)
    assert measured.combed_share == pytest.approx(1, abs=0.1)


Y, X = np.mgrid[:TALL, :WIDE].astype(np.float64)


def stripes(period: float, moved: Callable[[float], float]) -> Scene:
    """Horizontal ones, moved down by so many pixels at each time, on a shirt that sways."""

    def scene(n: float) -> Grey:
        wave = 128 + 80 * np.cos(2 * np.pi * (Y - moved(n)) / period)
        return np.where(np.abs(X - 180 - 15 * np.sin(n / 5)) < 80, wave, 90).astype(np.uint8)

    return scene


def text() -> Grey:
    page = np.full((4 * TALL, WIDE), 30, np.uint8)
    for line in range(60):
        cv2.putText(page, "The quick brown fox jumps over it", (5, 18 * line + 14), cv2.FONT_HERSHEY_PLAIN, 1, 220, 1)
    return page


def scrolled(across: float, down: float) -> Scene:
    page = text()
    return lambda n: cv2.warpAffine(page, np.array([[1, 0, -across * n], [0, 1, -down * n]]), (WIDE, TALL)).astype(
        np.uint8
    )


def noise(n: float) -> Grey:
    return np.random.default_rng(round(n)).normal(128, 30, (TALL, WIDE)).clip(0, 255).astype(np.uint8)


def a_thing_moves_up(n: float) -> Grey:
    return np.where((np.abs(Y - 200 + 2 * n) < 30) & (X > 60), 255, 20).astype(np.uint8)


def static_comb(n: float) -> Grey:
    """A picture of a combed picture, with somebody moving in front of it."""
    scene = combed(subject, count=1)[0]
    scene[:, 250:300] = np.roll(scene[:, 250:300], round(3 * n), 0)
    scene[BOTTOM, 100:130] = 20
    return scene


PROGRESSIVE: dict[str, Scene] = {
    "subject": subject,
    "noise": noise,
    "a thing moves up by two pixels": a_thing_moves_up,
    "a picture of combing": static_comb,
    **{f"stripes of {p} px sway": stripes(p, lambda n: 3 * np.sin(n / 4)) for p in (2, 2.2, 2.5, 3, 4)},
    **{
        f"stripes of {p} px fall {v}": stripes(p, lambda n, v=v: v * n)
        for p in (2, 2.2, 3)
        for v in (0.0, 0.5, 1.0, 2.0)
    },  # type: ignore[misc]
    **{f"text scrolls {v}": scrolled(*v) for v in ((0, 1), (0, 1.5), (0, 2), (0, 3), (2, 0), (4, 0))},
}


@pytest.mark.parametrize("name", PROGRESSIVE)
def test_no_false_find(name: str) -> None:
    assert decided([PROGRESSIVE[name](float(n)) for n in range(24)]).rule is None


def test_fine_detail_is_found_where_it_is_combed() -> None:
    """False finds are not avoided by passing over everything that is fine."""
    assert (decided(combed(PROGRESSIVE["text scrolls (2, 0)"], count=24)).rule or "").startswith("tff")


def test_two_orders_or_one_picture_are_no_combed_film() -> None:
    top, bottom, clean = Comb(40, 20, 100, 90, 200), Comb(40, 20, 100, 200, 90), Comb(40)
    assert combing_of([top, clean, clean]).rule is None
    assert combing_of([top, bottom] * 5).rule is None
    assert combing_of([top] * 5 + [clean] * 3).rule == "tff"
    assert combing_of([bottom] * 4 + [clean] * 9).rule == "bff partly", "half a film"
    assert combing_of([]) == Combing(None, None)


CLIPS = ("csgpage_demo1.mp4", "dj_video4.mp4", "grid_bbaf2n.mpg", "facerec_hamilton.mp4", "signpose_test.mp4")


@pytest.mark.parametrize("clip", CLIPS)
def test_real_clips_are_not_combed(clip: str) -> None:
    measured = probe(asset(f"clips/{clip}"))
    assert (measured.combed, measured.interlaced) == (None, False)
    assert measured.combed_share in (0, None)


@pytest.mark.parametrize("kind", ["interlace=scan=tff", "telecine"])
def test_a_real_speaker(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "combed.mp4"
    rate = "fps=24" if kind == "telecine" else "framerate=50"
    how = ["-vf", f"{rate},{kind},setfield=prog", "-an", "-t", 3, "-preset", "ultrafast", "-crf", 20]
    ffmpeg("-i", asset("clips/csgpage_demo1.mp4"), *how, path)
    assert probe(path).combed == ("tff partly" if kind == "telecine" else "tff")


def test_the_shape_of_pixels_changes_midway(tmp_path: Path) -> None:
    parts = [
        write_footage(tmp_path / f"{n}.ts", constant_times(25, 40), time_base=Fraction(1, 25), sample_aspect=aspect)
        for n, aspect in enumerate((Fraction(1), Fraction(2), Fraction(1)))
    ]
    path = tmp_path / "aspects.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert probe(path).sample_aspects == "1:1 2:1", "also where it is only the middle"
    assert probe(parts[1]).sample_aspects is None
