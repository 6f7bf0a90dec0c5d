"""A run whose videos, clips, previews and shards lie in a bucket, through a store that fails, against one on a disk."""

import hashlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from pipeline.base import files
from pipeline.engine.plan import plan
from pipeline.engine.session import Session
from pipeline.engine.stage import Context
from pipeline.shards.read import open_shards
from pipeline.storage import FOLDERS, storage_of, where_of
from pipeline.storage.chosen import choose
from pipeline.tables.store import Store
from tests.bucket import BUCKET, Faults, Server, keys, serving_here
from tests.compare_runs import differences
from tests.documents import ROOT
from tests.test_ways_in import LIVE, manifest, poses, youtube
from tests.youtube import YouTube

__all__ = ["youtube"]  # a fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CHAIN = ("crawl", "annotate", "filter")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving_here(tmp_path / "cache", monkeypatch) as found:
        yield found


def csg(run: Path, youtube: YouTube, *arguments: str) -> str:
    sets = {"web.mirror": youtube.mirror, "web.requests_per_hour": "3600000", "web.min_free_gigabytes": "0"}
    flags = [flag for key, value in sets.items() for flag in ("--set", f"{key}={value}")]
    return csg_plain(*arguments, "--run", str(run), *(flags if arguments[0] == "run" else ()))


def csg_plain(*arguments: str) -> str:
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    return done.stdout


def on_disk(run: Path) -> dict[str, str]:
    """{key: sha256} of what a run on a disk holds."""
    return {
        path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in FOLDERS
        for path in (run / folder).rglob("*")
        if path.is_file()
    }


def stored(server: Server) -> dict[str, str]:
    """{key: sha256} of what lies below the prefix, but for the notes beside the folders."""
    found = {key.removeprefix("lab/run/"): hashlib.sha256(data).hexdigest() for key, data in keys(server).items()}
    return {key: sha256 for key, sha256 in found.items() if "/" in key}


def like(found: Mapping[str, str], *folders: str) -> dict[str, str]:
    return {key: sha256 for key, sha256 in found.items() if key.partition("/")[0] in folders}


def test_a_run_in_a_bucket(tmp_path: Path, youtube: YouTube, server: Server) -> None:
    local, run = tmp_path / "local", tmp_path / "run"
    given = ("--profile", "rebuild", "--manifest", str(manifest(tmp_path)), "--poses", str(poses(tmp_path)))
    csg(local, youtube, "run", *CHAIN, *given)

    # no copy outlives the unit that it was fetched for, so that everything is fetched again, through what goes wrong
    server.faults.every, server.faults.cut_every = 20, 3
    sets = [f"machine.storage=s3://{BUCKET}/lab/run", "machine.cache_gb=0.000001"]
    said = csg(run, youtube, "run", *CHAIN, *given, *(word for one in sets for word in ("--set", one)))
    assert server.failed > 3 and server.cut > 3, "nothing went wrong"
    server.faults = Faults()
    assert not any((run / folder).exists() for folder in FOLDERS), said
    assert {kind: how for kind, how in differences(local, run).items() if how} == {}
    assert stored(server) == on_disk(local)

    nothing_is_pending(run, youtube, server)
    commands_work(run, local, youtube, tmp_path)
    a_worker_needs_no_run(run, server, tmp_path)
    nobody_who_opts_out_stays(run, youtube, server, tmp_path)
    for path in (path for folder in (run, tmp_path / "cache") for path in folder.rglob("*") if path.is_file()):
        assert b"secret-of-a-test" not in path.read_bytes(), path


def nothing_is_pending(run: Path, youtube: YouTube, server: Server) -> None:
    server.requests.clear()
    csg(run, youtube, "run", *CHAIN)
    listed = [path for method, path in server.requests if "list-type" in path]
    assert server.count("HEAD") == 0 and len(listed) == len(set(listed)) <= len(FOLDERS), server.requests


def commands_work(run: Path, local: Path, youtube: YouTube, place: Path) -> None:
    for command in (("check", "--deep"), ("status",), ("gc", "--dry-run"), ("discard", "raw")):
        csg(run, youtube, *command)
    assert f"{len(LIVE) * 2} speakers" in csg(run, youtube, "release", "--out", str(place / "release"))
    assert f"{len(LIVE) * 2} samples" in csg_plain(
        "export", "webdataset", "--run", str(run), "--out", str(place / "tars")
    )
    folder = storage_of(run).folder("shards")
    dataset, before = open_shards(folder).torch(), open_shards(local / "shards").torch()
    assert len(dataset) == len(before) == 2 * len(LIVE)
    for mine, theirs in zip(dataset, before, strict=True):
        np.testing.assert_array_equal(mine["keypoints"], theirs["keypoints"])
    item = open_shards(folder)[0]
    assert item.clip.is_file() and item.picture().shape == (512, 512, 3)
    storage_of(run).release()


def a_worker_needs_no_run(run: Path, server: Server, place: Path) -> None:
    """A worker of another machine: it has what travels in its context, an empty folder, and the bucket."""
    profile, store = Session("", str(run), "", "", "", "", ()).profile, Store(run)
    units = {name: plan(profile.stage(name), store).unit(0) for name in ("export", "previews")}
    context = Context(place / "nowhere", where=where_of(run))
    before = stored(server)
    clips = {row["person_id"]: row["video"] for row in store.read("samples", ["person_id", "video"]).to_pylist()}
    for key in (*like(before, "previews"), clips[units["export"].id]):
        storage_of(run).delete(key)
    job = place / "job.pickle"
    job.write_bytes(pickle.dumps([(profile.stage(name), context, unit) for name, unit in units.items()]))
    (place / "empty").mkdir()
    environ = {**os.environ, "CSG405_CACHE": str(place / "other-cache"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(job)],
        cwd=place / "empty",
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and json.loads(done.stdout) == ["ok", "ok"], done.stdout + done.stderr
    again = stored(server)
    assert clips[units["export"].id] in again and like(again, "previews") and again.items() <= before.items()
    assert not (place / "nowhere").exists() and not list((place / "empty").iterdir())


WORKER = """
import json, pathlib, pickle, sys
from pipeline.engine.executors.worker import Worker
jobs = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
results = [Worker(stage, context).run(unit) for stage, context, unit in jobs]
print([result.detail for result in results], file=sys.stderr)
print(json.dumps([result.status for result in results]))
"""


def nobody_who_opts_out_stays(run: Path, youtube: YouTube, server: Server, place: Path) -> None:
    who = f"yt:{LIVE[0]}"
    csg(run, youtube, "opt-out", who)
    csg(run, youtube, "gc")
    left = {**keys(server), **{str(path): path.read_bytes() for path in (place / "cache").rglob("*") if path.is_file()}}
    assert left and not [name for name, data in left.items() if LIVE[0] in name or LIVE[0].encode() in data]
    with storage_of(run).editing("shards") as edited:
        names = {row["video_id"] for row in open_shards(edited.path).rows(["video_id"])}
    assert names == {f"yt:{name}" for name in LIVE[1:]}


WRITER = """
import sys
from pathlib import Path
from pipeline.storage import storage_of
storage, count = storage_of(Path(sys.argv[1])), int(sys.argv[2])
for number in range(count):
    with storage.writing(f"clips/{number % 4}.mp4") as path:
        path.write_bytes(bytes([number]) * (8 << 20))
"""
FILMS = 12  # over four keys: what is there is replaced


def test_kills_in_mid_put_leave_nothing_that_counts(tmp_path: Path, server: Server) -> None:
    run, chance = tmp_path / "run", random.Random(405)
    run.mkdir()
    choose(run, f"s3://{BUCKET}/lab/run", "", 1.0)
    whole = {hashlib.sha256(bytes([number]) * (8 << 20)).hexdigest() for number in range(FILMS)}
    command = [sys.executable, "-c", WRITER, str(run), str(FILMS)]
    server.faults.seconds = (
        0.2  # before a body is read: it does not fit into the buffers between, and is cut by the kill
    )
    for _ in range(10):
        server.requests.clear()
        with subprocess.Popen(command, cwd=ROOT) as writer:
            wait_for(server, writer, puts=chance.randint(1, 4))
            writer.kill()
        assert writer.returncode == -signal.SIGKILL, "it ended before it was killed"
        assert set(stored(server).values()) <= whole
        assert {key.partition("/")[0] for key in stored(server)} <= {"clips"} and not server.uploads()
    server.faults.seconds = 0.0
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    last = [hashlib.sha256(bytes([number]) * (8 << 20)).hexdigest() for number in range(FILMS - 4, FILMS)]
    assert stored(server) == {f"clips/{number}.mp4": sha256 for number, sha256 in enumerate(last)}
    assert list(storage_of(run).scratches()) == []
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and files.TEMPORARY in path.name]
    assert left == []


def wait_for(server: Server, writer: subprocess.Popen[bytes], puts: int) -> None:
    """Wait until so many puts began, or the writer ended."""
    until = time.monotonic() + 120
    while writer.poll() is None and server.count("PUT") < puts:
        assert time.monotonic() < until, "nothing was put"
        time.sleep(0.005)
