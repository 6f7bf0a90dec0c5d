"""Picture n of the grid is the source frame that the rule names, whatever the file looks like."""

import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.base.reasons import Reason, Reject
from pipeline.media.frames import decoded_frames
from pipeline.media.guard import Limits
from pipeline.media.reading import AS_IT_STANDS
from pipeline.media.video import GridReader, ffmpeg_exe, probe
from tests.pipeline.media.footage import (
    HEIGHT,
    WIDTH,
    constant_times,
    counter_picture,
    expected_counters,
    ffmpeg,
    has_encoder,
    read_counter,
    speckle,
    write_footage,
)


def counters(path: Path, first: int = 0, frames: int | None = None, **options: object) -> list[int | None]:
    with GridReader(path, first, frames, **options) as reader:  # type: ignore[arg-type]
        return [read_counter(frame.pixels) for frame in reader]


RATES = [Fraction(r) for r in ("5", "10", "119/10", "24000/1001", "24", "25", "30000/1001", "30", "50", "60")]


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_constant_rates(shelf: Path, rate: Fraction, suffix: str) -> None:
    tick = Fraction(1, 1000) if suffix == "mkv" else Fraction(1, rate.numerator)
    times = [round(t / tick) * tick for t in constant_times(rate, int(rate * 2) + 1)]
    path = write_footage(shelf / f"rate{rate.numerator}-{rate.denominator}.{suffix}", times, time_base=tick)
    with av.open(str(path)) as container:
        end = max((p.pts + p.duration) * p.time_base for p in container.demux(video=0) if p.pts is not None)
    got = counters(path)
    assert got == expected_counters(times, end)
    measured = probe(path)
    assert measured.grid_frames == len(got)
    assert measured.source_fps == pytest.approx(float(rate), rel=2e-3)
    assert not measured.variable_rate
    assert not measured.truncated


def test_variable_rate_with_gap_and_late_start(shelf: Path) -> None:
    rng = np.random.default_rng(3)
    steps = [Fraction(int(s), 1000) for s in rng.integers(5, 120, 60)]
    steps[30] = Fraction(3, 2)  # a gap of 1.5 s
    times = [Fraction(3, 10) + sum(steps[:k], Fraction(0)) for k in range(61)]
    path = write_footage(shelf / "vfr.mp4", times, time_base=Fraction(1, 1000), sound=speckle(1.0))
    got = counters(path)
    expected = expected_counters(times, times[-1] + Fraction(1, 1000))
    assert got[: len(expected)] == expected
    assert got[:7] == [0] * 7  # the late start shows the first picture
    assert len(got) == probe(path).grid_frames
    assert probe(path).variable_rate
    with GridReader(path) as reader:
        flags = [frame.repeated for frame in reader]
    assert flags == [False] + [a == b for a, b in pairwise(got)]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv", "avi", "mpg"])
def test_reading_from_the_middle_equals_a_whole_read(shelf: Path, suffix: str) -> None:
    codec = {"avi": "mpeg4", "mpg": "mpeg2video"}.get(suffix, "libx264")
    options = (
        {"preset": "fast", "bf": "2", "x264-params": "open-gop=1:bframes=2"} if codec == "libx264" else {"bf": "2"}
    )
    path = write_footage(
        shelf / f"seek.{suffix}",
        constant_times(30, 180) if suffix != "mpg" else constant_times(25, 150),
        time_base=Fraction(1, 30) if suffix != "mpg" else Fraction(1, 25),
        codec=codec,
        options=options,
    )
    with GridReader(path, pixel_format="gray") as reader:
        whole = list(reader)
    # AVI has no presentation times: with B-frames everything, ffmpeg included, shows it one frame late.
    assert len(whole) == probe(path).grid_frames == 150 + (suffix == "avi")
    assert [f.n for f in whole] == list(range(len(whole)))
    for first, frames in ((1, 3), (40, 12), (77, 1), (101, 30), (140, 99), (149, 1), (150, 5), (900, 2)):
        with GridReader(path, first, frames, pixel_format="gray") as reader:
            part = list(reader)
        wanted = whole[first : first + frames]
        assert [f.n for f in part] == [f.n for f in wanted]
        assert [f.repeated for f in part] == [f.repeated for f in wanted]
        for a, b in zip(part, wanted, strict=True):
            assert read_counter(a.pixels) == read_counter(b.pixels)
            assert np.array_equal(a.pixels, b.pixels)
    with GridReader(path, pixel_format="gray") as reader:  # single pictures, from one opened file, forwards and back
        for wanted_numbers in ([100, 3, 77], [140, 141], [1], [120, 20, 20, 28], [149, 900], []):
            picked = list(reader.at(wanted_numbers))
            assert [f.n for f in picked] == sorted({n for n in wanted_numbers if n < len(whole)})
            for one in picked:
                assert one.repeated == whole[one.n].repeated and np.array_equal(one.pixels, whole[one.n].pixels)


def test_single_pictures_are_decoded_on_or_sought_whichever_is_less(shelf: Path) -> None:
    path = write_footage(shelf / "gops.mp4", constant_times(25, 400), options={"bf": "0"}, gop=50)

    def cost(*wanted: int) -> int:
        with GridReader(path, threads=1, reading=AS_IT_STANDS) as reader:
            list(reader.at([wanted[0]]))
            before = decoded_frames()
            assert [read_counter(frame.pixels) for frame in reader.at(wanted[1:])] == [*wanted[1:]]
            return decoded_frames() - before

    assert cost(60, 310, 320, 330) <= 33, "one stretch from the keyframe at 300"
    assert cost(60, 110, 360) <= 2 * 13, "a seek each, nothing between"
    assert cost(60, 149, 151) <= 57, "50 to the first, which is the last before a keyframe, then few more"
    with GridReader(path, 100, 100, threads=1, reading=AS_IT_STANDS) as reader:
        before = decoded_frames()
        assert sum(1 for _ in reader) == 100
        assert 100 <= decoded_frames() - before <= 103, "the count is that of decoded frames"


def ffmpeg_presentation(path: Path) -> list[int | None]:
    """The counters that the ffmpeg binary itself shows shows, in its order."""
    command = [
        ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        str(path),
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-",
    ]
    raw = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return [read_counter(p) for p in np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH)]


def test_hidden_preroll_of_an_edit_list(shelf: Path, plain: Path) -> None:
    path = shelf / "preroll.mp4"
    ffmpeg("-ss", "0.72", "-i", plain, "-c", "copy", path)  # frame 18 is no keyframe: 12..17 are hidden
    shown = ffmpeg_presentation(path)
    assert shown[0] == 18
    got = counters(path)
    assert got == shown
    assert probe(path).grid_frames == len(got)
    assert counters(path, 30, 5) == shown[30:35]
    assert not probe(path).truncated


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation(shelf: Path, rotation: int) -> None:
    times = constant_times(25, 4)
    path = shelf / f"rotated{rotation}.mp4"
    turns = rotation // 90
    # Coded lying, so that turning it clockwise makes it upright.
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        first = np.rot90(counter_picture(0), turns)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.set_display_rotation(-rotation)
        for k in range(len(times)):
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(np.rot90(counter_picture(k), turns)), format="rgb24"
            )
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    measured = probe(path)
    assert (measured.width, measured.height, measured.rotation_degrees) == (WIDTH, HEIGHT, rotation)
    assert counters(path) == [0, 1, 2, 3]
    assert counters(path, size=(48, 32), pixel_format="gray") == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(4, 3), (128, 64)), (Fraction(2, 3), (96, 96)), (Fraction(16, 15), (102, 64))]
)
def test_sample_aspect(shelf: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    path = write_footage(shelf / f"aspect{aspect.numerator}.mp4", constant_times(25, 3), sample_aspect=aspect)
    measured = probe(path)
    assert (measured.width, measured.height, measured.sample_aspect) == (*size, aspect)
    assert (measured.coded_width, measured.coded_height) == (WIDTH, HEIGHT)
    with GridReader(path) as reader:
        pictures = [frame.pixels for frame in reader]
    assert pictures[0].shape == (size[1], size[0], 3)
    assert [read_counter(p) for p in pictures] == [0, 1, 2]


@pytest.mark.parametrize("suffix", ["mpg", "mkv"])
def test_interlaced(shelf: Path, suffix: str) -> None:
    """Each frame weaves two moments of a moving bar; deinterlaced pictures show one, at the same times."""
    path = shelf / f"interlaced.{suffix}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme", "top": "1", "b": "3000000"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for k in range(60):
            picture = np.full((96, 128, 3), 30, np.uint8)
            for field in (0, 1):
                x = (4 * k + 2 * field) % 100
                picture[field::2, x : x + 12] = 220
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts = k
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert probe(path).interlaced
    with GridReader(path, pixel_format="gray") as reader:
        whole = [frame.pixels.astype(int) for frame in reader]
    assert len(whole) == probe(path).grid_frames == 60
    for k in range(5, 20):
        rows = whole[k][20:76, :]
        combing = np.abs(rows[1:-1] * 2 - rows[:-2] - rows[2:]).mean()
        assert combing < 4, f"frame {k} is combed: {combing:.1f}"
        bar = np.flatnonzero(rows.mean(axis=0) > 125)
        assert abs(bar.mean() - (4 * k % 100 + 5.5)) < 2.5
    for first in range(30, 44):  # with and without a keyframe at the first
        with GridReader(path, first, 3, pixel_format="gray") as reader:
            for frame in reader:
                assert np.array_equal(frame.pixels, whole[frame.n])


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "size"),
    [
        ("odd.mkv", "libx264", "yuv444p", (97, 65)),
        ("ten.mp4", "libx265", "yuv420p10le", (96, 64)),
        ("hevc.mp4", "libx265", "yuv420p", (96, 64)),
        ("vp9.webm", "libvpx-vp9", "yuv420p", (96, 64)),
        ("vp8.webm", "libvpx", "yuv420p", (96, 64)),
        ("av1.mp4", "libsvtav1", "yuv420p", (96, 64)),
        ("mpeg1.mpg", "mpeg1video", "yuv420p", (96, 64)),
        ("mpeg4.avi", "mpeg4", "yuv420p", (96, 64)),
        ("theora.ogg", "libtheora", "yuv420p", (96, 64)),
        ("ffv1.mkv", "ffv1", "yuv422p", (98, 66)),
    ],
)
def test_codecs(shelf: Path, name: str, codec: str, pixel_format: str, size: tuple[int, int]) -> None:
    if not has_encoder(codec):
        pytest.skip(f"no encoder {codec} here")
    options = (
        {"x265-params": "log-level=none:pools=1"}
        if codec == "libx265"
        else {"preset": "8", "crf": "20"}
        if codec == "libsvtav1"
        else {}
    )
    if codec in ("libvpx-vp9", "libvpx"):
        options = {"deadline": "realtime", "cpu-used": "8", "b": "500k"}
    if codec in ("mpeg1video", "mpeg4", "libtheora"):
        options = {"b": "2000000"}
    path = write_footage(
        shelf / name,
        constant_times(25, 30),
        time_base=Fraction(1, 25),
        codec=codec,
        pixel_format=pixel_format,
        size=size,
        options=options,
    )
    got = counters(path)
    assert got == list(range(30))
    assert counters(path, 17, 4) == [17, 18, 19, 20]
    measured = probe(path)
    assert (measured.width, measured.height, measured.pixel_format) == (*size, pixel_format)
    assert measured.grid_frames == 30


def test_the_default_picture_stream_is_read(shelf: Path, plain: Path) -> None:
    """Several video and audio streams and a cover: the default ones count."""
    other = write_footage(shelf / "other.mp4", constant_times(25, 20), size=(64, 48), sound=speckle(1.0))
    cover = shelf / "cover.jpg"
    ffmpeg("-i", plain, "-frames:v", "1", cover)
    path = shelf / "many.mp4"
    maps = ["-map", "2:v", "-map", "1:v", "-map", "0:v", "-map", "1:a", "-map", "0:a"]
    flags = ["-disposition:v:0", "attached_pic", "-disposition:v:1", "0", "-disposition:v:2", "default"]
    ffmpeg("-i", plain, "-i", other, "-i", cover, *maps, "-c", "copy", *flags, path)
    measured = probe(path)
    assert (measured.width, measured.height) == (WIDTH, HEIGHT)
    assert (measured.video_streams, measured.audio_streams) == (2, 2)
    assert counters(path) == list(range(100))


@pytest.mark.parametrize(("matrix", "name"), [("bt709", "bt709"), ("smpte170m", "bt601")])
@pytest.mark.parametrize("colour_range", ["tv", "pc"])
def test_colours(shelf: Path, matrix: str, name: str, colour_range: str) -> None:
    path = shelf / f"colour-{name}-{colour_range}.mp4"
    colours = [(200, 30, 40), (30, 180, 60), (40, 60, 210), (128, 128, 128), (235, 235, 235)]
    raw = b"".join(np.full((48, 64, 3), colour, np.uint8).tobytes() for colour in colours)
    convert = f"scale=out_color_matrix={matrix}:out_range={colour_range}:flags=accurate_rnd,format=yuv420p"
    tags = ["-colorspace", matrix, "-color_range", colour_range, "-color_primaries", matrix, "-color_trc", matrix]
    command = [
        ffmpeg_exe(),
        "-y",
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        "64x48",
        "-r",
        "25",
        "-i",
        "-",
    ]
    subprocess.run(
        [*command, "-vf", convert, *tags, "-c:v", "libx264", "-qp", "4", str(path)], input=raw, check=True, timeout=60
    )
    for size in (None, (32, 24)):
        with GridReader(path, size=size) as reader:
            for frame, colour in zip(reader, colours, strict=True):
                assert np.abs(frame.pixels[10, 10].astype(int) - colour).max() <= 4
    weights = {"bt709": (0.2126, 0.7152, 0.0722), "bt601": (0.299, 0.587, 0.114)}[name]
    with GridReader(path, size=(32, 24), pixel_format="gray") as reader:
        for frame, colour in zip(reader, colours, strict=True):
            assert abs(float(frame.pixels[10, 10]) - np.dot(weights, colour)) <= 4


@pytest.mark.parametrize("tag", range(15))
def test_any_colour_tag_can_be_read(shelf: Path, tag: int) -> None:
    """Matrices that swscale does not know are taken for the usual one instead of failing."""
    path = write_footage(shelf / f"tag{tag}.mp4", constant_times(25, 2), options={"colorspace": str(tag)})
    assert counters(path) == [0, 1]
    assert counters(path, pixel_format="gray") == [0, 1]


def test_the_number_of_threads_changes_nothing(plain: Path) -> None:
    with GridReader(plain, 30, 20, threads=1) as one, GridReader(plain, 30, 20, threads=3) as three:
        for a, b in zip(one, three, strict=True):
            assert np.array_equal(a.pixels, b.pixels)


def test_a_broken_middle_is_passed_over(shelf: Path, plain: Path) -> None:
    data = bytearray(plain.read_bytes())
    with av.open(str(plain)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.pos is not None and p.size]
    for position, size in packets[30:36]:
        data[position : position + size] = bytes(np.random.default_rng(position).integers(0, 256, size, dtype=np.uint8))
    path = shelf / "torn.mp4"
    path.write_bytes(data)
    got = counters(path)
    assert len(got) == 100
    assert got[:28] == list(range(28))
    assert got[50:] == list(range(50, 100))


def test_a_file_cut_short_is_read_as_far_as_it_goes(shelf: Path, plain: Path) -> None:
    fast = shelf / "fast.mp4"
    ffmpeg("-i", plain, "-c", "copy", "-movflags", "+faststart", fast)
    data = fast.read_bytes()
    path = shelf / "short.mp4"
    path.write_bytes(data[: len(data) * 6 // 10])
    measured = probe(path)
    assert measured.truncated
    got = counters(path)
    assert 20 < len(got) < 80
    assert abs(measured.grid_frames - len(got)) <= 2
    assert got[: len(got) - 2] == list(range(len(got) - 2))
    assert counters(path, 99, 1) == []


def test_matroska_cut_short_is_seen_to_be(shelf: Path, plain: Path) -> None:
    whole = shelf / "whole.mkv"
    ffmpeg("-i", plain, "-c", "copy", whole)
    assert not probe(whole).truncated
    path = shelf / "short.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert probe(path).truncated


def test_size_change_inside_the_stream_keeps_the_size(shelf: Path) -> None:
    parts = [
        write_footage(shelf / f"part{n}.ts", constant_times(25, 40), size=s) for n, s in enumerate([(96, 64), (48, 32)])
    ]
    path = shelf / "joined.ts"
    second = shelf / "later.ts"
    ffmpeg("-i", parts[1], "-c", "copy", "-output_ts_offset", "1.6", second)
    path.write_bytes(parts[0].read_bytes() + second.read_bytes())
    for first in (0, 40):
        with GridReader(path, first) as reader:
            assert {frame.pixels.shape for frame in reader} == {(64, 96, 3)}


def test_pictures_longer_than_the_limit_are_not_made_up(shelf: Path) -> None:
    """A broken timestamp a day later must not repeat a picture for a day."""
    times = [*constant_times(25, 10), Fraction(86400)]
    path = write_footage(shelf / "jump.mkv", times, time_base=Fraction(1, 1000))
    with pytest.raises(Reject) as caught:
        probe(path)
    assert caught.value.reason is Reason.TOO_LONG
    with pytest.raises(Reject):
        counters(path, limits=Limits(max_duration_seconds=60))


def test_impossible_arguments(plain: Path) -> None:
    with pytest.raises(ValueError, match="not below 0"):
        GridReader(plain, -1)
    with pytest.raises(ValueError, match="pixel_format"), GridReader(plain, pixel_format="yuv420p") as reader:
        list(reader)
    with pytest.raises(RuntimeError, match="with"):
        iter(GridReader(plain))
    with GridReader(plain, 5, 0) as reader:
        assert list(reader) == []
