"""Hashes of nets are remembered, and never believed of a file that may have changed."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import file_hashes
from pipeline.base.file_hashes import FileHashes


class Counted:
    """FileHashes that counts how often a file is read whole."""

    def __init__(self, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.memory, self.reads = memory, 0
        original = hashlib.file_digest

        def digest(*arguments: Any) -> Any:
            self.reads += 1
            return original(*arguments)

        monkeypatch.setattr(hashlib, "file_digest", digest)

    def of(self, path: Path) -> str:
        return FileHashes(self.memory).of(path)


@pytest.fixture
def hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    monkeypatch.setattr(file_hashes, "SETTLED_SECONDS", -1.0)  # files of tests are always young
    return Counted(tmp_path / "cache" / "hashes.json", monkeypatch)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_read_once(hashes: Counted, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.onnx", "b.onnx")]
    for path in paths:
        path.write_bytes(path.name.encode())
    for _ in range(3):
        assert [hashes.of(path) for path in paths] == [sha256(b"a.onnx"), sha256(b"b.onnx")]
    assert hashes.reads == 2


def test_a_file_that_was_replaced_is_read_anew_whatever_its_date_says(hashes: Counted, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"good")
    assert hashes.of(path) == sha256(b"good")
    stat = path.stat()
    path.write_bytes(b"evil")  # same size, same inode
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert hashes.of(path) == sha256(b"evil")
    other = tmp_path / "other"
    other.write_bytes(b"more")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)
    assert hashes.of(path) == sha256(b"more") and hashes.reads == 3


def test_a_young_file_is_not_remembered(hashes: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_hashes, "SETTLED_SECONDS", 60.0)
    path = tmp_path / "net.onnx"
    path.write_bytes(b"good")
    assert hashes.of(path) == hashes.of(path) == sha256(b"good")
    assert hashes.reads == 2 and not hashes.memory.exists()


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    hashes: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"good")
    counted = hashlib.file_digest

    def digest(*arguments: Any) -> Any:
        found = counted(*arguments)
        path.write_bytes(b"longer")
        return found

    monkeypatch.setattr(hashlib, "file_digest", digest)
    hashes.of(path)
    assert not hashes.memory.exists()


@pytest.mark.parametrize("memory", [b"", b"{", b"[]", b'{"net": 3}', b"\xff\xfe"])
def test_a_broken_memory_is_written_anew(hashes: Counted, tmp_path: Path, memory: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"good")
    hashes.memory.parent.mkdir()
    hashes.memory.write_bytes(memory)
    assert hashes.of(path) == hashes.of(path) == sha256(b"good")
    assert hashes.reads == 1 and str(path) in json.loads(hashes.memory.read_text())


def test_an_entry_of_another_shape_is_not_believed(hashes: Counted, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"good")
    hashes.of(path)
    kept = json.loads(hashes.memory.read_text())
    for entry in (None, [], {"state": kept[str(path)]["state"]}, {"state": kept[str(path)]["state"], "sha256": 7}):
        hashes.memory.write_text(json.dumps({str(path): entry}))
        assert hashes.of(path) == sha256(b"good")


def test_a_cache_that_cannot_be_written_costs_time_only(hashes: Counted, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"good")
    hashes.memory.parent.write_text("a file is in the way")
    assert hashes.of(path) == hashes.of(path) == sha256(b"good") and hashes.reads == 2


def test_files_that_are_gone_are_forgotten(hashes: Counted, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_bytes(b"x")
        hashes.of(path)
    paths[0].unlink()
    paths[1].write_bytes(b"y")
    hashes.of(paths[1])
    assert list(json.loads(hashes.memory.read_text())) == [str(paths[1])]
