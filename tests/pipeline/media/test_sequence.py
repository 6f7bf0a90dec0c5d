"""Folders of frames: in the order of their numbers, on the grid, and a reason for each that is no clip."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.reasons import Reason, Reject
from pipeline.media.sequence import frame_shown, frames_in, grid_frames, read_frames, sha256_of
from tests.pipeline.media.stills import png_of


def clip(folder: Path, *names: str, size: tuple[int, int] = (16, 12)) -> Path:
    """Frames that are as bright as they are many."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), np.full((size[1], size[0], 3), 10 * number, np.uint8))
    return folder


def shown(folder: Path, pictures: int, fps: float = 25) -> list[int]:
    return [round(picture.mean() / 10) for picture in read_frames(folder, pictures, fps)]


def test_order_is_that_of_numbers(tmp_path: Path) -> None:
    names = [f"frame_{number}.png" for number in (8, 9, 10, 11)]
    folder = clip(tmp_path / "clip", *names)
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / ".9.png").write_bytes(b"x")
    (folder / "7.png").mkdir()
    assert [path.name for path in frames_in(folder)] == names
    assert shown(folder, 6) == [0, 1, 2, 3, 3, 3], "the last one again"
    assert next(read_frames(folder, 1, 25)).shape == (12, 16, 3)


def test_digits_of_any_number_and_formats_of_two_kinds(tmp_path: Path) -> None:
    names = ["0009.jpg", "10.JPEG", "a11b.PNG", "v2-00012.png"]
    assert [path.name for path in frames_in(clip(tmp_path / "clip", *names))] == names


def test_a_frame_may_be_a_link_within_its_folder(tmp_path: Path) -> None:
    folder = clip(tmp_path / "clip", "0.png", "1.png")
    (folder / "2.png").symlink_to("1.png")
    assert shown(folder, 3) == [0, 1, 1]


def gap(folder: Path) -> None:
    (folder / "0000001.png").unlink()


def twice(folder: Path) -> None:
    (folder / "1.jpg").write_bytes((folder / "0000001.png").read_bytes())


def nameless(folder: Path) -> None:
    (folder / "0000001.png").rename(folder / "cover.png")


def other_size(folder: Path) -> None:
    clip(folder, "0000001.png", size=(12, 16))


def text(folder: Path) -> None:
    (folder / "0000001.png").write_text("<html>not a picture</html>")


def huge(folder: Path) -> None:
    (folder / "0000001.png").write_bytes(png_of(100_000, 100_000))


def cut_short(folder: Path) -> None:
    (folder / "0000001.png").write_bytes((folder / "0000001.png").read_bytes()[:40])


def empty(folder: Path) -> None:
    (folder / "0000001.png").write_bytes(b"")


def pipe(folder: Path) -> None:
    gap(folder)
    os.mkfifo(folder / "0000001.png")


def link_out(folder: Path) -> None:
    gap(folder)
    (folder / "0000001.png").symlink_to(clip(folder.parent / "private", "1.png") / "1.png")


def no_frames(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("harm", "reason", "said"),
    [
        (gap, Reason.CORRUPT, "frame 1 is missing: after 0000000.png comes 0000002.png"),
        (twice, Reason.CORRUPT, "0000001.png and 1.jpg have one number"),
        (nameless, Reason.CORRUPT, "cover.png has no number"),
        (other_size, Reason.CORRUPT, "0000001.png has 12x16 pixels, those before 16x12"),
        (text, Reason.NOT_MEDIA, "0000001.png"),
        (huge, Reason.TOO_LARGE, "0000001.png"),
        (cut_short, Reason.NOT_MEDIA, "0000001.png"),
        (empty, Reason.EMPTY_FILE, "0000001.png"),
        (pipe, Reason.CORRUPT, "frame 1 is missing"),
        (link_out, Reason.BAD_LINK, "0000001.png is a link"),
        (no_frames, Reason.EMPTY_FILE, "no frames"),
    ],
)
def test_what_is_no_clip(harm: Callable[[Path], None], reason: Reason, said: str, tmp_path: Path) -> None:
    folder = clip(tmp_path / "clip", *(f"{number:07}.png" for number in range(4)))
    harm(folder)
    with pytest.raises(Reject) as caught:
        list(read_frames(folder, 4, 25))
    assert caught.value.reason is reason and said in caught.value.detail


@pytest.mark.parametrize(
    ("fps", "count", "expected"),
    [
        (25, 4, [0, 1, 2, 3]),
        (50, 8, [0, 2, 4, 6]),
        (12.5, 2, [0, 0, 1, 1]),
        (10, 2, [0, 0, 0, 1, 1]),
        (30, 6, [0, 1, 2, 4, 5]),
        (100, 1, [0]),
    ],
)
def test_rates(fps: float, count: int, expected: list[int], tmp_path: Path) -> None:
    folder = clip(tmp_path / "clip", *(f"{number}.png" for number in range(count)))
    pictures = grid_frames(count, fps)
    assert pictures == len(expected)
    assert shown(folder, pictures, fps) == [grid_rule(n, fps, count) for n in range(pictures)] == expected


def grid_rule(picture: int, fps: float, count: int) -> int:
    """As the design says it: the last frame with presentation time strictly before n/25 + 1/50 s."""
    until = Fraction(picture, 25) + Fraction(1, 50)
    return max((k for k in range(count) if Fraction(k) / Fraction(fps) < until), default=0)


@given(st.integers(1, 3000), st.floats(1, 240))
def test_the_last_picture_shows_a_frame_that_is_there(count: int, fps: float) -> None:
    pictures = grid_frames(count, fps)
    assert 0 <= frame_shown(pictures - 1, fps) <= count - 1 or pictures == 1
    assert abs(Fraction(pictures, 25) - count / Fraction(fps)) <= Fraction(1, 50) or pictures == 1


def test_the_hash_is_of_names_and_contents(tmp_path: Path) -> None:
    one, other = (clip(tmp_path / name, "0.png", "1.png") for name in ("one", "other"))
    assert sha256_of(one) == sha256_of(other)
    (other / "1.png").write_bytes((other / "0.png").read_bytes())
    assert sha256_of(one) != sha256_of(other)
