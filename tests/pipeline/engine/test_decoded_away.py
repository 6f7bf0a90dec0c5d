"""What stages decode on a machine that does not see the run: it goes by itself, and with whoever opted out."""

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline.storage
from pipeline.engine import decoded
from pipeline.engine.decoded_pictures import pictures
from pipeline.engine.stage import Context
from pipeline.media.moments import FACES
from pipeline.media.patches import Patch, Patches
from pipeline.storage import bucket, storage_of, where_of
from pipeline.storage.chosen import choose
from tests.bucket import BUCKET, Server, serving_here

VIDEOS: list[dict[str, Any]] = [{"video_id": f"file:{n:016x}", "sha256": f"{n:064x}"} for n in (1, 2)]
KEPT = Patches(1, (20, 20), (Patch.of(0, np.zeros((20, 20, 3), np.uint8)),))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving_here(tmp_path / "cache", monkeypatch) as found:
        yield found


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    choose(folder, f"s3://{BUCKET}/{tmp_path.name}", "", 1.0)
    return folder


@pytest.fixture
def away(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """On another machine, where a worker kept two faces."""
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path / "other machine"))
    context = Context(tmp_path / "nowhere", where=where_of(run), wanted_pictures=frozenset((FACES,)))
    worker = pictures(context)
    for row in VIDEOS:
        worker.put(FACES, row, 0, 1, KEPT)
    assert found(context) == [KEPT, KEPT]
    return context


def found(context: Context) -> list[Patches | None]:
    """What a worker that begins now finds."""
    worker = pictures(context)
    return [worker.get(FACES, row, 0, 1) for row in VIDEOS]


def age(folder: Path, seconds: float) -> None:
    """Nobody asked for the first face for so long."""
    past = time.time() - seconds
    [note] = (folder / "notes").rglob("file_0000000000000001*.json")
    os.utime(note, (past, past))


def test_what_nobody_asked_for_lately_goes(away: Context) -> None:
    cache = decoded.cache_of(away)
    assert cache is not None
    age(cache.folder, decoded.UNUSED_SECONDS - 3600)
    assert found(away) == [KEPT, KEPT], "and was asked for now"
    age(cache.folder, decoded.UNUSED_SECONDS + 3600)
    assert found(away) == [None, KEPT]
    assert not list(cache.folder.rglob("file_0000000000000001*"))


def test_what_another_process_reads_stays_however_old(away: Context) -> None:
    reader = decoded.cache_of(away)
    assert reader is not None
    reader.lease(next(key for key in reader.keys("pictures") if "file_0000000000000001" in key))
    age(reader.folder, decoded.UNUSED_SECONDS + 3600)
    assert found(away) == [KEPT, KEPT]
    reader.release()
    age(reader.folder, decoded.UNUSED_SECONDS + 3600)
    assert found(away) == [None, KEPT]


def test_in_the_run_it_stays_until_gc(run: Path) -> None:
    context = Context(run, where=where_of(run), wanted_pictures=frozenset((FACES,)))
    for row in VIDEOS:
        pictures(context).put(FACES, row, 0, 1, KEPT)
    age(run / decoded.FOLDER, decoded.UNUSED_SECONDS + 3600)
    assert found(context) == [KEPT, KEPT]


def test_a_worker_that_reads_no_file_rids_the_machine_of_who_opted_out_too(
    away: Context, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage_of(run).forget_elsewhere()
    monkeypatch.setattr(pipeline.storage, "_opened", {})  # as in a new process
    assert found(away) == [None, None]
    pictures(away).put(FACES, VIDEOS[1], 0, 1, KEPT)
    monkeypatch.setattr(pipeline.storage, "_opened", {})
    assert found(away) == [None, KEPT]


def test_where_nobody_can_say_who_opted_out_nothing_is_used_and_a_line_says_so(
    away: Context, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bucket, "PATIENCE", timedelta(milliseconds=50))
    monkeypatch.setattr(bucket, "_TRIES", 1)
    monkeypatch.setattr(pipeline.storage, "_opened", {})
    server.faults.down = True
    assert found(away) == [None, None] and not pictures(away).wants(FACES, VIDEOS[0])
    assert "who opted out since is not known" in caplog.text
