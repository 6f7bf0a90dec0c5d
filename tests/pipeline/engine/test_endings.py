"""How commands end: exit codes, and a last line that says the same."""

import shutil
import threading
import time
from pathlib import Path

import pytest

from pipeline.base.errors import StageError, UnitsFailed
from pipeline.engine.endings import ending_of
from pipeline.engine.runner import Options
from pipeline.tables.store import Store
from tests.pipeline.engine import toys
from tests.pipeline.engine.runs import chain, go, go_all, outcomes


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
