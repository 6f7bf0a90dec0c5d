"""Nothing but a sound local video gets past the guard, and each refusal names its reason."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.media.audio import read_wave
from pipeline.media.guard import Limits, open_container
from pipeline.media.video import GridReader, probe
from tests.pipeline.media.footage import constant_times, ffmpeg, speckle, write_footage


def reason_of(call: Callable[[], object]) -> Reason:
    with pytest.raises(Reject) as caught:
        call()
    assert caught.value.detail
    assert "\n" not in caught.value.detail
    return caught.value.reason


def refused(path: Path | str, limits: Limits | None = None) -> Reason:
    """The reason that probing, reading and listening agree on."""
    reasons = {
        reason_of(lambda: probe(path, limits)),
        reason_of(lambda: list(GridReader(path, limits=limits or Limits()).__enter__())),
    }
    assert len(reasons) == 1
    return reasons.pop()


FAKES = {
    "page.mp4": (b"<!DOCTYPE html>\n<html><body>Sign in to continue</body></html>" * 40, Reason.NOT_MEDIA),
    "spaced.mp4": (b"\xef\xbb\xbf\n  <HTML><body>no</body></HTML>" * 40, Reason.NOT_MEDIA),
    "json.mp4": (b'{"error": "quota"}' * 100, Reason.NOT_MEDIA),
    "text.mp4": (b"once upon a time\n" * 500, Reason.NOT_MEDIA),
    "empty.mp4": (b"", Reason.EMPTY_FILE),
    "zeros.mp4": (bytes(100_000), Reason.NOT_MEDIA),
    "hls.mp4": (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n", Reason.NOT_MEDIA),
    "concat.mp4": (b"ffconcat version 1.0\nfile 'plain.mp4'\n", Reason.NOT_MEDIA),
    "dash.mp4": (b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>', Reason.NOT_MEDIA),
    "sdp.mp4": (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n", Reason.NOT_MEDIA),
    "subs.mp4": (b"1\n00:00:01,000 --> 00:00:02,000\nhello\n" * 50, Reason.NOT_MEDIA),
}


@pytest.mark.parametrize("name", FAKES)
def test_what_is_no_video(tmp_path: Path, name: str) -> None:
    data, reason = FAKES[name]
    path = tmp_path / name
    path.write_bytes(data)
    assert refused(path) is reason


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(seed).integers(0, 256, 60_000, dtype=np.uint8).tobytes())
    assert refused(path) is Reason.NOT_MEDIA


def test_a_playlist_does_not_reach_its_files(tmp_path: Path, plain: Path) -> None:
    """Even one that the sniffing does not know by its first bytes."""
    segment = tmp_path / "plain.ts"
    ffmpeg("-i", plain, "-c", "copy", segment)
    path = tmp_path / "list.m3u8"
    path.write_text("\n# \n#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:4,\nplain.ts\n#EXT-X-ENDLIST\n")
    assert refused(path) is Reason.NOT_MEDIA
    concat = tmp_path / "list.ffconcat"
    concat.write_text(f"ffconcat version 1.0\nfile '{segment}'\n")
    assert refused(concat) is Reason.NOT_MEDIA


@pytest.mark.parametrize(
    "path",
    [
        "http://127.0.0.1:9/x.mp4",
        "https://example.com/x.mp4",
        "rtmp://x/y",
        "concat://a|b",
        "-i.mp4",
        "-",
        "file:///etc/passwd",
        "a\0b",
    ],
)
def test_what_is_no_local_path(path: str) -> None:
    assert refused(path) is Reason.BAD_LINK


@pytest.mark.parametrize(
    "name", ["http:x.mp4", "concat:a|b.mp4", "subfile,,start,0,end,9,,:x.mp4", "%d.mp4", "a b'\".mp4", "ü漢.mp4"]
)
def test_odd_names_are_only_names(tmp_path: Path, plain: Path, name: str) -> None:
    path = tmp_path / name
    path.symlink_to(plain)
    assert probe(path).grid_frames == 100
    with pytest.raises(Failure):
        probe(tmp_path / f"{name}.gone")


def test_gone_and_not_a_file(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.mp4", tmp_path / "no" / "folder.mp4"):
        with pytest.raises(Failure) as caught:
            probe(path)
        assert caught.value.reason is Reason.SOURCE_MISSING
    assert refused(tmp_path) is Reason.NOT_MEDIA
    os.mkfifo(tmp_path / "pipe.mp4")
    assert refused(tmp_path / "pipe.mp4") is Reason.NOT_MEDIA


def test_an_mp4_without_its_index_is_corrupt(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "noindex.mp4"
    path.write_bytes(plain.read_bytes()[: plain.stat().st_size // 2])
    assert refused(path) is Reason.CORRUPT


def test_an_index_without_pictures_is_corrupt(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "hollow.mp4"
    ffmpeg("-i", plain, "-an", "-c", "copy", "-movflags", "+faststart", path)
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4
    data[begin:] = bytes(len(data) - begin)
    path.write_bytes(data)
    assert reason_of(lambda: probe(path)) is Reason.CORRUPT
    with GridReader(path) as reader:
        assert list(reader) == []


def test_sound_alone_is_no_video(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "sound.m4a"
    ffmpeg("-i", plain, "-vn", "-c", "copy", path)
    assert refused(path) is Reason.NO_VIDEO
    assert read_wave(path) is not None
    cover = tmp_path / "cover.jpg"
    ffmpeg("-i", plain, "-frames:v", "1", cover)
    song = tmp_path / "song.m4a"
    ffmpeg("-i", path, "-i", cover, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic", song)
    assert refused(song) is Reason.NO_VIDEO


def test_a_codec_off_the_list(tmp_path: Path) -> None:
    path = write_footage(tmp_path / "huff.avi", constant_times(25, 5), codec="huffyuv", pixel_format="yuv422p")
    assert refused(path) is Reason.UNKNOWN_CODEC


def test_limits(tmp_path: Path, plain: Path) -> None:
    assert refused(plain, Limits(max_pixels=96 * 64 - 1)) is Reason.TOO_LARGE
    assert probe(plain, Limits(max_pixels=96 * 64)).grid_frames == 100
    assert refused(plain, Limits(max_duration_seconds=3.9)) is Reason.TOO_LONG
    assert refused(plain, Limits(max_bytes=1000)) is Reason.TOO_LARGE
    assert refused(plain, Limits(max_streams=1)) is Reason.TOO_MANY_STREAMS
    assert reason_of(lambda: read_wave(plain, Limits(max_streams=1))) is Reason.TOO_MANY_STREAMS


def test_many_streams(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "many.mkv"
    ffmpeg("-i", plain, *["-map", "0:a"] * 40, "-map", "0:v", "-c", "copy", path)
    assert refused(path) is Reason.TOO_MANY_STREAMS


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path, suffix: str) -> None:
    """14000 x 14000 in a few hundred bytes; decoding it would take 300 MB a picture."""
    path = tmp_path / f"huge.{suffix}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width = stream.height = 14000
        stream.pix_fmt = "yuvj420p"
        # Only the header has to be huge: the packet is never to be decoded.
        packet = av.Packet(b"\xff\xd8\xff\xd9" * 20)
        packet.stream, packet.pts, packet.dts, packet.duration = stream, 0, 0, 1
        packet.time_base = Fraction(1, 25)
        packet.is_keyframe = True
        out.mux(packet)
    assert refused(path) is Reason.TOO_LARGE


def test_a_huge_picture_inside_a_small_header_is_refused(tmp_path: Path) -> None:
    """The second half of the stream is larger than the limit and than what the header says."""
    parts = [
        write_footage(tmp_path / f"{width}.ts", constant_times(25, 10, start), size=(width, 64))
        for width, start in ((96, Fraction(0)), (960, Fraction(2, 5)))
    ]
    path = tmp_path / "grows.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert reason_of(lambda: _read(path, 0, Limits(max_pixels=96 * 64))) is Reason.TOO_LARGE


def test_a_stretched_picture_counts_as_displayed(tmp_path: Path) -> None:
    path = write_footage(tmp_path / "wide.mp4", constant_times(25, 3), sample_aspect=Fraction(7, 1))
    assert reason_of(lambda: probe(path, Limits(max_pixels=20_000))) is Reason.TOO_LARGE
    absurd = write_footage(tmp_path / "absurd.mp4", constant_times(25, 3), sample_aspect=Fraction(255, 1))
    assert probe(absurd).width == 96


def test_a_lying_header_is_measured(tmp_path: Path, plain: Path) -> None:
    """A Matroska header that claims an hour for four seconds."""
    path = tmp_path / "liar.mkv"
    ffmpeg("-i", plain, "-c", "copy", path)
    data = bytearray(path.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = np.array([3_600_000.0], dtype=">f8").tobytes()
    path.write_bytes(data)
    measured = probe(path)
    assert measured.duration_seconds == pytest.approx(4.0, abs=0.05)
    assert measured.grid_frames == 100
    assert measured.truncated


@pytest.mark.parametrize("seed", range(16))
def test_damaged_files_never_hang_or_crash(tmp_path: Path, plain: Path, seed: int) -> None:
    """Random bytes flipped anywhere, header and index included: a result, a Reject, nothing else, and soon."""
    suffix = ("mp4", "mkv", "ts", "flv")[seed % 4]
    ffmpeg("-i", plain, "-c", "copy", tmp_path / f"good.{suffix}")
    rng = np.random.default_rng(seed)
    data = np.frombuffer((tmp_path / f"good.{suffix}").read_bytes(), np.uint8).copy()
    hits = rng.integers(0, len(data), 40 if seed % 8 < 4 else 400)
    data[hits] = rng.integers(0, 256, len(hits), dtype=np.uint8)
    path = tmp_path / f"damaged.{suffix}"
    path.write_bytes(data.tobytes())
    limits = Limits(max_duration_seconds=120)
    for work in (
        lambda: probe(path, limits),
        lambda: read_wave(path, limits),
        lambda: _read(path, 0, limits),
        lambda: _read(path, 60, limits),
    ):
        try:
            work()
        except Reject as reject:
            assert reject.reason.kind == "bad"


def _read(path: Path, first: int, limits: Limits) -> int:
    with GridReader(path, first, limits=limits) as reader:
        return sum(1 for _ in reader)


def test_open_container_closes_on_refusal(plain: Path) -> None:
    """No handle is left to a file that was refused."""
    for _ in range(5):
        with pytest.raises(Reject):
            open_container(plain, Limits(max_streams=1))
    assert plain.as_posix() not in [file.path for file in psutil.Process().open_files()]


def test_a_wave_of_a_long_lie_is_bounded(tmp_path: Path) -> None:
    """Sound that claims to begin a day late makes no day of silence."""
    path = write_footage(
        tmp_path / "late.mkv",
        constant_times(25, 5),
        sound=speckle(0.5),
        sound_start=Fraction(400),
        sound_codec="pcm_s16le",
    )
    wave = read_wave(path, Limits(max_duration_seconds=1000))
    assert wave is not None
    assert len(wave) <= 401 * 16000
    assert reason_of(lambda: probe(path, Limits(max_duration_seconds=60))) is Reason.TOO_LONG
