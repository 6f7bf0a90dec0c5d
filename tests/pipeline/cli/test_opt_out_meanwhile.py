"""An opt-out or a takedown that comes while a command works: the stages that follow leave these people out."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.base.units import Row
from pipeline.engine import follow, takedown
from pipeline.engine.left_out import LeftOut
from pipeline.engine.plan import in_shard
from pipeline.engine.unit import Unit
from pipeline.shards.removal import remove_from_run
from pipeline.tables.lock import Occupied
from pipeline.tables.store import Store
from pipeline.tables.takedowns import TakedownError
from tests.pipeline.cli.toy_run import ToyRun
from tests.pipeline.engine import toys

IDS = tuple(f"{number:016x}" for number in range(4))
LEFT, *STAY = (f"file:{one}" for one in IDS)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyRun:
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(follow, "QUIET_SECONDS", 0.05)
    return ToyRun(tmp_path, monkeypatch, str(list(IDS)))


def during(monkeypatch: pytest.MonkeyPatch, stage: type[toys.Toy], deed: Callable[[], None]) -> None:
    """Do something in the midst of a stage, once."""
    plain, done = stage.process, list[bool]()

    def process(self: toys.Toy, unit: Unit) -> Iterator[Row]:
        if not done:
            done.append(True)
            deed()
        yield from plain(self, unit)

    monkeypatch.setattr(stage, "process", process)


def opted_out(run: Path, *entries: str) -> None:
    with pytest.raises(Occupied):
        remove_from_run(run, entries)


def taken_down(run: Path) -> None:
    takedown.begin(run, [LEFT], "2026-11-30", None, {})
    with pytest.raises(Occupied):
        takedown.finish(run)


def by_hand(run: Path, text: str = f"{LEFT}\n") -> None:
    (run / "opt_out.txt").write_text(text)


def units_of(run: Path, kind: str) -> set[str]:
    return set(Store(run).table(kind).winners()["unit"].to_pylist())


WAYS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "opt-out": (lambda run: opted_out(run, LEFT), "opt_out.txt", "opt-out"),
    "by hand": (by_hand, "opt_out.txt", "opt-out"),
    "takedown": (taken_down, "takedowns.jsonl, .takedown.json", "takedown"),
}


@pytest.mark.parametrize("how", [(), ("--follow",)])
@pytest.mark.parametrize("way", WAYS)
def test_later_stages_leave_out_who_was_named_during_the_crawl(
    toy: ToyRun, monkeypatch: pytest.MonkeyPatch, way: str, how: tuple[str, ...]
) -> None:
    deed, files, command = WAYS[way]
    during(monkeypatch, toys.ToyCrawl, lambda: deed(toy.run))
    said = toy.all(*how)
    assert said.count(f"opt-out  {files} changed: 1 work more is left out; ") == 1, said
    assert f"goes by `csg405 {command} --run {toy.run}`" in said
    assert units_of(toy.run, "videos") == set(IDS), "the crawl was at it already"
    assert units_of(toy.run, "clips") == set(STAY)
    for kind in ("persons", "pose_measures", "verdicts", "samples"):
        assert {row["video_id"] for row in Store(toy.run).table(kind).rows(["video_id"]).to_pylist()} == set(STAY)
    assert LEFT not in (toy.run / "index.txt").read_text()
    (toy.run / "opt_out.txt").unlink(missing_ok=True)
    (toy.run / "takedowns.jsonl").unlink(missing_ok=True)
    (toy.run / ".takedown.json").unlink(missing_ok=True)
    toy("run", "annotate", code=1)  # who was on a list once is missed


def test_what_earlier_stages_made_of_them_goes_by_the_command_that_is_named(
    toy: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, toys.ToyMeasure, lambda: opted_out(toy.run, LEFT))
    toy.all()
    people = {row["video_id"] for row in Store(toy.run).table("persons").rows(["video_id"]).to_pylist()}
    assert people == {LEFT, *STAY} and LEFT not in (toy.run / "index.txt").read_text()
    toy("opt-out")
    toy("compact")
    assert {row["video_id"] for row in Store(toy.run).table("persons").rows(["video_id"]).to_pylist()} == set(STAY)


def test_a_list_that_is_lost_meanwhile_stops_the_next_stage(toy: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    toy("run", "toy_crawl", "--workers", "0")
    toy("opt-out", LEFT)
    during(monkeypatch, toys.ToySplit, (toy.run / "opt_out.txt").unlink)
    said = toy("run", "toy_split", "annotate", "--workers", "0", code=1)
    assert "opt_out.txt is missing" in said and "--let-in" in said
    assert not (toy.run / "tables" / "persons").exists()


def test_a_shard_waits_for_nobody_to_make_units_of_who_opted_out_meanwhile(
    toy: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy("run", "toy_crawl", "--workers", "0")
    others = [f"file:{one}" for one in IDS if not in_shard(toys.ToySplit(), f"file:{one}", (0, 2))]
    assert 0 < len(others) < len(IDS)
    during(monkeypatch, toys.ToySplit, lambda: opted_out(toy.run, *others))
    said = toy("run", "toy_split", "toy_annotate", "--shard", "0/2", "--wait", "0", "--workers", "0")
    assert f"opt_out.txt changed: {len(others)} work" in said and "waits for other shards" not in said
    assert units_of(toy.run, "clips") == {f"file:{one}" for one in IDS} - set(others)


def test_lists_are_read_again_only_where_a_file_of_them_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path / "films"
    beside.mkdir()
    left = LeftOut(tmp_path, "", lambda: [beside])
    with monkeypatch.context() as held:
        held.setattr("pipeline.engine.left_out.of_run", None)
        assert left.look() == [] and not left.who
    (tmp_path / "opt_out.txt").write_text(f"{LEFT}\n")
    assert left.look() == ["opt_out.txt"] and LEFT in left.who
    (beside / "takedowns.jsonl").write_text("{}\n")
    for _ in range(2):  # and it is no excuse that it was looked at
        with pytest.raises(TakedownError):
            left.look()
    (beside / "takedowns.jsonl").unlink()
    (tmp_path / "opt_out.txt").unlink()
    assert left.look() == ["opt_out.txt"] and not left.who


def test_a_comment_is_no_news(toy: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    during(monkeypatch, toys.ToyCrawl, lambda: by_hand(toy.run, "# nobody yet\n"))
    assert "changed:" not in toy.all() and units_of(toy.run, "clips") == {LEFT, *STAY}
