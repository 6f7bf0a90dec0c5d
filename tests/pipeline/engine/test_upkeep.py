"""Compaction and collection: whatever moment they are killed at, what counted before counts after, and nothing else."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.engine.plan import plan
from pipeline.engine.upkeep import collect, waste
from pipeline.tables import compaction
from pipeline.tables.compaction import compact
from pipeline.tables.lock import Occupied, driving
from pipeline.tables.parts import read_pieces
from pipeline.tables.retry import forget
from pipeline.tables.store import Store
from tests.pipeline.engine import toys
from tests.pipeline.engine.kills import age, dies, killed_at
from tests.pipeline.engine.runs import chain, contents, go, go_all, same

KINDS = ("videos", "clips", "persons", "pose_measures", "verdicts", "samples")


@pytest.fixture(scope="module")
def many_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of many parts: three versions of persons, retry marks, failures, orphans."""
    run = tmp_path_factory.mktemp("many") / "run"
    go_all(run, chain(("a", "reject")))
    go_all(run, chain(("a", "b", "reject", "fail"), value=2.0, most=100.0))
    go(toys.ToyAnnotate(value=1.0), run)
    go_all(run, chain(("a", "b", "reject", "reject-2", "fail")))
    forget(Store(run), {"not_media"}, set())
    return run


@pytest.fixture
def run(many_parts: Path, tmp_path: Path) -> Path:
    """A copy of that run, which the test may change."""
    return Path(shutil.copytree(many_parts, tmp_path / "run"))


def heavy(run: Path) -> dict[str, str]:
    """The keypoints that a worker would read, by clip."""
    work = plan(toys.ToyMeasure(), Store(run))
    return {
        work.units[n]: work.unit(n).row("persons")["keypoints"].tobytes().hex()[:32] for n in range(len(work.units))
    }


def pending(run: Path) -> list[int]:
    stages = chain(("a", "b", "reject", "reject-2", "fail"))
    return [len(plan(stage, Store(run)).pending) for stage in stages]


def test_compact_keeps_what_counts_and_gc_removes_the_rest(run: Path) -> None:
    before, points, todo = contents(run), heavy(run), pending(run)
    files_before = len(list((run / "tables").rglob("*.parquet")))
    for kind in KINDS:
        assert compact(Store(run), kind)[1] <= 2
    assert same(contents(run), before) and heavy(run) == points and pending(run) == todo
    age(run)
    assert collect(Store(run))[0] == files_before
    assert same(contents(run), before) and heavy(run) == points and pending(run) == todo
    assert len(list((run / "tables").rglob("*.parquet"))) == 2 * len(KINDS)
    assert list(waste(Store(run))) == []
    assert compact(Store(run), "videos") == (2, 2), "and again there is nothing to do"


def test_a_run_goes_on_after_compaction(run: Path) -> None:
    for _ in range(2):  # the second time merged files are among what is merged
        for kind in KINDS:
            compact(Store(run), kind)
        go_all(run, chain(("a", "b", "c", "reject"), value=3.0))
        age(run)
        collect(Store(run))
    fresh = run.parent / "fresh"
    go_all(fresh, chain(("a", "b", "c", "reject"), value=3.0))
    assert same(contents(run)["samples"], contents(fresh)["samples"])
    assert same(contents(run)["persons"], contents(fresh)["persons"])


def test_merged_files_are_of_bounded_size(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MERGED_BYTES", 1 << 18)
    monkeypatch.setattr(compaction, "PIECE_BYTES", 1)
    before, points = contents(run), heavy(run)
    compact(Store(run), "persons")
    assert len(Store(run).table("persons").parts("rows")) == 4
    assert same(contents(run), before) and heavy(run) == points


@pytest.mark.parametrize("at_once", [0, compaction.AT_ONCE_BYTES])
def test_light_rows_are_the_same_whether_files_are_read_once_or_twice(
    run: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    again = list[Path]()

    def counted(part: Path, piece_bytes: int) -> Iterator[pa.Table]:
        again.append(part)
        yield from read_pieces(part, piece_bytes)

    monkeypatch.setattr(compaction, "read_pieces", counted)
    monkeypatch.setattr(compaction, "AT_ONCE_BYTES", at_once)
    monkeypatch.setattr(compaction, "PIECE_BYTES", 1)
    before, parts = contents(run), Store(run).table("videos").parts("rows")
    compact(Store(run), "videos")
    assert len(parts) > 1 and again == ([] if at_once else parts)
    assert same(contents(run), before)
    (merged,) = Store(run).table("videos").parts("rows")
    assert pq.ParquetFile(merged).num_row_groups == len(before["videos"]), "a piece of a row each"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["videos", "persons"])
def test_compact_may_be_killed_at_any_step(run: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    before, points = repr(contents(run)), heavy(run)
    steps = 0
    while True:
        steps += 1
        with monkeypatch.context() as patch:
            killed_at(patch, steps)
            over = not dies(lambda: compact(Store(run), kind))
        assert repr(contents(run)) == before and heavy(run) == points, f"killed at step {steps}"
        if over:
            break
    assert steps > 8
    age(run)
    collect(Store(run))
    assert repr(contents(run)) == before and heavy(run) == points
    assert not list(run.rglob(".writing-*")) and len(list((run / "tables" / kind).rglob("*.parquet"))) == 2


def test_gc_may_be_killed_at_any_step(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = repr(contents(run))
    for kind in KINDS:
        compact(Store(run), kind)
    age(run)
    for step in range(1, 200, 5):
        with monkeypatch.context() as patch:
            killed_at(patch, step)
            over = not dies(lambda: collect(Store(run)))
        assert repr(contents(run)) == before, f"killed at step {step}"
        if over:
            break
    assert over, "it was never let through to its end"


def test_a_dry_run_lists_exactly_what_goes(run: Path) -> None:
    made = {
        "clips/unnamed.mp4": "no row names it",
        "raw/deep/unnamed.webm": "no row names it",
        "tables/videos/rows/part-orphan.parquet": "its rows count for no unit",
        "tables/videos/rows/.writing-abc.parquet": "left by a process that was killed",
        "tables/videos/rows/merged-000009-x-0000.parquet": "of a compaction that is not in use",
        "shards/.writing-x": "left by a process that was killed",
    }
    kept = ("shards/_index.json", "notes.txt", "logs/x.jsonl", "clips/named.mp4")
    part = Store(run).table("videos").parts("rows")[0]
    for name in (*made, *kept):
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(part.read_bytes())
    named = toys.ToyCrawl.model_construct(units=("z",))
    named.__class__ = type("Named", (toys.ToyCrawl,), {"process": lambda self, unit: iter([ROW])})
    go(named, run)
    assert list(waste(Store(run))) == [] or all(
        "part-" in str(w.path) or "merged" in str(w.path) for w in waste(Store(run))
    )
    age(run)
    listed = {str(item.path.relative_to(run)): item.why for item in waste(Store(run))}
    assert made.items() <= listed.items()
    assert not set(kept) & set(listed)
    everything = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    before = contents(run)
    assert collect(Store(run))[0] == len(listed)
    left = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file() and p.parent.name != "locks"}
    assert {name for name in everything if not name.startswith("locks/")} - left == set(listed)
    assert same(contents(run), before) and (run / "clips" / "named.mp4").exists()


ROW = {"video_id": "file:z", "path": "clips/named.mp4"}


def test_a_folder_that_a_kill_left_goes_whole_and_one_that_grows_stays(run: Path) -> None:
    left, grows = run / "cache" / ".writing-left", run / "cache" / ".writing-grows"
    for folder in (left, grows):
        folder.mkdir(parents=True)
        (folder / "audio.raw").write_bytes(b"x" * 5000)
    age(run)
    (grows / "audio.raw").write_bytes(b"x" * 6000)  # which leaves the folder's own time as it was
    [item] = [item for item in waste(Store(run)) if "cache" in item.path.parts]
    assert item.path == left and item.bytes >= 5000
    collect(Store(run))
    assert not left.exists() and (grows / "audio.raw").exists()


def test_what_is_young_may_be_at_work(run: Path) -> None:
    (run / "clips").mkdir()
    (run / "clips" / "unnamed.mp4").write_bytes(b"x")
    old = [item for item in waste(Store(run)) if "clips" in item.path.parts]
    assert old == []
    assert [i.why for i in waste(Store(run), time.time() + 7200) if i.path.name == "unnamed.mp4"] == ["no row names it"]


def test_neither_runs_beside_a_driver(run: Path) -> None:
    with driving(run, "clips"):
        for kind, refused in (("clips", True), ("videos", False)):
            if refused:
                with pytest.raises(Occupied):
                    compact(Store(run), kind)
            else:
                compact(Store(run), kind)
        with pytest.raises(Occupied):
            collect(Store(run))
    with driving(run, "persons", (1, 2)), pytest.raises(Occupied):
        collect(Store(run))


def test_nothing_to_keep(tmp_path: Path) -> None:
    assert collect(Store(tmp_path / "none")) == (0, 0) and not (tmp_path / "none").exists()
    assert compact(Store(tmp_path / "none"), "videos") == (0, 0)
