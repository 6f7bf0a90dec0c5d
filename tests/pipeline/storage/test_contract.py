"""What every storage does, on a disk and in a bucket: whole or not there, and never outside the run."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.base import files
from pipeline.storage import Storage, storage_of, tombstone_of

FILM = bytes(range(256)) * 40


def written(storage: Storage, key: str, data: bytes = FILM) -> str:
    with storage.writing(key) as path:
        path.write_bytes(data)
    return key


def test_what_was_put_is_read_listed_and_deleted(run: Path, storage: Storage) -> None:
    made = run / "made.mp4"
    made.write_bytes(b"film")
    storage.put(made, "clips/ab/one.mp4")
    with storage.writing("clips/aa/two.mp4") as path:
        assert path.suffix == ".mp4" and not storage.exists("clips/aa/two.mp4")
        path.write_bytes(b"clip!")
    assert storage.local("clips/ab/one.mp4").read_bytes() == b"film" and not made.exists()
    listed = list(storage.list("clips"))
    assert [(entry.key, entry.bytes) for entry in listed] == [("clips/aa/two.mp4", 5), ("clips/ab/one.mp4", 4)]
    assert dict(storage.sizes("clips")) == {"clips/aa/two.mp4": 5, "clips/ab/one.mp4": 4}
    assert abs(listed[0].modified - storage.local("clips/aa/two.mp4").stat().st_mtime) < 60
    assert storage.size("clips/aa/two.mp4") == 5 and storage.size("clips/aa/none.mp4") is None
    assert storage.delete("clips/ab/one.mp4") and not storage.delete("clips/ab/one.mp4")
    assert not storage.local("clips/ab/one.mp4").exists() and dict(storage.sizes("clips")) == {"clips/aa/two.mp4": 5}
    assert list(storage.list("previews")) == []


def test_a_put_replaces_what_was_there(storage: Storage) -> None:
    for data in (b"", FILM, FILM, b"new"):
        key = written(storage, "clips/one.mp4", data)
        assert storage.local(key).read_bytes() == data and storage.size(key) == len(data)
        assert storage.sha256(key) == hashlib.sha256(data).hexdigest()
    assert storage.sha256("clips/none.mp4") is None


def test_a_write_that_fails_leaves_what_was_there(storage: Storage) -> None:
    written(storage, "clips/one.mp4", b"old")
    with pytest.raises(RuntimeError, match="killed"), storage.writing("clips/one.mp4") as path:  # noqa: PT012 - it fails half-way
        path.write_bytes(b"ne")
        raise RuntimeError("killed")
    assert storage.local("clips/one.mp4").read_bytes() == b"old"
    assert [entry.key for entry in storage.list("clips")] == ["clips/one.mp4"]


def test_a_file_used_where_it_was_found_is_read_and_never_touched(storage: Storage, tmp_path: Path) -> None:
    found = tmp_path / "film.mp4"
    found.write_bytes(b"film")
    assert storage.local(str(found)) == found and storage.exists(str(found)) and storage.size(str(found)) == 4
    assert storage.sha256(str(found)) == hashlib.sha256(b"film").hexdigest()
    assert storage.size(str(tmp_path / "none.mp4")) is None and not storage.exists(str(tmp_path / "none.mp4"))
    for key in (str(found), "../film.mp4", "clips/../../film.mp4", ""):
        with pytest.raises(ValueError, match="outside"):
            storage.delete(key)
        with pytest.raises(ValueError, match="outside"):
            storage.put(found, key)
    assert found.read_bytes() == b"film"


def test_what_others_wrote_leads_nowhere_else(run: Path, storage: Storage) -> None:
    key = written(storage, "clips/ab/one.mp4", b"clip")
    (run / "settings.toml").write_text("secret", encoding="utf-8")
    inside = storage.contained(key)
    assert inside is not None and inside.read_bytes() == b"clip"
    for bad in ("", "clips", "/etc/passwd", "../settings.toml", "clips/../settings.toml", "clips/../../x", "clips/\0"):
        assert storage.contained(bad) is None


def test_a_listing_is_in_the_order_of_keys(storage: Storage) -> None:
    put = [written(storage, key) for key in ("clips/b.mp4", "clips/b/x.mp4", "clips/a/y.mp4", "clips/b-z ü.mp4")]
    assert [entry.key for entry in storage.list("clips")] == sorted(put)


def test_a_tombstone_lies_beside_its_file(storage: Storage) -> None:
    key = "raw/ab/film.mp4"
    assert storage.local(tombstone_of(key)) == files.tombstone_of(storage.local(key))


def test_work_in_steps_goes_on_where_it_was_and_is_put(storage: Storage) -> None:
    assert list(storage.scratches()) == []
    (storage.scratch("one") / "film.mp4").write_bytes(b"film")
    storage.scratch("two")
    assert (storage.scratch("one") / "film.mp4").read_bytes() == b"film", "work goes on where it was"
    assert list(storage.scratches()) == [storage.scratch("one"), storage.scratch("two")]
    storage.put(storage.scratch("one") / "film.mp4", "raw/ab/film.mp4")
    assert storage.local("raw/ab/film.mp4").read_bytes() == b"film"


def test_the_first_claim_holds(storage: Storage) -> None:
    assert storage.claim("raw/ab/film.owner", "first") == "first"
    assert storage.claim("raw/ab/film.owner", "second") == "first"
    assert storage.claim("raw/ab/film.owner", "first") == "first"
    assert storage.read_text("raw/ab/film.owner") == "first"
    assert [entry.key for entry in storage.list("raw")] == ["raw/ab/film.owner"]
    with pytest.raises(ValueError, match="outside"):
        storage.claim("../film.owner", "first")
    with pytest.raises(FileNotFoundError):
        storage.read_text("raw/ab/none.owner")


def test_of_claims_at_once_one_holds(run: Path) -> None:
    start = threading.Barrier(8)

    def claim(number: int) -> str:
        start.wait()
        return storage_of(run).claim("raw/ab/one.owner", f"worker {number}")

    with ThreadPoolExecutor(8) as workers:
        owners = set(workers.map(claim, range(8)))
    assert len(owners) == 1 and storage_of(run).claim("raw/ab/one.owner", "late") in owners


def test_of_puts_at_once_one_holds_whole(run: Path) -> None:
    def put(number: int) -> None:
        written(storage_of(run), "clips/one.mp4", bytes([number]) * 50_000)

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(put, range(4)))
    data = storage_of(run).local("clips/one.mp4").read_bytes()
    assert len(data) == 50_000 and len(set(data)) == 1
    assert storage_of(run).sha256("clips/one.mp4") == hashlib.sha256(data).hexdigest()


def test_a_folder_holds_its_files_and_no_others(storage: Storage) -> None:
    for name in ("a.parquet", "b.parquet", ".hidden", "_index.json"):
        written(storage, f"shards/{name}", name.encode())
    folder = storage.folder("shards")
    assert {path.name: path.read_bytes().decode() for path in folder.iterdir()} == dict.fromkeys(
        ["a.parquet", "b.parquet", ".hidden", "_index.json"]
    ) | {name: name for name in ("a.parquet", "b.parquet", ".hidden", "_index.json")}
    storage.delete("shards/a.parquet")
    written(storage, "shards/b.parquet", b"new")
    storage.release()
    assert {path.name for path in storage.folder("shards").iterdir()} == {"b.parquet", ".hidden", "_index.json"}
    assert (storage.folder("shards") / "b.parquet").read_bytes() == b"new"


def test_a_folder_is_changed_together(run: Path, storage: Storage) -> None:
    for name in ("a.parquet", "b.parquet", "c.parquet"):
        written(storage, f"shards/{name}", name.encode())
    with storage.editing("shards") as edited:
        (edited.path / "a.parquet").unlink()
        files.write_text(edited.path / "b.parquet", "longer than before")
        files.write_text(edited.path / ".journal.json", "{}")
        edited.keep()
        assert storage.read_text("shards/.journal.json") == "{}"
        (edited.path / ".journal.json").unlink()
    assert dict(storage.sizes("shards")) == {"shards/b.parquet": 18, "shards/c.parquet": 9}
    assert storage.local("shards/b.parquet").read_text(encoding="utf-8") == "longer than before"


def test_copies_on_this_machine_are_counted(storage: Storage) -> None:
    written(storage, "clips/one.mp4")
    assert (storage.copied_bytes() >= len(FILM)) == storage.remote
