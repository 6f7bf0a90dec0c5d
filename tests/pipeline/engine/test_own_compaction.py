"""A driver joins the parts of its table by itself: what counted before counts after, and nobody else is in its way."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.engine.plan import plan
from pipeline.tables import check, compaction
from pipeline.tables.compaction import compact_if_many
from pipeline.tables.lock import driving
from pipeline.tables.opt_out import OptOut
from pipeline.tables.store import Store
from tests.pipeline.engine import toys
from tests.pipeline.engine.kills import dies, killed_at
from tests.pipeline.engine.runs import HERE, chain, contents, go, go_all, same

UNITS = ("a", "b", "c", "d", "e")


@pytest.fixture(autouse=True)
def few() -> Iterator[None]:
    """Three parts are many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "MANY_PARTS", 3)
        yield


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of four parts of videos, made one unit at a time; nothing is joined yet."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(compaction, "MANY_PARTS", 1000)
        for count in range(1, len(UNITS)):
            go(toys.ToyCrawl(units=UNITS[:count]), run)
    assert parts(run) == (4, 4)
    return run


def parts(run: Path, kind: str = "videos") -> tuple[int, int]:
    table = Store(run).table(kind)
    return len(table.parts("rows")), len(table.parts("outcomes"))


def test_a_driver_joins_its_parts_when_they_are_many(run: Path, tmp_path: Path) -> None:
    summary = go(toys.ToyCrawl(units=UNITS), run)
    assert summary.counts == {"ok": 1}
    assert parts(run) == (1, 1)
    fresh = tmp_path / "fresh"
    go(toys.ToyCrawl(units=UNITS), fresh)
    assert same(contents(run), contents(fresh))
    assert go(toys.ToyCrawl(units=UNITS), run).pending == 0
    assert check.damages(Store(run), deep=True) == []
    go(toys.ToyCrawl(units=(*UNITS, "f")), run)
    assert parts(run) == (2, 2), "two are not many"


def test_a_driver_with_nothing_to_do_joins_them_too(run: Path) -> None:
    before = contents(run)
    assert go(toys.ToyCrawl(units=UNITS[:-1]), run).pending == 0
    assert parts(run) == (1, 1)
    assert same(contents(run), before)


def test_shards_leave_parts_to_the_call_that_does_all(run: Path) -> None:
    """Shards that start one after the other would refuse one that began while another joined parts."""
    stage = toys.ToyCrawl(units=UNITS)
    for number in range(2):
        go(stage, run, replace(HERE, shard=(number, 2)))
    assert parts(run) == (5, 5)
    go(stage, run)
    assert parts(run) == (1, 1)


@pytest.mark.parametrize("shard", [None, (0, 2)])
def test_nothing_is_joined_while_another_driver_writes(run: Path, shard: tuple[int, int] | None) -> None:
    store, before = Store(run), contents(run)
    with driving(run, "videos", shard):
        assert not compact_if_many(store, "videos")
    assert parts(run) == (4, 4)
    assert compact_if_many(store, "videos")
    assert not compact_if_many(store, "videos")
    assert same(contents(run), before)


def test_large_tables_are_left_to_the_command(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compaction, "LIGHT_BYTES", 1000)
    with caplog.at_level(logging.INFO):
        assert not compact_if_many(Store(run), "videos")
    assert parts(run) == (4, 4)
    assert "csg405 compact videos" in caplog.text


def test_a_full_disk_leaves_everything_as_it_was(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    before = contents(run)
    monkeypatch.setattr(compaction.pointer, "write", full)
    assert go(toys.ToyCrawl(units=UNITS), run).counts == {"ok": 1}
    assert "No space left" in caplog.text
    monkeypatch.undo()
    assert len(contents(run)["videos"]) == len(before["videos"]) + 1
    assert check.damages(Store(run), deep=True) == []


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_a_kill_while_parts_are_joined_changes_nothing(run: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    before = contents(run)
    with monkeypatch.context() as patch:
        killed_at(patch, step)
        dies(lambda: compact_if_many(Store(run), "videos"))
    assert same(contents(run), before)
    assert go(toys.ToyCrawl(units=UNITS), run).counts == {"ok": 1}
    assert parts(run) in {(1, 1), (2, 2)}, "where the kill came too late to keep parts from being joined, one is new"


def test_a_reader_that_planned_before_reads_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    for count in range(1, len(UNITS)):
        monkeypatch.setattr(compaction, "MANY_PARTS", 1000)
        go_all(run, chain(UNITS[:count]))
    work, other = plan(toys.ToyMeasure(), reader := Store(run)), contents(run)
    points = [work.unit(at).row("persons")["keypoints"].tobytes() for at in range(len(work.units))]
    monkeypatch.setattr(compaction, "MANY_PARTS", 3)
    assert compact_if_many(Store(run), "persons")
    assert [work.unit(at).row("persons")["keypoints"].tobytes() for at in range(len(work.units))] == points
    assert len(plan(toys.ToyMeasure(), reader).pending) == 0
    assert same(contents(run), other)


def test_rows_of_who_opted_out_come_back_when_they_are_let_in(run: Path) -> None:
    before = contents(run)["videos"]
    out = OptOut(videos=frozenset({before[0]["video_id"]}))
    assert compact_if_many(Store(run, out), "videos")
    assert parts(run) == (1, 1)
    assert len(Store(run, out).read("videos")) == len(before) - 1
    assert same(Store(run).read("videos").to_pylist(), before)
