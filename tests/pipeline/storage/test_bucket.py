"""What a bucket adds: copies that are today's, requests that are counted, stores that fail, prefixes that are one run's."""

import json
import logging
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import BadUse
from pipeline.base.reasons import Failure, Reason
from pipeline.engine.discard import Source, _bury
from pipeline.engine.profile import ProfileError, load
from pipeline.storage import DiskStorage, Where, opened, storage_of, tombstone_of, where_of
from pipeline.storage import bucket as module
from pipeline.storage.cache import Cache
from pipeline.storage.chosen import choose
from pipeline.storage.objects import ObjectStorage
from pipeline.storage.where import checked_url
from pipeline.tables.results import Promise, broken
from tests.bucket import BUCKET, Server, keys
from tests.pipeline.storage.test_contract import FILM, written


@pytest.fixture
def storage(bucket_run: Path) -> ObjectStorage:
    where = where_of(bucket_run)
    assert where is not None
    found = opened(where)
    assert isinstance(found, ObjectStorage)
    return found


@pytest.fixture
def elsewhere(storage: ObjectStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    """The same storage as another machine has it: without a copy."""
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path / "other machine"))
    found = opened(storage.where)
    assert isinstance(found, ObjectStorage) and found is not storage
    return found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", timedelta(milliseconds=50))
    monkeypatch.setattr(module, "_TRIES", 1)


def test_a_copy_is_that_of_todays_file(storage: ObjectStorage, elsewhere: ObjectStorage) -> None:
    key = written(storage, "clips/one.mp4", b"old")
    assert elsewhere.local(key).read_bytes() == b"old"
    written(storage, key, b"new!")
    assert elsewhere.local(key).read_bytes() == b"old", "a unit reads the same file all along"
    elsewhere.release()
    assert elsewhere.local(key).read_bytes() == b"new!"
    storage.delete(key)
    elsewhere.release()
    assert not elsewhere.local(key).exists()


def test_a_copy_costs_a_request_a_unit_and_comes_once(
    storage: ObjectStorage, elsewhere: ObjectStorage, server: Server
) -> None:
    key = written(storage, "clips/one.mp4", FILM)
    server.answers.clear()
    with ThreadPoolExecutor(4) as readers:
        found = list(readers.map(lambda _: elsewhere.local(key).read_bytes(), range(4)))
    assert found == [FILM] * 4
    assert sum(answer == "200" for answer in server.answers) == 1, "the others were told that nothing changed"
    server.requests.clear()
    assert storage.local(key).read_bytes() == FILM and len(server.requests) == 2, "what was put is a copy already"
    assert storage.local(key).read_bytes() == FILM and len(server.requests) == 2
    storage.release()
    assert storage.local(key).read_bytes() == FILM and len(server.requests) == 3


def test_copies_of_who_opted_out_go_on_other_machines(storage: ObjectStorage, elsewhere: ObjectStorage) -> None:
    going, staying = written(storage, "clips/one.mp4"), written(storage, "clips/two.mp4")
    for key in (going, staying):
        elsewhere.local(key)
    elsewhere.release()
    storage.delete(going)
    storage.keep_deleted([going])
    assert list(storage.cache.keys()) == [staying] and list(elsewhere.cache.keys()) == [going, staying]
    later = ObjectStorage(elsewhere.where)
    later.local(staying)
    assert list(later.cache.keys()) == [staying]


def test_downloads_that_other_machines_did_not_end_go_when_somebody_opts_out(
    storage: ObjectStorage, elsewhere: ObjectStorage
) -> None:
    (elsewhere.scratch("before") / "film.part").write_bytes(FILM)
    work = elsewhere.cache.folder / "work" / "of-a-process-that-was-killed"
    work.mkdir(parents=True)
    storage.forget_elsewhere()
    later, beside = ObjectStorage(elsewhere.where), ObjectStorage(elsewhere.where)
    later.forget_here()
    assert list(later.scratches()) == [] and not work.exists()
    (later.scratch("since") / "film.part").write_bytes(FILM)
    beside.forget_here()
    assert [path.name for path in beside.scratches()] == ["since"], "it was begun after the removal"
    assert (beside.scratch("since") / "film.part").is_file(), "another process goes on with it"


def test_a_copy_that_something_cut_is_fetched_again(storage: ObjectStorage) -> None:
    key = written(storage, "clips/one.mp4", FILM)
    os.truncate(storage.cache.path(key), 10)
    storage.release()
    assert storage.local(key).read_bytes() == FILM


def test_a_body_that_ends_early_is_never_taken_for_whole(
    storage: ObjectStorage, elsewhere: ObjectStorage, server: Server
) -> None:
    key = written(storage, "clips/one.mp4", FILM)
    server.faults.cut_every, server.cut = 2, 0
    server.bodies = 1
    assert elsewhere.local(key).read_bytes() == FILM and elsewhere.sha256(key) == storage.sha256(key)
    assert server.cut


def test_bytes_that_are_not_those_that_were_put_are_refused(
    storage: ObjectStorage, elsewhere: ObjectStorage, server: Server, impatient: None
) -> None:
    key = written(storage, "clips/one.mp4", FILM)
    server.spoil(f"{storage.where.url.partition(f'{BUCKET}/')[2]}/{key}", b"x" + FILM[1:])
    with pytest.raises(Failure, match=r"other bytes lie there than were put.*--set-aside"):
        elsewhere.local(key)
    assert not elsewhere.cache.path(key).exists()


def test_a_store_that_is_down_is_told_in_a_line(bucket_run: Path, server: Server, impatient: None) -> None:
    where = where_of(bucket_run)
    assert where is not None
    down = ObjectStorage(where)
    server.faults.down = True
    for ask in (
        lambda: down.local("clips/one.mp4"),
        lambda: list(down.list("clips")),
        lambda: written(down, "clips/a"),
    ):
        with pytest.raises(Failure) as told:
            ask()
        assert (
            told.value.reason is Reason.NETWORK
            and "\n" not in str(told.value)
            and "run the same command again" in str(told.value)
        )
        assert pickle.loads(pickle.dumps(told.value)).detail == told.value.detail
    server.faults.down = False
    assert list(down.list("clips")) == [] and not list(down.cache.work().iterdir())


def test_a_bucket_that_is_not_there_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="lies in a bucket that is not there"):
        choose(tmp_path, f"s3://{BUCKET}-of-others/run", "", 1.0)
    assert where_of(tmp_path) is None


def test_500s_are_asked_again(storage: ObjectStorage, server: Server) -> None:
    server.faults.every, server.failed = 3, 0
    for number in range(4):
        key = written(storage, f"clips/{number}.mp4", FILM)
        assert storage.size(key) == len(FILM)
    assert storage.claim("raw/one.owner", "first") == "first" and len(list(storage.list("clips"))) == 4
    assert server.failed >= 3


def test_a_put_that_was_done_before_its_answer_was_lost_is_no_conflict(storage: ObjectStorage, server: Server) -> None:
    key = written(storage, "clips/one.mp4", FILM)
    server.requests.clear()
    written(storage, key, FILM)
    assert server.count("PUT") == 1, "refused, and found equal"


def test_the_hash_lies_with_the_file(storage: ObjectStorage, server: Server) -> None:
    written(storage, "clips/one.mp4", b"clip")
    import obstore

    found = obstore.get(storage.bucket._store, "clips/one.mp4", options={"head": True}).attributes
    assert found["sha256"] == storage.sha256("clips/one.mp4")


def test_a_thousand_files_are_one_listing(storage: ObjectStorage, server: Server) -> None:
    prefix = storage.where.url.partition(f"{BUCKET}/")[2]
    for number in range(1001):
        server.spoil(f"{prefix}/clips/{number:04d}.mp4", b"clip")
    assert len(storage.sizes("clips")) == len(storage.sizes("clips")) == 1001
    assert server.count("LIST") == len(server.requests) == 2


def test_the_oldest_copies_go_and_none_that_is_read(tmp_path: Path) -> None:
    mine, other = Cache(tmp_path, 100), Cache(tmp_path, 100)
    for number in range(9):
        with mine.temporary() as path:
            path.write_bytes(bytes(20))
            mine.lease(f"clips/{number}") if number == 2 else None
            other.lease(f"clips/{number}") if number == 3 else None
            taken = mine.take(path, f"clips/{number}", '"v"')
            os.utime(mine._note(f"clips/{number}"), (number, number))
            assert taken.exists()
    assert list(mine.keys()) == [f"clips/{number}" for number in (2, 3, 6, 7, 8)]
    for cache in (mine, other):
        cache.release()
    with mine.temporary() as path:
        path.write_bytes(bytes(90))
        mine.take(path, "clips/last", '"v"')
    assert list(mine.keys()) == ["clips/last"]


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 100)
    (cache.work() / "mine").touch()
    (tmp_path / "work" / "gone").mkdir()
    (tmp_path / "work" / "gone" / ".writing-1.mp4").touch()
    (tmp_path / "leases" / "gone").write_text("clips/one\n", encoding="utf-8")
    cache.sweep()
    assert [path.name for path in (tmp_path / "work").rglob("*") if path.is_file()] == ["mine"]
    assert len(list((tmp_path / "leases").iterdir())) == 1


@pytest.mark.parametrize(
    "url",
    [
        *(
            "s3://key:secret@bucket/run",
            "s3://key@bucket/run",
            "s3://bucket/run?secret=1",
            "s3://bucket/run#x",
            "s3://bucket",
        ),
        *(
            "http://bucket/run",
            "bucket/run",
            "",
            "s3:///run",
            "s3://bucket/a/../b",
            "s3://bucket/a//b",
            "file://host/run",
        ),
        *("s3://bucket/ru\nn", "s3://bucket\\run", "file:///", "s3://[bucket/run"),
    ],
)
def test_addresses_that_cannot_be_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError) as told:  # noqa: PT011 - of many messages
        checked_url(url)
    assert "secret" not in str(told.value)
    if url:
        with pytest.raises(ProfileError) as said:
            load("folder", [f"machine.storage={json.dumps(url)}"])
        assert "secret" not in str(said.value)


def test_a_run_stays_where_its_files_are(bucket_run: Path, storage: ObjectStorage, server: Server) -> None:
    now = storage.where
    choose(bucket_run, now.url, "/somewhere", 2.0)
    assert where_of(bucket_run) == replace(now, cache="/somewhere", cache_gb=2.0)
    written(storage, "clips/one.mp4")
    for other in (f"{now.url}-other", ""):
        with pytest.raises(BadUse, match=r"clips/one\.mp4.*machine\.storage"):
            choose(bucket_run, other, "", 1.0)
    storage.delete("clips/one.mp4")
    choose(bucket_run, "", "", 1.0)
    assert isinstance(storage_of(bucket_run), DiskStorage)
    written(storage_of(bucket_run), "clips/one.mp4")
    with pytest.raises(BadUse, match="lie in the run itself"):
        choose(bucket_run, now.url, "", 1.0)


def test_no_two_runs_share_a_prefix(bucket_run: Path, storage: ObjectStorage, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(BadUse, match="holds another run"):
        choose(other, storage.where.url, "", 1.0)
    assert where_of(other) is None


def test_a_file_that_does_not_say_where_is_told(bucket_run: Path) -> None:
    for text in (
        "",
        "{}",
        '{"url": "s3://a/b", "id": "../x"}',
        '{"url": "s3://k:v@a/b", "id": "' + "0" * 32 + '"}',
        "[" * 9999,
    ):
        (bucket_run / "storage.json").write_text(text, encoding="utf-8")
        with pytest.raises(BadUse, match="does not say where"):
            storage_of(bucket_run)


def test_a_folder_of_another_disk_is_used_in_place(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    choose(run, f"file://{tmp_path}/big%20disk", "", 1.0)
    written(storage_of(run), "clips/one.mp4", b"clip")
    assert (tmp_path / "big disk" / "clips" / "one.mp4").read_bytes() == b"clip" and not storage_of(run).remote


def test_no_credential_is_told(
    storage: ObjectStorage, server: Server, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.faults.down = True
    with pytest.raises(Failure) as told:
        written(ObjectStorage(storage.where), "clips/one.mp4")
    for text in (str(told.value), caplog.text, repr(storage.where), repr(vars(Where("s3://a/b", "0")))):
        assert "secret-of-a-test" not in text and "key-of-a-test" not in text
    assert "one.mp4" in str(told.value)
    assert not any("secret" in key for key in keys(server))


def test_a_source_that_was_freed_is_not_lost(bucket_run: Path, storage: ObjectStorage, server: Server) -> None:
    key = written(storage, "raw/ab/film.mp4", FILM)
    kept = written(storage, "raw/ab/kept.mp4", FILM)
    _bury(storage_of(bucket_run), Source("yt:1", key, len(FILM), "0" * 64))
    assert not storage.exists(key) and storage.exists(tombstone_of(key)) and key not in set(storage.cache.keys())
    promises = [Promise("u", key, len(FILM)), Promise("u", kept, len(FILM)), Promise("u", "raw/ab/lost.mp4", 5)]
    server.requests.clear()
    assert [one.promise.path for one in broken(storage_of(bucket_run), promises[:2])] == []
    assert server.count("LIST") == len(server.requests) == 1
    assert [one.promise.path for one in broken(storage_of(bucket_run), promises)] == ["raw/ab/lost.mp4"]


def test_what_another_machine_decoded_goes_after_an_opt_out(
    storage: ObjectStorage, elsewhere: ObjectStorage, tmp_path: Path
) -> None:
    kept = written(storage, "clips/one.mp4", b"one")
    with elsewhere.cache.temporary() as path:
        path.write_bytes(b"sound of somebody")
        elsewhere.cache.take(path, "sound/file_0.wave", "sound/file_0.wave")
    assert elsewhere.local(kept).exists()
    elsewhere.release()
    storage.keep_deleted(["raw/of somebody.mp4"])
    again = ObjectStorage(storage.where)  # the next process there
    assert again.local(kept).exists() and list(again.cache.keys("sound")) == []
