"""Storage on a disk: whole or not there, and never outside the run."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.base import files
from pipeline.storage import DiskStorage, storage_of, tombstone_of


def test_what_was_put_is_read_listed_and_deleted(tmp_path: Path) -> None:
    storage = storage_of(tmp_path / "run")
    made = tmp_path / "run" / "made.mp4"
    made.parent.mkdir()
    made.write_bytes(b"film")
    storage.put(made, "clips/ab/one.mp4")
    with storage.writing("clips/aa/two.mp4") as path:
        assert path.suffix == ".mp4" and not storage.exists("clips/aa/two.mp4")
        path.write_bytes(b"clip")
    assert storage.local("clips/ab/one.mp4").read_bytes() == b"film" and not made.exists()
    listed = list(storage.list("clips"))
    assert [(entry.key, entry.bytes) for entry in listed] == [("clips/aa/two.mp4", 4), ("clips/ab/one.mp4", 4)]
    assert listed[0].modified == storage.local("clips/aa/two.mp4").stat().st_mtime
    assert storage.delete("clips/ab/one.mp4") and not storage.delete("clips/ab/one.mp4")
    assert list(storage.list("previews")) == []


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    storage = storage_of(tmp_path)
    with storage.writing("clips/one.mp4") as path:
        path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="killed"), storage.writing("clips/one.mp4") as path:  # noqa: PT012 - it fails half-way
        path.write_bytes(b"ne")
        raise RuntimeError("killed")
    assert storage.local("clips/one.mp4").read_bytes() == b"old"
    assert [entry.key for entry in storage.list("clips")] == ["clips/one.mp4"]


def test_a_file_used_where_it_was_found_is_read_and_never_touched(tmp_path: Path) -> None:
    found = tmp_path / "film.mp4"
    found.write_bytes(b"film")
    storage = DiskStorage(tmp_path / "run")
    assert storage.local(str(found)) == found and storage.exists(str(found))
    for key in (str(found), "../film.mp4", "clips/../../film.mp4", ""):
        with pytest.raises(ValueError, match="outside"):
            storage.delete(key)
        with pytest.raises(ValueError, match="outside"):
            storage.put(found, key)
    assert found.read_bytes() == b"film"


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


def test_a_tombstone_stands_beside_its_file(tmp_path: Path) -> None:
    key = "raw/ab/film.mp4"
    assert storage_of(tmp_path).local(tombstone_of(key)) == files.tombstone_of(storage_of(tmp_path).local(key))


def test_scratch_is_kept_by_name_and_put_by_a_renaming(tmp_path: Path) -> None:
    storage = storage_of(tmp_path)
    assert list(storage.scratches()) == []
    (storage.scratch("one") / "film.mp4").write_bytes(b"film")
    storage.scratch("two")
    assert (storage.scratch("one") / "film.mp4").read_bytes() == b"film", "work goes on where it was"
    assert list(storage.scratches()) == [storage.scratch("one"), storage.scratch("two")]
    storage.put(storage.scratch("one") / "film.mp4", "raw/ab/film.mp4")
    assert storage.local("raw/ab/film.mp4").read_bytes() == b"film"


def test_the_first_to_claim_a_key_keeps_it(tmp_path: Path) -> None:
    storage = storage_of(tmp_path)
    assert storage.claim("raw/ab/film.owner", "first") == "first"
    assert storage.claim("raw/ab/film.owner", "second") == "first"
    assert storage.claim("raw/ab/film.owner", "first") == "first"
    assert [entry.key for entry in storage.list("raw")] == ["raw/ab/film.owner"]
    with pytest.raises(ValueError, match="outside"):
        storage.claim("../film.owner", "first")


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
