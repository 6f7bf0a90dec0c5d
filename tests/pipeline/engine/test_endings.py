"""How commands end: exit codes, and a last line that says the same."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from pipeline.base.errors import StageError, UnitsFailed
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine import runner
from pipeline.engine.endings import ending_of
from pipeline.engine.plan import Plan
from pipeline.engine.runner import Options
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Stage
from pipeline.engine.unit import Unit
from pipeline.storage import storage_of
from pipeline.tables.store import Store
from tests.pipeline.engine import toys
from tests.pipeline.engine.runs import chain, contents, go, go_all, outcomes


def test_only_failures_that_should_not_be_count(tmp_path: Path) -> None:
    crawl = toys.ToyCrawl(units=("a", "reject", "raise-1", "raise-2", "fail"))
    go(crawl, tmp_path)
    found = ending_of([(crawl, Store(tmp_path))], tmp_path)
    assert found.failed == {"toy_crawl": {"exception": 2}} and found.waiting == {"toy_crawl": {"network": 1}}
    with pytest.raises(
        UnitsFailed, match=r"2 units .*: toy_crawl 2 exception; .*csg405 retry.*; to be tried again .*1 network"
    ):
        found.raise_failed()
    assert UnitsFailed.exit_code == 3
    for _ in range(3):
        go(crawl, tmp_path)
    assert ending_of([(crawl, Store(tmp_path))], tmp_path).failed, "what is given up has failed too"
    shards = [ending_of([(crawl, Store(tmp_path))], tmp_path, (n, 3)).failed for n in range(3)]
    assert sum(found["toy_crawl"]["exception"] for found in shards if found) == 2


def test_units_of_the_past_do_not_count(tmp_path: Path) -> None:
    """A source that is named no more, and a clip whose video was crawled anew to something else."""
    go(toys.ToyCrawl(units=("a", "raise")), tmp_path)
    assert not ending_of([(toys.ToyCrawl(units=("a",)), Store(tmp_path))], tmp_path).failed
    go_all(tmp_path / "run", chain())
    assert ending_of([(stage, Store(tmp_path / "run")) for stage in chain()], tmp_path).line() == "all done"


class Film(toys.ToyExport):
    """Films each kept person, unless it is told how to fail."""

    name: ClassVar[str] = "toy_film"

    broken: str = Field("", json_schema_extra=runtime())

    def process(self, unit: Unit) -> Iterator[Row]:
        if self.broken:
            raise (Reject if self.broken == "removed" else Failure)(Reason.of(self.broken), "as asked")
        [row] = super().process(unit)
        key = f"clips/{unit.id.replace('/', '_').replace(':', '_')}.mp4"
        with storage_of(self._run).writing(key) as path:
            path.write_bytes(b"film")
        yield {**row, "video": key, "video_bytes": 4}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_folder_that_is_deleted_stops_the_run(tmp_path: Path, workers: int) -> None:
    """It is not begun anew with what was left to do."""
    run = tmp_path / "run"
    stage = toys.ToyCrawl(units=tuple(f"u{n:03d}" for n in range(100)), pause_seconds=0.05)

    def delete() -> None:
        while (
            not (run / "logs" / "toy_crawl.jsonl").is_file()
            or "u003" not in (run / "logs" / "toy_crawl.jsonl").read_text()
        ):
            time.sleep(0.02)
        run.rename(tmp_path / "trash")

    thread = threading.Thread(target=delete)
    thread.start()
    with pytest.raises(StageError, match="was deleted or moved while toy_crawl ran: stopped"):
        go(stage, run, Options(workers=workers))
    thread.join()
    assert not (run / "tables").exists()
    shutil.rmtree(run, ignore_errors=True)
    (tmp_path / "trash").rename(run)
    assert go(toys.ToyCrawl(units=stage.units), run).counts["ok"] == 100 and len(outcomes(run)) == 100


class Deeds(toys.ToyAnnotate):
    """Goes wrong as it is told, of the clips of one video."""

    name: ClassVar[str] = "toy_annotate"

    deed: str = Field("", json_schema_extra=runtime())

    def process(self, unit: Unit) -> Iterator[Row]:
        if self.deed == "raise":
            raise ValueError("as asked")
        if self.deed and unit.id.startswith("file:a/"):
            raise Failure(Reason.of(self.deed), "as asked")
        yield from super().process(unit)


@pytest.mark.parametrize("reason", ["source_changed", "source_missing", "source_discarded"])
def test_a_source_that_is_away_takes_no_result_with_it(tmp_path: Path, reason: str) -> None:
    """A setting changed meanwhile: the rows stay, what was made from them too, and the last line says that some wait."""
    stages = chain()
    go_all(tmp_path, stages)
    stages[2] = Deeds(value=2.0, deed=reason)
    before = {row["person_id"]: row for row in contents(tmp_path)["persons"]}
    done = go(stages[2], tmp_path)
    assert set(done.unmended) == {"file:a/0+250", "file:a/250+250"} and done.reasons == {reason: 2}
    after = {row["person_id"]: row for row in contents(tmp_path)["persons"]}
    assert {unit: row == before[unit] for unit, row in after.items()} == {unit: "file:a" in unit for unit in before}
    go_all(tmp_path, stages[3:])
    assert len(contents(tmp_path)["samples"]) == 4
    found = ending_of([(stages[2], Store(tmp_path))], tmp_path)
    waits = f"2 wait for their source: csg405 retry --refetch --run {tmp_path}"
    freed = reason == "source_discarded"
    assert (
        found.line() == f"all done; {waits if freed else f'to be tried again by the next run: toy_annotate 2 {reason}'}"
    )
    assert go(Deeds(value=2.0), tmp_path).counts == {"ok": 2}
    assert ending_of([(stages[2], Store(tmp_path))], tmp_path).line() == "all done"


def test_what_was_never_made_fails_as_before(tmp_path: Path) -> None:
    stages = chain()
    go_all(tmp_path, stages[:2])
    assert not go(Deeds(deed="source_missing"), tmp_path).unmended
    assert {o["status"] for o in outcomes(tmp_path, "persons").values()} == {"failed", "ok"}


def test_what_waits_for_a_freed_source_says_how_it_comes_back(tmp_path: Path) -> None:
    go_all(tmp_path, chain()[:2])
    go(Deeds(deed="source_discarded"), tmp_path)
    line = ending_of([(Deeds(), Store(tmp_path))], tmp_path).line()
    assert line == f"all done; 2 wait for their source: csg405 retry --refetch --run {tmp_path}"


def test_a_file_that_could_not_be_made_again_for_a_bug_ends_with_3(tmp_path: Path) -> None:
    """No index is written that lists it, and parts of the units tell their own."""
    film = Film()
    go_all(tmp_path, [*chain()[:-1], film])
    index = tmp_path / "index.txt"
    index.unlink()
    sorted((tmp_path / "clips").iterdir())[0].unlink()
    done = go(Film(broken="exception"), tmp_path)
    assert done.unfinished and not index.exists() and len(done.unmended) == 1
    found = ending_of([(film, Store(tmp_path))], tmp_path)
    with pytest.raises(UnitsFailed, match=r"1 units could not be made again: toy_film 1 exception; their rows stay"):
        found.raise_failed()
    parts = [go(Film(broken="exception"), tmp_path, Options(workers=0, shard=(n, 2))).pending for n in range(2)]
    of_parts = [bool(ending_of([(film, Store(tmp_path))], tmp_path, (n, 2)).stayed) for n in range(2)]
    assert of_parts == [count > 0 for count in parts] and sum(parts) == 1
    assert not go(Film(), tmp_path).unmended and index.exists()
    assert [ending_of([(film, Store(tmp_path))], tmp_path, shard).line() for shard in (None, (0, 2), (1, 2))] == [
        "all done"
    ] * 3


def test_a_file_whose_source_is_gone_for_good_is_told_and_is_no_bug(tmp_path: Path) -> None:
    go_all(tmp_path, [*chain()[:-1], Film()])
    sorted((tmp_path / "clips").iterdir())[0].unlink()
    go(Film(broken="removed"), tmp_path)
    found = ending_of([(Film(), Store(tmp_path))], tmp_path)
    found.raise_failed()
    assert found.line() == "all done; not made again, their rows stay: toy_film 1 removed"


def test_a_summary_is_of_the_plan_that_was_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another driver did most of it after this one planned, before it held the lock."""
    planned = runner.plan

    def late(stage: Stage, *more: Any) -> Plan:
        found = planned(stage, *more)
        if not monkeypatched:
            monkeypatched.append(1)
            go(toys.ToyCrawl(units=("a", "b")), tmp_path)
        return found

    monkeypatched: list[int] = []
    monkeypatch.setattr(runner, "plan", late)
    done = go(toys.ToyCrawl(units=("a", "b", "c")), tmp_path)
    assert (done.units, done.pending, done.counts) == (3, 1, {"ok": 1})
