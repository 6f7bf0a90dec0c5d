"""HDR becomes BT.709, shapes that change keep their proportions, thumbnails and encrypted samples are not the film."""

import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.base.reasons import Reason, Reject
from pipeline.media.audio import read_wave
from pipeline.media.tone import HLG, PQ, to_sdr
from pipeline.media.video import GridReader, ffmpeg_exe, probe
from tests.pipeline.media.footage import constant_times, ffmpeg, read_counter, write_footage

BARS = [
    (255, 255, 255),
    (200, 150, 120),
    (200, 30, 40),
    (30, 180, 60),
    (40, 60, 210),
    (128, 128, 128),
    (30, 30, 30),
    (0, 0, 0),
]
LINEAR = (
    "format=gbrp,setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr:range=full,"
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020,"
)


def bars(path: Path, transfer: str, seconds: float = 0.8) -> Path:
    """Eight bars of 64 px; in PQ, HLG, or BT.709."""
    row = np.repeat(np.array(BARS, np.uint8), 64, axis=0)
    raw = np.repeat(row[None], 64, axis=0).tobytes() * round(seconds * 25)
    chain, codec = "scale=out_color_matrix=bt709:flags=accurate_rnd,format=yuv420p", ["-c:v", "libx265", "-crf", "8"]
    colours = ["bt709", "bt709", "bt709"]
    if transfer != "bt709":
        chain = f"{LINEAR}zscale=t={transfer}:m=bt2020nc:r=limited:npl=203,format=yuv420p10le"
        colours = ["bt2020", transfer, "bt2020nc"]
    names = dict(zip(("colorprim", "transfer", "colormatrix"), colours, strict=True))
    told = ":".join(["log-level=none:pools=1:range=limited", *(f"{k}={v}" for k, v in names.items())])
    tags = ["-color_primaries", colours[0], "-color_trc", colours[1], "-colorspace", colours[2]]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "512x64", "-r", "25", "-i", "-"]
    command = [ffmpeg_exe(), "-v", "error", "-y", *source, "-vf", chain, *codec, "-x265-params", told, *tags, str(path)]
    subprocess.run(command, input=raw, check=True, timeout=60)
    return path


def worst(pixels: np.ndarray) -> int:
    """The largest error of a bar's middle, in levels."""
    wide = pixels.shape[1] // 8
    middles = pixels[pixels.shape[0] // 2, wide // 2 :: wide].astype(int)
    return int(np.abs(middles - np.array(BARS)).max())


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr(shelf: Path, transfer: str) -> None:
    path = bars(shelf / f"{transfer}.mp4", transfer)
    measured = probe(path)
    assert (measured.transfer, measured.matrix, measured.bit_depth) == (transfer, "bt2020nc", 10)
    assert measured.tone_mapped
    for size in (None, (256, 32)):
        with GridReader(path, size=size, reading=measured.reading) as reader:
            assert max(worst(frame.pixels) for frame in reader) <= 6
    with GridReader(path, 3, 1, pixel_format="gray") as reader:
        [grey] = [frame.pixels[32, 32::64].astype(float) for frame in reader]
    assert np.abs(grey - np.array(BARS) @ (0.2126, 0.7152, 0.0722)).max() <= 6


def test_only_a_part_is_hdr(shelf: Path) -> None:
    """Each picture has a transfer, matrix and depth of its own."""
    parts = [bars(shelf / f"part-{t}.ts", t) for t in ("bt709", "smpte2084", "arib-std-b67", "bt709")]
    path = shelf / "mixed.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert probe(parts[0]).tone_mapped is None
    assert probe(path).transfer == "bt709"
    with GridReader(path) as reader:
        errors = [worst(frame.pixels) for frame in reader]
    assert len(errors) == 80 and max(errors) <= 6


def test_hdr_in_the_middle_is_told(shelf: Path) -> None:
    """Neither the first pictures nor the last are HDR."""
    parts = [shelf / f"told-{n}.ts" for n in range(3)]
    for part, transfer in zip(parts, ("bt709", "arib-std-b67", "bt709"), strict=True):
        bars(part, transfer)
    path = shelf / "middle.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    measured = probe(path)
    assert (measured.transfer, measured.tone_mapped) == ("bt709", True)


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("primaries", [1, 9])
@pytest.mark.parametrize("tables", [True, False], ids=["tables of 16 bits", "numpy"])
def test_tone_mapping_is_what_the_standards_say(
    transfer: int, primaries: int, tables: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the formulas, worked out a pixel at a time and without tables: one level, but where a step of light is more."""
    monkeypatch.setattr("pipeline.media.tone._WIDE_TABLES", tables)
    rng = np.random.default_rng(5)
    codes = (65535 * rng.uniform(0, 1, (200, 300, 1)) ** 0.7 * rng.uniform(0.4, 1, (200, 300, 3))).astype(np.uint16)
    power = codes / 65535
    if transfer == PQ:
        root = power ** (32 / 2523)
        light = 10000 / 203 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (16384 / 2610)
    else:
        bright = (np.exp((power - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = 1000 / 203 * np.where(power <= 0.5, power**2 / 3, bright) ** 1.2
    if primaries == 9:
        to_bt709 = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
        light = light @ np.array(to_bt709).T
    light = np.maximum(light, 0)
    most = np.maximum(light.max(axis=-1, keepdims=True), 1e-9)
    light *= np.where(most > 0.95, (1 - 0.05 * np.exp(-(most - 0.95) / 0.05)) / most, 1)
    exact = 255 * light ** (1 / 2.4)
    found = to_sdr(codes, transfer, primaries)
    errors = np.abs(found - exact)
    assert errors[exact > 24].max() <= 1
    assert errors.max() <= 8


def test_a_sample_aspect_that_changes_midway(shelf: Path) -> None:
    """A talk in 2:1 pixels after one in square ones is not squeezed: it lies between black bars, as a player shows it."""
    aspects = (Fraction(1), Fraction(2))
    parts = [
        write_footage(
            shelf / f"aspect-part{n}.ts", constant_times(25, 40), time_base=Fraction(1, 25), sample_aspect=aspect
        )
        for n, aspect in enumerate(aspects)
    ]
    path = shelf / "aspects.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    reading = probe(path).reading
    for first in (0, 60):
        with GridReader(path, first, reading=reading) as reader:
            pictures = {frame.n: frame.pixels for frame in reader}
        assert {pixels.shape for pixels in pictures.values()} == {(64, 96, 3)}
        for n, pixels in pictures.items():
            assert read_counter(pixels if n < 40 else pixels[16:48]) == n % 40
            assert n < 40 or (not pixels[:15].any() and not pixels[49:].any())


def test_thumbnails_are_not_the_film(shelf: Path, plain: Path) -> None:
    path = shelf / "thumbnails.mov"
    small = ["-filter:v:0", "fps=1/2,scale=48:32", "-c:v:0", "mjpeg", "-pix_fmt:v:0", "yuvj420p"]
    told = ["-disposition:v:0", "default", "-disposition:v:1", "0"]
    ffmpeg(
        "-i", plain, "-map", "0:v", "-map", "0:v", "-map", "0:a", *small, "-c:v:1", "copy", "-c:a", "copy", *told, path
    )
    measured = probe(path)
    assert (measured.width, measured.height, measured.grid_frames) == (96, 64, 100)


def test_encrypted_samples_are_refused(shelf: Path, plain: Path) -> None:
    path = shelf / "encrypted.mp4"
    key = ["-encryption_key", "00112233445566778899aabbccddeeff", "-encryption_kid", "112233445566778899aabbccddeeff00"]
    ffmpeg("-i", plain, "-c", "copy", "-encryption_scheme", "cenc-aes-ctr", *key, path)
    for read in (probe, read_wave, lambda name: GridReader(name).__enter__()):
        with pytest.raises(Reject) as caught:
            read(path)  # type: ignore[operator]
        assert caught.value.reason is Reason.DRM_PROTECTED


@pytest.mark.parametrize("size", [(256, 144), (255, 143)], ids=str)
@pytest.mark.parametrize("colours", ["bt709:range=tv", "smpte170m:range=tv", "bt709:range=pc", "bt2020nc:range=tv"])
def test_coarse_pictures_have_the_colours_of_others(shelf: Path, colours: str, size: tuple[int, int]) -> None:
    matrix, named = colours.split(":range=")
    path = shelf / f"coarse-{matrix}-{named}.mp4"
    row = np.repeat(np.array(BARS, np.uint8), 160, axis=0)
    raw = np.repeat(row[None], 720, axis=0).tobytes() * 2
    told = f"scale=out_color_matrix={matrix}:out_range={named}:flags=accurate_rnd,format=yuv420p"
    tags = ["-colorspace", matrix, "-color_range", named, "-c:v", "libx264", "-crf", "8"]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "1280x720", "-r", "25", "-i", "-"]
    command = [ffmpeg_exe(), "-v", "error", "-y", *source, "-vf", told, *tags, str(path)]
    subprocess.run(command, input=raw, check=True, timeout=60)
    with GridReader(path, size=size, pixel_format="coarse") as reader:
        first = next(iter(reader)).pixels
    assert first.shape == (size[1], size[0], 3) and worst(first) <= 3


def test_coarse_pictures_of_files_in_other_layouts_are_whole(shelf: Path) -> None:
    path = write_footage(shelf / "444.mp4", constant_times(25, 5), pixel_format="yuv444p", options={"crf": "10"})
    found = []
    for form in ("coarse", "rgb24"):
        with GridReader(path, size=(64, 36), pixel_format=form) as reader:
            found.append([frame.pixels for frame in reader])
    assert np.array_equal(found[0], found[1])
