"""Pictures from outside: the right pixels of three formats, upright, and a reason for everything else."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.base.reasons import Reason, Reject
from pipeline.media import still
from pipeline.media.still import read_picture
from tests.pipeline.media.stills import png_of

COLOURS = np.array([[[200, 30, 40], [30, 180, 60], [40, 60, 210]], [[250, 250, 250], [240, 220, 20], [10, 10, 10]]])
PICTURE = np.repeat(np.repeat(COLOURS, 32, axis=0), 32, axis=1).astype(np.uint8)  # (64, 96, 3) RGB, no symmetry
TURNED = {  # EXIF orientation -> what is upright, of the pixels as they are stored
    1: PICTURE,
    2: PICTURE[:, ::-1],
    3: PICTURE[::-1, ::-1],
    4: PICTURE[::-1],
    5: PICTURE.transpose(1, 0, 2),
    6: np.rot90(PICTURE, -1),
    7: PICTURE[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(PICTURE, 1),
}


def off(found: np.ndarray, wanted: np.ndarray) -> int:
    """Largest error at places well inside the patches: at their borders JPEG and WebP mix colours."""
    return int(np.abs(found[8::16, 8::16].astype(int) - wanted[8::16, 8::16]).max())


def encoded(suffix: str, picture: np.ndarray = PICTURE, *options: int) -> bytes:
    bgr = picture if picture.ndim == 2 else picture[..., [2, 1, 0, 3][: picture.shape[2]]]
    done, data = cv2.imencode(suffix, np.ascontiguousarray(bgr), options)
    assert done
    return bytes(data.tobytes())


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF segment of one entry right behind its start."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def reject(path: Path) -> Reject:
    with pytest.raises(Reject) as caught:
        read_picture(path)
    assert str(path) in caught.value.detail and "\n" not in caught.value.detail
    return caught.value


@pytest.mark.parametrize(
    ("suffix", "options", "most"),
    [
        (".png", (), 0),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101), 0),  # without loss
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 95), 8),
        (".jpg", (cv2.IMWRITE_JPEG_QUALITY, 98), 6),
    ],
)
def test_three_formats_give_the_pixels_that_were_written(
    suffix: str, options: tuple[int, ...], most: int, tmp_path: Path
) -> None:
    path = tmp_path / "picture.xyz"  # a name says nothing
    path.write_bytes(encoded(suffix, PICTURE, *options))
    found = read_picture(path)
    assert found.shape == (64, 96, 3) and found.dtype == np.uint8 and found.flags.c_contiguous
    assert off(found, PICTURE) <= most
    assert most or np.array_equal(found, PICTURE)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (PICTURE[..., 0], np.repeat(PICTURE[..., :1], 3, axis=2)),  # grey
        (np.dstack([PICTURE, np.full((64, 96), 255, np.uint8)]), PICTURE),  # with alpha
        (PICTURE.astype(np.uint16) * 257, PICTURE),  # 16 bits
    ],
)
def test_grey_alpha_and_deep_pictures_come_as_plain_rgb(stored: np.ndarray, shown: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(".png", stored))
    found = read_picture(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, shown)


@pytest.mark.parametrize("orientation", TURNED)
def test_a_jpeg_is_turned_as_its_exif_says(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(with_orientation(encoded(".jpg", PICTURE, cv2.IMWRITE_JPEG_QUALITY, 98), orientation))
    found, upright = read_picture(path), TURNED[orientation]
    assert found.shape == upright.shape
    assert off(found, upright) <= 6


@pytest.mark.parametrize(
    ("content", "reason", "said"),
    [
        (b"", Reason.EMPTY_FILE, ""),
        (b"a picture of nobody\n", Reason.NOT_MEDIA, "neither of PNG, JPEG, WebP"),
        (b"GIF89a" + bytes(200), Reason.NOT_MEDIA, "neither of PNG, JPEG, WebP"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(100), Reason.NOT_MEDIA, "does not decode"),
        (png_of(4, 4)[:8], Reason.NOT_MEDIA, "does not decode"),
        (png_of(100_000, 100_000), Reason.TOO_LARGE, "more than 35 million pixels: scale it down"),
        (png_of(8192, 4321), Reason.TOO_LARGE, "pixels"),
    ],
)
def test_what_is_no_picture_is_told(content: bytes, reason: Reason, said: str, tmp_path: Path) -> None:
    path = tmp_path / "given.png"
    path.write_bytes(content)
    found = reject(path)
    assert found.reason == reason and said.lower() in found.detail.lower()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_picture_that_is_cut_short_is_not_half_shown(suffix: str, share: float, tmp_path: Path) -> None:
    rough = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    whole = encoded(suffix, rough)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole)
    assert read_picture(path).shape == rough.shape
    path.write_bytes(whole[: int(share * len(whole))])
    found = reject(path)
    assert found.reason == Reason.NOT_MEDIA and "cut short or damaged" in found.detail


def test_a_gif_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "moving.png"
    path.write_bytes(encoded(".gif"))
    assert reject(path).reason == Reason.NOT_MEDIA


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    found = reject(tmp_path)
    assert found.reason == Reason.NOT_MEDIA and "not a file" in found.detail


def test_a_file_that_is_not_there_is_another_matter(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "none.png")


def test_more_bytes_than_allowed_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(".png"))
    monkeypatch.setattr(still, "MAX_BYTES", path.stat().st_size)
    assert read_picture(path).shape == PICTURE.shape
    monkeypatch.setattr(still, "MAX_BYTES", path.stat().st_size - 1)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it was read"))
    assert reject(path).reason == Reason.TOO_LARGE
