"""Sound that workers share: decoded once, the same as decoded alone, and made again when the cache lost or spoilt it."""

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.reasons import Reject
from pipeline.base.units import SAMPLES_PER_FRAME
from pipeline.media import sound_tracks, wave_file
from pipeline.media.audio import cut, read_wave
from pipeline.media.sound_tracks import SoundTracks, name_of
from pipeline.storage import DiskStorage, cache
from pipeline.storage.cache import Cache
from tests.pipeline.media.footage import constant_times, write_footage

PLENTY = 1 << 30


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files of which the track was decoded, in order."""
    names: list[str] = []

    def read(path: Path, **options: Any) -> np.ndarray | None:
        names.append(Path(path).name)
        return read_wave(path, **options)

    monkeypatch.setattr(sound_tracks, "read_wave", read)
    return names


def video(path: Path, number: int = 1) -> dict[str, Any]:
    return {"video_id": f"file:{number:016x}", "path": str(path), "sha256": "ab" * 32, "audio_codec": "aac"}


def tracks(folder: Path, limit: int = PLENTY) -> SoundTracks:
    return SoundTracks(DiskStorage(folder), Cache(folder / "cache", limit))


def files(folder: Path) -> list[Path]:
    return sorted((folder / "cache/files").rglob("*.wave"))


@pytest.mark.parametrize(("first", "frames"), [(0, 100), (10, 30), (-5, 20), (-50, 20), (90, 40), (300, 5), (7, 0)])
def test_a_piece_is_that_of_the_track(plain: Path, tmp_path: Path, decoded: list[str], first: int, frames: int) -> None:
    wave = read_wave(plain)
    assert wave is not None
    for _ in range(2):  # decoded, then from the cache
        found = tracks(tmp_path).piece(video(plain), first, frames)
        assert found is not None and found.tobytes() == cut(wave, first, frames).tobytes()
        assert len(found) == frames * SAMPLES_PER_FRAME
    whole = tracks(tmp_path).whole(video(plain))
    assert whole is not None and whole.tobytes() == wave.tobytes()
    assert decoded == [plain.name], "one decode for three workers"


def test_workers_that_want_the_same_at_once_decode_it_once(plain: Path, tmp_path: Path, decoded: list[str]) -> None:
    gate = threading.Barrier(4)

    def work(number: int) -> bytes:
        gate.wait()
        found = tracks(tmp_path).piece(video(plain), 10 * number, 10)
        return b"" if found is None else found.tobytes()

    with ThreadPoolExecutor(4) as workers:
        pieces = list(workers.map(work, range(4)))
    whole = read_wave(plain)
    assert whole is not None and b"".join(pieces) == cut(whole, 0, 40).tobytes() and decoded == [plain.name]


def spoilt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 64
    stat = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a bad disk would: nothing but the bytes tells


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x"), spoilt])
def test_what_was_lost_or_damaged_is_decoded_again(
    plain: Path, tmp_path: Path, decoded: list[str], damage: Callable[[Path], object]
) -> None:
    before = tracks(tmp_path).whole(video(plain))
    (path,) = files(tmp_path)
    damage(path)
    after = tracks(tmp_path).whole(video(plain))
    assert before is not None and after is not None and before.tobytes() == after.tobytes()
    assert len(decoded) == 2 and tracks(tmp_path).whole(video(plain)) is not None and len(decoded) == 2


def test_a_video_without_a_track_is_remembered(tmp_path: Path, decoded: list[str]) -> None:
    film = write_footage(tmp_path / "silent.mp4", constant_times(25, 25))
    assert [tracks(tmp_path).piece(video(film), 0, 5) for _ in range(3)] == [None] * 3
    assert decoded == ["silent.mp4"]


def test_other_bytes_and_another_reading_have_tracks_of_their_own(plain: Path) -> None:
    row = video(plain)
    others = [{"sha256": "cd" * 32}, {"sound_track": 2}, {"clock": "{}"}, {"video_id": "file:00000000000000ff"}]
    assert len({name_of(row), *(name_of(row | other) for other in others)}) == 5
    assert name_of(row | {"sha256": ""}) == "", "nothing says which bytes these are"
    assert name_of(row | {"combed": "all", "path": "elsewhere.mp4"}) == name_of(row)


def test_the_oldest_go_when_the_limit_is_reached(plain: Path, tmp_path: Path, decoded: list[str]) -> None:
    size = 4 * 4 * 16_000
    rows = [video(plain, number) for number in range(6)]
    for row in rows:
        tracks(tmp_path, round(3.5 * size)).whole(row)
        tracks(tmp_path, round(3.5 * size)).whole(rows[0])  # in use all the time
    names = [path.name for path in files(tmp_path)]
    assert 2 <= len(names) <= 3 and name_of(rows[0]) in names and name_of(rows[5]) in names
    assert name_of(rows[1]) not in names and len(decoded) == 6
    assert tracks(tmp_path).whole(rows[1]) is not None and len(decoded) == 7


def test_a_track_larger_than_the_limit_stays_in_memory(plain: Path, tmp_path: Path, decoded: list[str]) -> None:
    worker = tracks(tmp_path, 1000)
    pieces = [worker.piece(video(plain), first, 10) for first in range(0, 50, 10)]
    assert all(piece is not None for piece in pieces) and decoded == [plain.name] and files(tmp_path) == []


def test_a_disk_that_is_nearly_full_is_left_to_results(
    plain: Path, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_LEAST_FREE", 1 << 60)
    worker = tracks(tmp_path)
    assert worker.whole(video(plain)) is not None and worker.piece(video(plain), 0, 5) is not None
    assert decoded == [plain.name] and files(tmp_path) == []


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, wave: np.ndarray | None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(wave_file, "write", write)


def test_a_cache_that_cannot_be_written_is_told_and_done_without(
    plain: Path, tmp_path: Path, failing: None, caplog: pytest.LogCaptureFixture
) -> None:
    worker, wave = tracks(tmp_path), read_wave(plain)
    assert wave is not None
    for first in (0, 20, 40):
        piece = worker.piece(video(plain), first, 20)
        assert piece is not None and piece.tobytes() == cut(wave, first, 20).tobytes()
    assert [record.message for record in caplog.records if "not shared" in record.message] == [
        "sound tracks are not shared ([Errno 28] No space left on device): each worker decodes its own"
    ]


def test_the_trouble_of_a_video_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"<html>" * 100)
    with pytest.raises(Reject):
        tracks(tmp_path).whole(video(tmp_path / "broken.mp4"))
    assert files(tmp_path) == [], "nothing is remembered of what was not decoded"
