"""Removal from shards that lie in a bucket: killed before any request that changes something, it comes to the same end."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import files
from pipeline.shards import removal
from pipeline.shards.read import open_shards
from pipeline.storage import storage_of
from pipeline.storage.chosen import choose
from pipeline.storage.objects import ObjectStorage
from tests.bucket import BUCKET, Server, keys, serving_here
from tests.stages.test_removal import CHANNEL, Killed, expected, made, state

__all__ = ["made"]  # a fixture

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving_here(tmp_path / "cache", monkeypatch) as found:
        yield found


def in_bucket(made: Path, run: Path) -> None:
    """The run with its shards and clips below a prefix of its name."""
    run.mkdir()
    choose(run, f"s3://{BUCKET}/lab/{run.name}", "", 1.0)
    for path in (path for name in ("shards", "clips") for path in (made / name).rglob("*")):
        with storage_of(run).writing(path.relative_to(made).as_posix()) as target:
            shutil.copyfile(path, target)


def stored(server: Server, run: Path) -> dict[str, str]:
    found = {
        key.removeprefix(f"lab/{run.name}/"): data for key, data in keys(server).items() if f"lab/{run.name}/" in key
    }
    return {key: sha256(data).hexdigest() for key, data in found.items() if "/" in key}


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Stop before the change of this number; what was changed before."""
    done: list[str] = []

    def counted(real: Any) -> Any:
        def change(self: ObjectStorage, *arguments: Any) -> Any:
            if len(done) + 1 == step:
                raise Killed
            done.append(str(arguments[-1]))
            return real(self, *arguments)

        return change

    with monkeypatch.context() as patch:
        for name in ("put", "delete", "keep_deleted"):
            patch.setattr(ObjectStorage, name, counted(getattr(ObjectStorage, name)))
        yield done


def removed(run: Path) -> None:
    storage = storage_of(run)
    undone = removal._from_shards(run, storage, CHANNEL).undone
    storage.release()
    assert not undone


def test_killed_before_every_change(
    made: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = Path(shutil.copytree(made, tmp_path / "local"))
    removal.remove(local / "shards", CHANNEL)
    whole = {key: found for key, found in state(local).items() if files.TEMPORARY not in key}
    in_bucket(made, tmp_path / "whole")
    with killed_at(0, monkeypatch) as steps:
        removed(tmp_path / "whole")
    assert stored(server, tmp_path / "whole") == whole
    assert len(steps) >= 12, "a rewritten shard, the journal, clips, the index, and what goes again"
    for step in range(1, len(steps) + 1):
        run = tmp_path / f"killed-{step}"
        in_bucket(made, run)
        with killed_at(step, monkeypatch), pytest.raises(Killed):
            removed(run)
        removed(run)
        assert stored(server, run) == whole, step
    videos = [row["video_id"] for row in open_shards(storage_of(run).folder("shards")).rows(["video_id"])]
    assert sorted(videos) == expected(2, 3)
