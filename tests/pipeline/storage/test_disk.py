"""Storage on a disk, where it differs from a bucket: links, and file systems without hard links."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.storage import storage_of


def test_a_listing_is_in_the_order_of_keys_and_follows_no_link(tmp_path: Path) -> None:
    storage, elsewhere = storage_of(tmp_path / "run"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "film.mp4").write_bytes(b"film")
    for key in ("clips/b.mp4", "clips/b/x.mp4", "clips/a/y.mp4", "clips/b-z.mp4"):
        with storage.writing(key) as path:
            path.write_bytes(b"clip")
    storage.local("clips/link.mp4").symlink_to(elsewhere / "film.mp4")
    storage.local("clips/folder").symlink_to(elsewhere)
    found = [entry.key for entry in storage.list("clips")]
    assert found == sorted(found) == ["clips/a/y.mp4", "clips/b-z.mp4", "clips/b.mp4", "clips/b/x.mp4"]


def test_a_folder_that_is_a_link_is_listed_by_its_own_keys(tmp_path: Path) -> None:
    """A run's clips may lie on another disk."""
    (tmp_path / "run").mkdir()
    (tmp_path / "large").mkdir()
    (tmp_path / "large/a.mp4").write_bytes(b"clip")
    (tmp_path / "run/clips").symlink_to(tmp_path / "large")
    assert [entry.key for entry in storage_of(tmp_path / "run").list("clips")] == ["clips/a.mp4"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV])
def test_a_claim_without_hard_links_has_one_owner(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    start = threading.Barrier(8)

    def claim(number: int) -> str:
        start.wait()
        return storage_of(tmp_path).claim("raw/ab/one.owner", f"worker {number}")

    with ThreadPoolExecutor(8) as workers:
        owners = set(workers.map(claim, range(8)))
    assert len(owners) == 1 and storage_of(tmp_path).claim("raw/ab/one.owner", "late") in owners
    assert [entry.key for entry in storage_of(tmp_path).list("raw")] == ["raw/ab/one.owner"]


def test_a_claim_that_a_full_disk_cut_short_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "one.owner").touch()
    assert storage_of(tmp_path).claim("raw/one.owner", "worker") == "worker"


def test_a_claim_tells_other_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        storage_of(tmp_path).claim("raw/one.owner", "worker")
