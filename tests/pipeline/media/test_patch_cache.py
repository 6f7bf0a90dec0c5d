"""Parts of pictures in the run's cache: wanted or not, with room or without, lost or spoilt."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.media import patches as patch_file
from pipeline.media.patch_cache import SHARE, PatchCache, key_of
from pipeline.media.patches import Patch, Patches
from pipeline.storage import cache as cache_file
from pipeline.storage.cache import Cache

VIDEO: dict[str, Any] = {"video_id": "file:0000000000000001", "sha256": "ab" * 32}
NOISE = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
KEPT = Patches(3, (100, 100), (Patch.of(1, NOISE),))


def cache(folder: Path, limit: int = 1 << 30, *wanted: str) -> PatchCache:
    return PatchCache(Cache(folder / "cache", limit), frozenset(wanted or ("faces",)))


def files(folder: Path) -> list[Path]:
    return sorted((folder / "cache/files").rglob("*.patches"))


def test_another_worker_finds_what_one_kept(tmp_path: Path) -> None:
    cache(tmp_path).put("faces", VIDEO, 10, 3, KEPT)
    assert cache(tmp_path).get("faces", VIDEO, 10, 3) == KEPT
    assert cache(tmp_path).get("faces", VIDEO, 11, 3) is None and cache(tmp_path).get("strip", VIDEO, 10, 3) is None
    [path] = files(tmp_path)
    assert path.name.startswith("file_0000000000000001")


def test_other_bytes_and_another_reading_have_patches_of_their_own() -> None:
    others = [
        {"sha256": "cd" * 32},
        {"clock": "{}"},
        {"combed": "all"},
        {"tone_mapped": True},
        {"video_id": "file:00000000000000ff"},
    ]
    assert len({key_of("faces", {**VIDEO, **more}, 0, 5) for more in [{}, *others]}) == 1 + len(others)
    assert key_of("faces", {**VIDEO, "sound_track": 2}, 0, 5) == key_of("faces", VIDEO, 0, 5)


def test_they_are_wanted_where_a_stage_comes_for_them(tmp_path: Path) -> None:
    worker = cache(tmp_path, 1 << 30, "strip")
    assert worker.wants("strip", VIDEO) and not worker.wants("faces", VIDEO)
    assert not worker.wants("strip", {**VIDEO, "sha256": ""}), "nothing says which bytes these are"
    alone = PatchCache(None, frozenset(("strip",)))
    alone.put("strip", VIDEO, 0, 3, KEPT)
    assert not alone.wants("strip", VIDEO) and alone.get("strip", VIDEO, 0, 3) is None


def test_they_take_no_more_than_their_share(tmp_path: Path) -> None:
    limit = round(3.5 * KEPT.bytes / SHARE)
    worker = cache(tmp_path, limit)
    for first in range(6):
        worker.put("faces", VIDEO, first, 3, KEPT)
    assert [cache(tmp_path).get("faces", VIDEO, first, 3) is not None for first in range(6)] == [True] * 3 + [False] * 3
    assert cache(tmp_path, limit).wants("faces", VIDEO), "a little more would find room"
    assert not cache(tmp_path, 5 * KEPT.bytes).wants("faces", VIDEO), "what other workers put counts"


def test_sound_makes_room_for_itself_and_the_oldest_go(tmp_path: Path) -> None:
    worker = cache(tmp_path, 8 * KEPT.bytes)
    for first in range(3):
        worker.put("faces", VIDEO, first, 3, KEPT)
    shared = Cache(tmp_path / "cache", 8 * KEPT.bytes)
    for number in range(2):
        with shared.temporary() as path:
            path.write_bytes(bytes(3 * KEPT.bytes))
            shared.take(path, f"sound/{number}", "1")
    assert worker.get("faces", VIDEO, 0, 3) is None and shared.version("sound/0") == shared.version("sound/1") == "1"


def test_a_disk_that_is_nearly_full_is_left_to_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_file, "_LEAST_FREE", 1 << 60)
    worker = cache(tmp_path)
    worker.put("faces", VIDEO, 0, 3, KEPT)
    assert not worker.wants("faces", VIDEO) and files(tmp_path) == []


def test_what_is_lost_or_damaged_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    worker = cache(tmp_path)
    worker.put("faces", VIDEO, 0, 3, KEPT)
    [path] = files(tmp_path)
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 2] ^= 64
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a bad disk would: nothing but the bytes tells
    assert worker.get("faces", VIDEO, 0, 3) is None and "pixels are damaged" in caplog.text
    path.unlink()
    assert worker.get("faces", VIDEO, 0, 3) is None


def test_a_disk_that_takes_nothing_is_told_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write(path: Path, found: Patches) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(patch_file, "write", write)
    worker = cache(tmp_path)
    for first in range(2):
        worker.put("faces", VIDEO, first, 3, KEPT)
    assert [record.message for record in caplog.records] == [
        "pictures are not kept for later stages ([Errno 28] No space left on device): these decode them again"
    ]
