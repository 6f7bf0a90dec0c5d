"""What is written is read back: the same pictures, sound in step, equal bytes, and nothing left after a failure."""

import signal
import subprocess
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.base.reasons import Failure, Reason
from pipeline.base.units import SAMPLE_RATE, SAMPLES_PER_FRAME
from pipeline.media.audio import read_wave
from pipeline.media.video import GridReader, ffmpeg_exe, probe, write_clip, write_video
from pipeline.media.writer import WriteError
from tests.pipeline.media.footage import HEIGHT, WIDTH, counter_picture, read_counter, speckle

SIZE = (WIDTH, HEIGHT)


def pictures(count: int) -> Iterator[np.ndarray]:
    return (counter_picture(k) for k in range(count))


def fake_ffmpeg(folder: Path, script: str) -> Path:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, pictures(40), speckle(1.6), size=SIZE, preset="veryfast")
    with GridReader(path) as reader:
        assert [read_counter(frame.pixels) for frame in reader] == list(range(40))
    measured = probe(path)
    assert (measured.width, measured.height, measured.source_fps, measured.grid_frames) == (*SIZE, 25.0, 40)
    assert (measured.video_codec, measured.pixel_format, measured.audio_codec) == ("h264", "yuv420p", "aac")
    assert measured.audio_start_seconds == 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.start_time == 0
        packets = [p for p in container.demux(stream) if p.pts is not None]
        assert [p.pts * stream.time_base for p in packets] == [Fraction(k, 25) for k in range(40)]
        assert all(p.pts == p.dts for p in packets)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_colours_come_back(tmp_path: Path) -> None:
    colours = [(200, 30, 40), (30, 180, 60), (40, 60, 210), (250, 250, 250), (5, 5, 5)]
    path = tmp_path / "colours.mp4"
    write_clip(path, (np.full((48, 64, 3), c, np.uint8) for c in colours), None, size=(64, 48), crf=4)
    with GridReader(path) as reader:
        for frame, colour in zip(reader, colours, strict=True):
            assert np.abs(frame.pixels.astype(int) - colour).max() <= 4
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)


def test_flash_and_click_coincide(tmp_path: Path) -> None:
    flashes = [0, 10, 25, 39]
    wave = np.zeros(40 * SAMPLES_PER_FRAME, np.float32)
    for k in flashes:
        wave[k * SAMPLES_PER_FRAME] = 0.9
    path = tmp_path / "flash.mp4"
    dark = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    write_clip(path, (np.full_like(dark, 230) if k in flashes else dark for k in range(40)), wave, size=SIZE)
    with GridReader(path, pixel_format="gray") as reader:
        assert [frame.n for frame in reader if frame.pixels.mean() > 128] == flashes
    heard = read_wave(path)
    assert heard is not None
    for k in flashes:
        begin = max(k * SAMPLES_PER_FRAME - 320, 0)
        peak = begin + int(np.argmax(np.abs(heard[begin : k * SAMPLES_PER_FRAME + 320])))
        assert abs(peak - k * SAMPLES_PER_FRAME) <= 0.005 * SAMPLE_RATE


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / name, pictures(12), speckle(0.48), size=SIZE)
        time.sleep(1.1)  # a clock in the file would tick
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_other_rates_and_codecs(tmp_path: Path) -> None:
    path = tmp_path / "other.mkv"
    write_video(
        path,
        pictures(24),
        np.stack([speckle(1.0, 44100), speckle(1.0, 44100, seed=8)], axis=1),
        size=SIZE,
        fps=Fraction(24000, 1001),
        sound_rate=44100,
        video_codec="mpeg4",
        audio_codec="flac",
        options={"q:v": 2},
    )
    measured = probe(path)
    assert measured.source_fps == pytest.approx(23.976, abs=0.05)
    assert (measured.video_codec, measured.audio_codec) == ("mpeg4", "flac")
    assert (measured.audio_sample_rate, measured.audio_channels) == (44100, 2)


def test_wrong_input_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with pytest.raises(ValueError, match="picture 1"):
        write_clip(path, iter([counter_picture(0), counter_picture(1)[:, ::2]]), None, size=SIZE)
    with pytest.raises(ValueError, match="no pictures"):
        write_clip(path, iter([]), None, size=SIZE)
    with pytest.raises(ValueError, match="even"):
        write_clip(path, pictures(1), None, size=(97, 64))
    with pytest.raises(ValueError, match="shape"):
        write_clip(path, pictures(1), np.zeros(0, np.float32), size=SIZE)
    with pytest.raises(WriteError, match="preset"):
        write_clip(path, pictures(200), None, size=SIZE, preset="no such preset")
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_pictures_comes_through(tmp_path: Path) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield counter_picture(0)
        raise KeyError("source")

    path = tmp_path / "clip.mp4"
    path.write_bytes(b"older")
    with pytest.raises(KeyError):
        write_clip(path, failing(), speckle(0.1), size=SIZE)
    assert path.read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = fake_ffmpeg(
        tmp_path, "head -c 10 >/dev/null; echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 228"
    )
    monkeypatch.setenv("CSG405_FFMPEG", str(fake))
    assert ffmpeg_exe() == str(fake)
    with pytest.raises(Failure) as caught:
        write_clip(tmp_path / "clip.mp4", pictures(50), None, size=SIZE)
    assert caught.value.reason is Reason.DISK_FULL
    assert f"no space left while writing {tmp_path / 'clip.mp4'}: free some" in str(caught.value)


def test_a_missing_folder_is_not_writable(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        write_clip(tmp_path / "nowhere" / "clip.mp4", pictures(1), None, size=SIZE)
    assert caught.value.reason is Reason.NOT_WRITABLE


def test_the_deadline_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSG405_FFMPEG", str(fake_ffmpeg(tmp_path, "exec sleep 60")))
    started: list[subprocess.Popen[bytes]] = []

    class NotedPopen(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", NotedPopen)
    with pytest.raises(Failure) as caught:
        write_clip(tmp_path / "clip.mp4", pictures(50), None, size=SIZE, deadline_seconds=0.5)
    assert caught.value.reason is Reason.TIMED_OUT
    assert [process.returncode for process in started] == [-signal.SIGKILL], "it was waited for, or told to end itself"
    assert [p.name for p in tmp_path.iterdir()] == ["ffmpeg"]


def test_ffmpeg_binary_runs() -> None:
    assert subprocess.run([ffmpeg_exe(), "-version"], capture_output=True, check=True, timeout=30).stdout.startswith(
        b"ffmpeg"
    )
