"""Storage on a disk: whole or not there, and never outside the run."""

from pathlib import Path

import pytest

from pipeline.storage import DiskStorage, storage_of


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
