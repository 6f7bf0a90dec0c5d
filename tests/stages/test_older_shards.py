"""Shards of version 3, in row groups of 16 with statistics of every column: read, cleaned and made anew as those of today."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.base.hashes import sha256_of
from pipeline.shards import grouping, opened, write
from pipeline.shards.format import ROWS_A_GROUP, ShardError
from pipeline.shards.read import open_shards
from pipeline.shards.removal import remove
from pipeline.tables.opt_out import OptOut
from pipeline.tables.store import Store
from pipeline.views.packed import packed_since, row_groups
from stages.shards import Shards
from tests.stages import fake_run

STAGE = {"buckets": 1, "test_share": 0, "validation_share": 0}
GONE = OptOut(frozenset({fake_run.video_id(4)}))


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 36 samples, whose shard version 3 of the stage wrote."""
    run = tmp_path_factory.mktemp("older") / "run"
    store = Store(run)
    with fake_run.together(store):
        for video in range(12):
            fake_run.kept(store, video, 0, 200, 400)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "ROWS_A_GROUP", 16)
        patch.setattr(write, "_NOT_COUNTED", frozenset())
        patch.setattr(Shards, "version", 3)
        fake_run.run(Shards(**STAGE), run)
    assert max(sizes(run)) > ROWS_A_GROUP
    return run


@pytest.fixture
def run(older: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(older, tmp_path / "run"))


def shard_of(run: Path) -> Path:
    [path] = (run / "shards").glob("*.parquet")
    return path


def sizes(run: Path) -> Iterator[int]:
    """Rows of each row group."""
    about = pq.read_metadata(shard_of(run))
    return (about.row_group(number).num_rows for number in range(about.num_row_groups))


def made_anew(run: Path) -> Path:
    """The shard as today's stage writes it where none was before."""
    again = Path(shutil.copytree(run, run.with_name("anew")))
    shutil.rmtree(again / "shards")
    shutil.rmtree(again / "tables/shards")
    fake_run.run(Shards(**STAGE), again)
    return shard_of(again)


def test_they_read_as_those_of_today(run: Path) -> None:
    path = made_anew(run)
    older, newer = open_shards(run / "shards"), open_shards(path.parent)
    assert max(sizes(path.parents[1])) <= ROWS_A_GROUP
    assert len(older) == len(newer) == 36
    for number, (one, two) in enumerate(zip(older.rows(), newer.rows(), strict=True)):
        assert one.keys() == two.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])
            np.testing.assert_array_equal(older.row(number)[name], two[name])


def test_taking_people_out_leaves_the_bytes_that_the_stage_of_today_writes(run: Path) -> None:
    store = Store(run)
    for first in (0, 200, 400):
        fake_run.judge(store, 4, first, keep=False, attempt=2)
    assert remove(run / "shards", GONE).clips == 3
    assert sha256_of(shard_of(run)) == sha256_of(made_anew(run))


def test_a_removal_that_no_reader_could_read_changes_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of 4 have a larger footer than those of 16."""
    path = shard_of(run)
    before, data = sha256_of(path), path.read_bytes()
    monkeypatch.setattr(opened, "_FOOTER_BYTES", int.from_bytes(data[-8:-4], "little"))
    with pytest.raises(ShardError, match=r"has a footer of \d+ bytes.* higher `shards\.buckets`"):
        remove(run / "shards", GONE)
    assert sha256_of(path) == before and len(open_shards(run / "shards")) == 36
    monkeypatch.undo()
    assert remove(run / "shards", GONE).clips == 3


def test_the_stage_of_today_uses_nothing_of_them(run: Path) -> None:
    store = Store(run)
    before = row_groups(store)
    fake_run.judge(store, 4, 200, keep=False, attempt=2)
    assert fake_run.run(Shards(**STAGE), run) == ["train-00000"]
    packed = packed_since(before, Store(run))
    assert (packed.anew, packed.copied) == (35, 0)
    assert sha256_of(shard_of(run)) == sha256_of(made_anew(run))
