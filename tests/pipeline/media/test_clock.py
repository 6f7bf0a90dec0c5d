"""Clocks that restart, jump or are damaged: every picture in order, sound in step, and no length that nobody filmed."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.reasons import Reason, Reject
from pipeline.media.audio import read_wave
from pipeline.media.clock import Clock, Mender, Turn
from pipeline.media.columns import FILM_COLUMNS
from pipeline.media.pieces import PacketTimes, clock_of
from pipeline.media.reading import Reading
from pipeline.media.video import GridReader, probe
from pipeline.tables.kinds.sources import VIDEOS
from tests.pipeline.media.footage import constant_times, ffmpeg, read_counter, speckle, write_footage
from tests.pipeline.media.test_audio import shift_between

PICTURES = 60


def counters(path: Path, first: int = 0, frames: int | None = None, reading: Reading | None = None) -> list[int | None]:
    with GridReader(path, first, frames, reading=reading) as reader:
        return [read_counter(frame.pixels) for frame in reader]


def talk(shelf: Path, seed: int) -> Path:
    """Pictures 0..59 and noise of its own."""
    path = shelf / f"clock-talk{seed}.mp4"
    options = {"preset": "fast", "bf": "2"}
    sound = speckle(PICTURES / 25, 48000, seed)
    return write_footage(path, constant_times(25, PICTURES), options=options, sound=sound, sound_rate=48000)


def part(shelf: Path, seed: int, suffix: str, offset: int = 0) -> Path:
    """A talk as .ts or .vob whose clock begins at `offset` s."""
    path = shelf / f"part{seed}-{offset}.{suffix}"
    coded = ["-c", "copy"] if suffix == "ts" else ["-c:v", "mpeg2video", "-qscale:v", "3", "-c:a", "mp2", "-f", "vob"]
    ffmpeg("-i", talk(shelf, seed), *coded, "-output_ts_offset", offset, path)
    return path


@pytest.mark.parametrize(
    ("suffix", "offsets"),
    [
        ("ts", (0, 0)),
        ("ts", (0, 3600)),
        ("ts", (7200, 3600, 10)),
        ("ts", (0, 90000)),
        ("vob", (0, 0)),
        ("vob", (20, 0)),
    ],
    ids=str,
)
def test_joined_talks(shelf: Path, suffix: str, offsets: tuple[int, ...]) -> None:
    """As `cat` joins them, and HLS with discontinuities; the last of .ts jumps by more than a video may last."""
    parts = [part(shelf, seed, suffix, offset) for seed, offset in enumerate(offsets, start=1)]
    path = shelf / f"joined{'-'.join(map(str, offsets))}.{suffix}"
    path.write_bytes(b"".join(p.read_bytes() for p in parts))
    measured, got = probe(path), counters(path)
    late = got.count(0) - len(parts)  # pictures of .ts begin a little later than their sound
    assert got[late:] == list(range(PICTURES)) * len(parts)
    assert measured.grid_frames == len(got) and measured.source_fps == pytest.approx(25, rel=0.02)
    assert not measured.truncated
    assert measured.clock
    for first in (27, 58, 63, 100, len(got) - 1):
        assert counters(path, first, 5, measured.reading) == got[first : first + 5]
    with GridReader(path, reading=measured.reading) as reader:
        for wanted in ((27, 63, len(got) - 1), (100, 58)):
            assert [read_counter(frame.pixels) for frame in reader.at(wanted)] == [got[n] for n in sorted(wanted)]

    wave = read_wave(path, reading=measured.reading)
    assert wave is not None and np.array_equal(wave, read_wave(path))
    for number, one in enumerate(parts):
        alone = read_wave(one)
        assert alone is not None
        begin = number * PICTURES * 640
        assert abs(shift_between(alone, wave[begin : begin + len(alone)])) <= 1, f"sound of part {number}"


def test_a_healthy_clock_is_left_alone(shelf: Path) -> None:
    for path in (talk(shelf, 1), part(shelf, 1, "ts"), part(shelf, 1, "vob")):
        measured = probe(path)
        assert measured.clock is None and measured.reading == Reading()


@pytest.mark.parametrize("scale", [0, 1, 10, 0xFFFFFFFF])
@pytest.mark.parametrize("edits", ["0", "1"], ids=["no edit list", "edit list"])
def test_damaged_time_scales(shelf: Path, scale: int, edits: str) -> None:
    """Of the pictures: no video. Of the sound: its samples are the better clock."""
    source = shelf / f"scale-source{edits}.mov"
    if not source.exists():
        ffmpeg("-i", talk(shelf, 1), "-c:v", "copy", "-c:a", "pcm_s16le", "-use_editlist", edits, source)
    data = source.read_bytes()
    picture, sound = (at + 16 for at in range(len(data)) if data.startswith(b"mdhd", at))
    path = shelf / "scale.mov"
    path.write_bytes(data[:picture] + struct.pack(">I", scale) + data[picture + 4 :])
    try:
        assert probe(path).duration_seconds < 5
    except Reject as reject:
        assert reject.reason in (Reason.CORRUPT, Reason.TOO_LONG)
    path.write_bytes(data[:sound] + struct.pack(">I", scale) + data[sound + 4 :])
    measured = probe(path)
    assert measured.grid_frames == probe(source).grid_frames
    wave = read_wave(path, reading=measured.reading)
    assert wave is not None and len(wave) < 5 * 16000
    if edits == "0":
        assert abs(shift_between(read_wave(source), wave)) <= 1  # type: ignore[arg-type]


def test_a_damaged_time_scale_of_a_program_stream(shelf: Path) -> None:
    """A flipped bit in one time of a VOB is one damaged time, not hours."""
    data = bytearray(part(shelf, 1, "vob").read_bytes())
    at = [n for n in range(len(data)) if data.startswith(b"\0\0\1\xe0", n) and data[n + 7] & 0x80]
    data[at[len(at) // 2] + 9] ^= 0x08  # the highest bit of a presentation time: 26 hours
    path = shelf / "flipped.vob"
    path.write_bytes(data)
    measured = probe(path)
    assert measured.grid_frames == pytest.approx(PICTURES, abs=2)
    got = counters(path)
    assert len(got) == measured.grid_frames and len(set(got)) > PICTURES - 8


def test_slides_are_no_video(shelf: Path) -> None:
    path = write_footage(shelf / "slides.mp4", constant_times(Fraction(1, 2), 6), time_base=Fraction(1, 1000))
    with pytest.raises(Reject) as caught:
        probe(path)
    assert caught.value.reason is Reason.CORRUPT and "pictures a second" in caught.value.detail


def test_pictures_that_start_late(shelf: Path) -> None:
    """Nothing is missing, also where the header says nothing of pictures that come in 12 s."""
    for suffix, start, sound in (
        ("mkv", 3, None),
        ("webm", 3, None),
        ("ts", 12, speckle(14.0)),
        ("mp4", 3, speckle(5.0)),
    ):
        coded: dict[str, Any] = {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}}
        path = write_footage(
            shelf / f"late{start}.{suffix}",
            constant_times(25, 50, start),
            time_base=Fraction(1, 1000),
            sound=sound,
            **(coded if suffix == "webm" else {}),
        )
        measured = probe(path)
        assert not measured.truncated
        assert measured.grid_frames == pytest.approx(50 + (25 * start if sound is not None else 0), abs=2)


@dataclass
class FakePacket:
    pts: int | None
    dts: int | None
    duration: int = 40
    size: int = 100
    is_discard: bool = False
    is_corrupt: bool = False
    time_base: Fraction = Fraction(1, 1000)
    opaque: object = None


def run(start: float, count: int, step: int = 40) -> list[int]:
    """Times in milliseconds of `count` packets from `start` s on."""
    return [round(1000 * start) + step * k for k in range(count)]


def mended(*streams: list[int], orders: list[list[int]] | None = None) -> Iterator[list[int | None]]:
    """The mended times of streams whose packets alternate, unless `orders` says where each comes."""
    tick = Fraction(1, 1000)
    kept = []
    for index, times in enumerate(streams):
        held = PacketTimes(index, tick)
        for n, time in enumerate(times):
            held.add(FakePacket(time, time), orders[index][n] if orders else n * len(streams) + index)  # type: ignore[arg-type]
        kept.append(held)
    clock = clock_of(kept, tick * min(min(times) for times in streams))
    assert Clock.of(clock.text()) == clock
    for index, times in enumerate(streams):
        mender = clock.menders().get(index, Mender(()))
        packets = [FakePacket(time, time) for time in times]
        for packet in packets:
            mender.mend(packet)
        yield [packet.pts for packet in packets]


def test_streams_keep_their_sync_over_a_jump() -> None:
    pictures, sound = mended(run(0, 50) + run(3600, 50), run(0.1, 50) + run(3600.3, 50))
    assert pictures == run(0, 100)
    assert sound == run(0.1, 50) + run(2.3, 50)


def test_a_gap_that_sound_goes_through_stays() -> None:
    times = run(0, 50) + run(60, 50)
    assert list(mended(times, run(0, 1550))) == [times, run(0, 1550)]
    assert next(mended(times, run(0, 50))) == run(0, 100), "the same without sound in it"


def test_a_short_gap_is_lost_time() -> None:
    times = run(0, 50) + run(9, 50)
    assert list(mended(times, times)) == [times, times]


@pytest.mark.parametrize("wrong", [[10**9], [-(10**6)], [10**9, 5, 10**8]], ids=str)
@pytest.mark.parametrize("at", [0, 20, 50])
def test_damaged_times_mean_nothing(wrong: list[int], at: int) -> None:
    times = run(0, 50)
    [found] = mended(times[:at] + wrong + times[at:])
    assert [time for time in found if time is not None] == times[: len(times) + 1]


def test_one_stream_alone_jumps() -> None:
    """A damaged step in the pictures of an .mp4: sound is where it was, and so are they."""
    pictures, sound = mended(run(0, 50) + run(3600, 50), run(0, 100))
    assert pictures == run(0, 100) and sound == run(0, 100)


def test_a_part_without_sound() -> None:
    """Sound is missing from the second of three parts, all of which begin at 0."""
    pictures, sound = mended(
        run(0, 50) + run(0, 25) + run(0, 50),
        run(0, 50) + run(0, 50),
        orders=[list(range(0, 250, 2)), [*range(1, 101, 2), *range(151, 251, 2)]],
    )
    assert pictures == run(0, 125)
    assert sound == run(0, 50) + run(3, 50)


def test_turns_survive_their_text() -> None:
    clock = Clock({0: (Turn(3, None), Turn(4, Fraction(-7, 3)))}, Fraction(5))
    assert Clock.of(clock.text()) == clock
    assert Clock().text() is None and Clock.of(None) == Clock()


def test_every_column_of_a_reading_is_one_of_videos() -> None:
    assert set(FILM_COLUMNS) <= set(VIDEOS.schema.names)
