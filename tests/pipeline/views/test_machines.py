"""What the machines of a run do, of planted outcomes whose sums are known."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.tables.outcome import OK, Outcome
from pipeline.tables.store import Store
from pipeline.views.machines import work
from pipeline.views.overview import StageState
from tests.pipeline.engine.runs import chain, go

NOON = datetime(2099, 11, 29, 12, tzinfo=UTC)  # after whatever a test runs itself


def annotated(run: Path) -> Store:
    """Two clips of each of four videos, of 250 frames, by two GPUs of a node and a node without one."""
    crawl, split, *_ = chain(["a", "b", "c", "d"])
    go(crawl, run)
    go(split, run)
    table = Store(run).table("persons")
    clips = sorted(Store(run).read("clips", ["clip_id"])["clip_id"].to_pylist())
    hosts = ["big gpu 0", "big gpu 0", "big gpu 1", "small", "big gpu 0", "big gpu 1", "big gpu 1", "big gpu 1"]
    for number, (clip, host) in enumerate(zip(clips, hosts, strict=True)):
        old = number < 2
        at = NOON + timedelta(seconds=10.0 * number) - timedelta(days=old)
        gpu = 10.0 if "gpu" in host else 0.0
        outcome = Outcome(
            clip, "annotate", 0, OK, wall_seconds=10.0, cpu_seconds=36.0, gpu_seconds=gpu, host=host, at=at
        )
        table.append([], [outcome])
    return Store(run)


def test_by_node_and_gpu_what_they_did_and_do(tmp_path: Path) -> None:
    found = work(annotated(tmp_path), [], kept_hours=0.01)
    machines = {one.host: one for one in found.machines}
    first, second, small = machines["big gpu 0"], machines["big gpu 1"], machines["small"]
    assert (first.units, second.units, small.units) == (3, 4, 1)
    assert second.gpu_hours == pytest.approx(40 / 3600) and small.gpu_hours == 0
    # Six clips lately, in the 60 s from the begin of the first to the end of the last.
    assert second.frames_a_second == pytest.approx(4 * 250 / 60)
    assert first.frames_a_second == pytest.approx(250 / 60)
    assert second.hours_a_day == pytest.approx(1000 / 60 / 25 * 24)
    assert found.gpu_hours_a_kept_hour == pytest.approx(70 / 3600 / 0.01)
    assert found.cpu_hours_a_kept_hour == pytest.approx(sum(one.cpu_hours for one in found.machines) / 0.01)


def test_the_chain_takes_what_its_stages_have_yet_to_do_with_all_that_was_found(tmp_path: Path) -> None:
    store = annotated(tmp_path)
    done = [
        StageState("crawl", "", 100, ok=50, pending=50, cpu_hours=0.0),
        StageState("split", "", 50, ok=50, cpu_hours=0.5),  # of 100 to come
        StageState("annotate", "", 200, ok=100, pending=100, cpu_hours=1.0),  # of 400
    ]
    left = work(store, done, 0.0).chain_left_seconds
    # 0.5 and 3 processor hours; everything that ended lately (six clips, 36 s each, in 60 s) is the pace.
    assert left == pytest.approx(3.5 * 3600 / (6 * 36 / 60), rel=0.02)
    unknown = [*done, StageState("export", "", 10, pending=10)]
    assert work(store, unknown, 0.0).chain_left_seconds is None, "nobody knows yet what an export costs"
    assert work(store, [StageState("crawl", "", 100, ok=100)], 0.0).chain_left_seconds is None, "nothing is pending"


def test_a_run_in_which_nothing_ran_yet_has_no_machines(tmp_path: Path) -> None:
    found = work(Store(tmp_path), [], 0.0)
    assert found.machines == [] and found.cpu_hours_a_kept_hour is None
