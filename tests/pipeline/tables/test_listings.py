"""Listings that are asked for again: made once, and never older than the last file that came or went."""

import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline.storage import DiskStorage, tombstone_of
from pipeline.tables import results
from pipeline.tables.listings import Listings
from pipeline.tables.results import Promise, broken, listing_of

KEYS = [f"clips/{number % 4:02x}/{number}.mp4" for number in range(12)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for key in KEYS:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(b"clip")
    for folder in ("clips", *(f"clips/{number:02x}" for number in range(4))):
        os.utime(tmp_path / folder, (0, 1e9))
    return tmp_path


def new_folder(folder: Path) -> None:
    folder.mkdir()
    (folder / "new.mp4").write_bytes(b"new")


def test_a_folder_is_listed_once(run: Path) -> None:
    listings, storage = Listings(), DiskStorage(run)
    first = listings.sizes(storage, "clips")
    assert dict(first) == dict.fromkeys(KEYS, 4)
    assert listings.sizes(DiskStorage(run), "clips") is first


@pytest.mark.parametrize(
    "change",
    [
        lambda run: (run / KEYS[0]).unlink(),
        lambda run: (run / tombstone_of(KEYS[0])).touch(),
        lambda run: new_folder(run / "clips/99"),
        lambda run: (run / KEYS[0]).rename(run / "away.mp4"),
    ],
)
def test_what_came_and_went_is_seen(run: Path, change: Callable[[Path], object]) -> None:
    listings = Listings()
    listings.sizes(DiskStorage(run), "clips")
    change(run)
    assert dict(listings.sizes(DiskStorage(run), "clips")) == dict(DiskStorage(run).sizes("clips"))


def test_a_listing_does_not_outlive_a_minute(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listings, began = Listings(), time.monotonic()
    listings.sizes(DiskStorage(run), "clips")
    os.truncate(run / KEYS[0], 1)  # its folder's time stays
    monkeypatch.setattr(time, "monotonic", lambda: began + 50)
    assert listings.sizes(DiskStorage(run), "clips")[KEYS[0]] == 4
    monkeypatch.setattr(time, "monotonic", lambda: began + 3600)
    assert listings.sizes(DiskStorage(run), "clips")[KEYS[0]] == 1


def test_a_listing_of_a_folder_that_has_just_changed_is_not_held(run: Path) -> None:
    (run / "clips/00/new.mp4").write_bytes(
        b"new"
    )  # another one, in the same tick of the disk's clock, would not be told
    listings = Listings()
    first = listings.sizes(DiskStorage(run), "clips")
    assert listings.sizes(DiskStorage(run), "clips") is not first


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    listings = Listings()
    assert listings.sizes(DiskStorage(tmp_path), "clips") == {}
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.mp4").write_bytes(b"a")
    assert listings.sizes(DiskStorage(tmp_path), "clips") == {"clips/a.mp4": 1}


def test_broken_promises_are_told_whatever_was_listed_before(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FEW", 1)
    promises, listings = [Promise(key, key, 4) for key in KEYS], Listings()
    assert broken(DiskStorage(run), promises, listings) == []
    (run / KEYS[3]).unlink()
    [found] = broken(DiskStorage(run), promises, listings)
    assert (found.promise.path, found.problem) == (KEYS[3], "is missing")
    (run / KEYS[3]).write_bytes(b"a longer clip")
    [found] = broken(DiskStorage(run), promises, listings)
    assert found.problem == "has 13 bytes in place of 4"


def test_what_the_writer_knows_is_not_read_again(run: Path) -> None:
    paths = [run / key for key in KEYS[:3]]
    whole = listing_of(run, paths)
    assert whole == {key: (4, sha256(b"clip").hexdigest()) for key in sorted(KEYS[:3])}
    paths[1].unlink()
    assert listing_of(run, paths, {paths[1]: (4, sha256(b"clip").hexdigest())}) == whole
    assert list(listing_of(run, paths[::-1], {paths[1]: (1, "a")})) == list(whole)
