"""Planning: what is pending follows from content, settings and nets, and from nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.units import Row
from pipeline.engine import plan as planning
from pipeline.engine import runner
from pipeline.engine.plan import MAX_ATTEMPTS, plan
from pipeline.engine.settings import runtime
from pipeline.engine.stage import ALL, Reads, Stage
from pipeline.engine.unit import Unit
from pipeline.tables.hashing import column_hashes, payload_hash, row_hashes, string_hashes, unit_hashes
from pipeline.tables.kinds import BOX, KINDS, frames
from pipeline.tables.opt_out import OptOut
from pipeline.tables.retry import forget
from pipeline.tables.store import Store
from tests.pipeline.engine import toys
from tests.pipeline.engine.runs import chain, go, go_all, outcomes


def pending(stage: Stage, run: Path, *models: str) -> list[str]:
    work = plan(stage, Store(run), models)
    return [work.units[i] for i in work.pending]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    go_all(tmp_path)
    return tmp_path


class RaisedCrawl(toys.ToyCrawl):
    """The same crawl, one video of another width or title."""

    name: ClassVar[str] = "toy_crawl"
    version: ClassVar[int] = 2
    which: str = "a"
    width: int = 1280
    words: str = "a"

    def process(self, unit: Unit) -> Any:
        for row in super().process(unit):
            mine = unit.id == self.which
            yield {**row, "width": self.width if mine else row["width"], "title": self.words if mine else row["title"]}


def test_a_finished_run_has_nothing_pending(run: Path) -> None:
    for stage in chain():
        assert pending(stage, run) == [], stage.name


def test_a_change_that_leaves_declared_columns_stops_there(run: Path) -> None:
    crawl = RaisedCrawl(units=("a", "b"), words="another title")
    assert pending(crawl, run) == ["a", "b"], "a new version does everything again"
    go(crawl, run)
    assert "another title" in Store(run).read("videos", ["title"])["title"].to_pylist()
    for stage in chain()[1:]:
        assert pending(stage, run) == [], stage.name


def test_one_changed_column_of_one_row_makes_its_units_pending(run: Path) -> None:
    go(RaisedCrawl(units=("a", "b"), width=640), run)
    assert pending(toys.ToySplit(), run) == ["file:a"]
    assert pending(toys.ToyAnnotate(), run) == ["file:a/0+250", "file:a/250+250"], "joined to its video by key"
    assert pending(toys.ToyMeasure(), run) == []
    go(toys.ToySplit(), run)  # its rows differ in a column that annotate does not read
    assert pending(toys.ToyAnnotate(), run) == ["file:a/0+250", "file:a/250+250"]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_units_are_found_among_outcomes_a_part_at_a_time(
    run: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Outcomes without a unit and units without an outcome, before, between and behind the others."""
    go(toys.ToyCrawl(units=("0", "a", "aa", "c")), run)
    go(toys.ToySplit(), run)
    gone = OptOut(videos=frozenset({"file:a"}))
    work = plan(toys.ToyAnnotate(), Store(run, gone))
    assert len(work.units) == 8 and 0 < len(work.pending) < 8
    monkeypatch.setattr(planning, "_AT_ONCE", at_once)
    again = plan(toys.ToyAnnotate(), Store(run, gone))
    assert (again.units, again.status.tolist()) == (work.units, work.status.tolist())
    assert (again.attempts.tolist(), again.pending.tolist()) == (work.attempts.tolist(), work.pending.tolist())
    assert [unit for unit, status in zip(work.units, work.status, strict=True) if status == "ok"] == [
        "file:b/0+250",
        "file:b/250+250",
    ]


def test_a_changed_payload_is_found_through_its_hash(run: Path) -> None:
    go(toys.ToyAnnotate(value=2.0), run)
    assert len(pending(toys.ToyMeasure(), run)) == 4
    assert pending(toys.ToyExport(), run) == [], "the scores are as they were"
    go(toys.ToyAnnotate(value=1.0), run)
    assert pending(toys.ToyMeasure(), run) == [], "content, not history"


def test_settings_version_and_nets_count_and_runtime_settings_do_not(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pending(toys.ToyAnnotate(batch=64), run) == []
    assert len(pending(toys.ToyAnnotate(value=1.5), run)) == 4
    assert len(pending(toys.ToyAnnotate(), run, "another net's sha256")) == 4
    monkeypatch.setattr(toys.ToyAnnotate, "version", 2)
    assert len(pending(toys.ToyAnnotate(), run)) == 4


def test_more_or_fewer_rows_in_a_unit_are_a_change(run: Path) -> None:
    go(toys.ToyCrawl(units=("a", "b", "c")), run)
    assert pending(toys.ToySplit(), run) == ["file:c"]
    go(toys.ToySplit(), run)
    assert len(pending(toys.ToyAnnotate(), run)) == 2
    go(toys.ToyAnnotate(), run)
    assert pending(toys.ToyJudge(), run) == [ALL]


class Grouped(toys.Toy):
    """Persons by parity of the clip's first frame; leaves out those of video b."""

    name: ClassVar[str] = "grouped"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("persons", ("person",)), Reads("pose_measures", ("jitter",)))
    writes: ClassVar[str] = "shards"

    def group(self, tables: Mapping[str, pa.Table]) -> list[str | None]:
        clips = tables["persons"]["clip_id"].to_pylist()
        return [None if c.startswith("file:b") else f"bucket-{c.split('/')[1][0]}" for c in clips]

    def process(self, unit: Unit) -> Any:
        yield {"bucket": unit.id, "rows": len(unit.rows("pose_measures"))}


class ByVideo(toys.Toy):
    """Rows of three kinds by a column that all have."""

    name: ClassVar[str] = "by_video"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("persons", ("scores",)),
        Reads("clips", ("frames",)),
        Reads("verdicts", ("reasons",), where="keep"),
    )
    writes: ClassVar[str] = "shards"
    unit: ClassVar[str] = "video_id"

    def process(self, unit: Unit) -> Any:
        raise NotImplementedError


def test_units_join_their_rows_whatever_names_them(run: Path) -> None:
    store = Store(run)
    grouped = plan(Grouped(), store)
    assert grouped.units == ["bucket-0", "bucket-2"]
    unit = grouped.unit(0)
    assert [row["person_id"] for row in unit.rows("persons")] == ["file:a/0+250#0"]
    assert [row["jitter"] for row in unit.rows("pose_measures")] == [1.0]

    go(toys.ToyJudge(most=100.0), run)
    videos = plan(ByVideo(), Store(run))
    assert videos.units == ["file:a", "file:b"]
    unit = videos.unit(1)
    assert [row["clip_id"] for row in unit.rows("clips")] == ["file:b/0+250", "file:b/250+250"]
    assert [row["scores"].shape for row in unit.rows("persons")] == [(250, 133)] * 2
    assert [row["person_id"] for row in unit.rows("verdicts")] == ["file:b/0+250#0"]
    with pytest.raises(LookupError, match="has 2 rows of clips"):
        unit.row("clips")

    everything = plan(toys.ToyJudge(), store)
    assert everything.units == [ALL] and len(everything.unit(0).rows("persons")) == 4


def test_an_empty_table_gives_no_units_but_all(tmp_path: Path) -> None:
    for stage in (toys.ToySplit(), toys.ToyAnnotate(), Grouped(), ByVideo()):
        assert plan(stage, Store(tmp_path)).units == []
    assert plan(toys.ToyJudge(), Store(tmp_path)).units == [ALL]


def test_a_unit_gives_up_after_failing_so_often_on_the_same_input(tmp_path: Path) -> None:
    crawl = toys.ToyCrawl(units=("raise", "fail", "a"))
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert "raise" in pending(crawl, tmp_path)
        go(crawl, tmp_path)
        assert outcomes(tmp_path)["raise"]["failures"] == attempt
    assert pending(crawl, tmp_path) == ["fail"], "the network may come back; a bug does not mend itself"
    other = toys.ToyCrawl(units=("raise",), salt=1)
    for _ in range(MAX_ATTEMPTS):
        assert pending(other, tmp_path) == ["raise"], "another setting, another chance, and all of it"
        go(other, tmp_path)
    assert pending(other, tmp_path) == []
    forget(Store(tmp_path), {"exception"}, set())
    for _ in range(MAX_ATTEMPTS):
        assert pending(other, tmp_path) == ["raise"], "asked to, it tries as often as the first time"
        go(other, tmp_path)
    assert pending(other, tmp_path) == []


def test_success_wipes_former_failures_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crawl = toys.ToyCrawl(units=("raise",))
    go(crawl, tmp_path)
    go(crawl, tmp_path)
    monkeypatch.setattr(toys.ToyCrawl, "process", lambda self, unit: iter([{"video_id": "file:x"}]))
    go(crawl, tmp_path)
    assert outcomes(tmp_path)["raise"] | {"status": "ok", "failures": 0, "attempt": 3} == outcomes(tmp_path)["raise"]


def test_retry_marks_make_pending_and_take_rows_away(run: Path) -> None:
    go(toys.ToyCrawl(units=("a", "b", "reject", "reject-2", "fail")), run)
    assert forget(Store(run), {"not_media"}, {"another_stage"}) == {}
    assert forget(Store(run), {"not_media"}, {"toy_crawl"}) == {"videos": 2}
    assert set(outcomes(run)) == {"a", "b", "fail"}
    assert pending(toys.ToyCrawl(units=("a", "reject", "reject-2", "fail")), run) == ["fail", "reject", "reject-2"]
    assert forget(Store(run), set(), set(), all_failed=True) == {"videos": 1}
    with pytest.raises(KeyError):
        forget(Store(run), {"no_such_reason"}, set())
    assert not list((run / "locks").glob("*.heartbeat.json"))


def test_shards_cover_everything_once(tmp_path: Path) -> None:
    crawl = toys.ToyCrawl(units=tuple(f"u{n}" for n in range(40)))
    done: list[str] = []
    for i in range(3):
        summary = go(crawl, tmp_path, runner.Options(workers=0, shard=(i, 3)))
        mine = set(outcomes(tmp_path)) - set(done)
        assert len(mine) == summary.counts["ok"] == summary.pending
        done += mine
    assert sorted(done) == sorted(crawl.units) and pending(crawl, tmp_path) == []


class Choosy(toys.ToySplit):
    name: ClassVar[str] = "choosy"

    def choose(self, store: Store, units: list[str]) -> list[str]:
        return [unit for unit in units if unit.endswith("b")]


class Files(toys.ToyCrawl):
    """Units from outside, each in a state of its own."""

    name: ClassVar[str] = "toy_files"
    state: dict[str, str] = {}

    def result_settings(self) -> dict[str, Any]:
        return {}

    def sources(self, store: Store) -> list[str] | Mapping[str, str]:
        return {unit: self.state[unit] for unit in self.units} if self.state else list(self.units)


def test_a_unit_from_outside_that_changes_or_comes_makes_no_other_pending(tmp_path: Path) -> None:
    go(Files(units=("a", "b")), tmp_path)
    assert pending(Files(units=("a", "b")), tmp_path) == []
    stated = {"a": "1", "b": "1"}
    go(Files(units=("a", "b"), state=stated), tmp_path)
    assert pending(Files(units=("a", "b"), state=stated), tmp_path) == []
    assert pending(Files(units=("a", "b"), state=stated | {"b": "2"}), tmp_path) == ["b"]
    assert pending(Files(units=("a", "b", "c"), state=stated | {"c": "1"}), tmp_path) == ["c"]
    assert pending(Files(units=("b",), state=stated), tmp_path) == []
    assert pending(Files(units=("a", "b"), state={"a": "b", "b": "a"}), tmp_path) == ["a", "b"]


def test_a_stage_may_choose_among_its_units(run: Path) -> None:
    assert pending(Choosy(), run) == ["file:b"]


def test_what_is_told_of_units_adds_up(run: Path) -> None:
    first = go(Choosy(), run)
    assert (first.units, first.pending, first.rest) == (2, 1, {"held back by its gate": 1})
    again = go(Choosy(), run)
    assert (again.units, again.pending, again.rest) == (2, 0, {"done before": 1, "held back by its gate": 1})
    crawl = toys.ToyCrawl(units=("a", "b", "raise-1", "c", "reject-1"))
    for _ in range(MAX_ATTEMPTS):
        part = go(crawl, run, runner.Options(workers=0, shard=(0, 2)))
        assert part.units == part.pending + sum(part.rest.values())
        whole = go(crawl, run)
        assert whole.units == whole.pending + sum(whole.rest.values())
    assert go(crawl, run).rest == {"done before": 4, "failed before": 1}


# Hashes

texts = st.lists(st.one_of(st.none(), st.text(max_size=40)), max_size=30)


@given(texts)
def test_equal_strings_and_no_others_hash_alike(words: list[str | None]) -> None:
    column = pa.array(words, pa.string())
    hashes = string_hashes(column)
    known = [(w or "") for w in words]
    for i, first in enumerate(known):
        for j, second in enumerate(known):
            assert (hashes[i] == hashes[j]) == (first == second)
    whole = pa.array(["first", *words], pa.string())
    np.testing.assert_array_equal(string_hashes(whole.slice(1)), hashes)


def test_string_hashes_stay_what_they_are() -> None:
    """Fingerprints on disk hang on them: a change here makes every run do everything again."""
    found = string_hashes(pa.array(["", "a", "yt:dQw4w9WgXcQ/0+250", "ü" * 9]))
    assert [f"{value:016x}" for value in found.tolist()] == [
        "e220a8397b1dcdaf",
        "5e025f9ade9eaf3e",
        "2837f04d2701f087",
        "b4267f2e1e11dbf1",
    ]


values = st.fixed_dictionaries(
    {"n": st.one_of(st.none(), st.integers(-5, 5)), "x": st.floats(-2, 2, width=16), "s": st.sampled_from("abc")}
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), values), max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_does_not_matter(rows: list[tuple[int, Row]], random: Any) -> None:
    schema = pa.schema([("n", pa.int32()), ("x", pa.float64()), ("s", pa.string())])

    def hashed(rows: list[tuple[int, Row]], columns: list[str]) -> list[int]:
        table = pa.Table.from_pylist([row for _, row in rows], schema)
        codes = np.array([unit for unit, _ in rows], dtype=np.int64)
        return unit_hashes(codes, row_hashes(table, columns), 4).tolist()

    before = hashed(rows, ["n", "x", "s"])
    mixed = random.sample(rows, len(rows))
    assert hashed(mixed, ["s", "n", "x"]) == before
    if rows:
        assert hashed([*rows, rows[0]], ["n", "x", "s"]) != before, "a row twice is another thing than once"
        unit, row = rows[0]
        assert hashed([(unit, {**row, "s": "d"}), *rows[1:]], ["n", "x", "s"]) != before
        assert hashed([((unit + 1) % 4, row), *rows[1:]], ["n", "x", "s"]) != before


def test_a_new_column_of_nulls_changes_nothing() -> None:
    old = pa.table({"a": ["x", "y"]})
    new = old.append_column("b", pa.nulls(2, pa.float64()))
    assert row_hashes(old, ["a"]).tolist() == row_hashes(new, ["a", "b"]).tolist()


def test_swapped_columns_are_another_row() -> None:
    one, other = pa.table({"a": [1, 2], "b": [2, 1]}), pa.table({"a": [2, 1], "b": [1, 2]})
    assert row_hashes(one, ["a", "b"]).tolist() == row_hashes(other, ["a", "b"]).tolist()[::-1]
    assert row_hashes(one, ["a", "b"])[0] != row_hashes(one, ["a", "b"])[1]


def test_one_nan_is_another_and_zero_has_no_sign() -> None:
    nans = np.array([0x7FF8000000000000, 0xFFF8000000000001], np.uint64).view(np.float64)
    found = column_hashes(pa.array([*nans, 0.0, -0.0], pa.float64(), from_pandas=False))
    assert found[0] == found[1] != found[2] == found[3]


@pytest.mark.parametrize("kind", [frames(4), BOX, pa.list_(pa.float32()), pa.list_(pa.string()), pa.binary()])
def test_payloads_hash_by_content_as_it_is_stored(kind: pa.DataType) -> None:
    if kind == frames(4):
        same = [np.ones((3, 4)), np.ones((3, 4), np.float32), [[1, 1, 1, 1]] * 3]
        other = [np.ones((4, 4)), np.zeros((0, 4)), np.full((3, 4), np.nan)]
    elif pa.types.is_binary(kind):
        same, other = [b"ab", bytes([97, 98])], [b"", b"ba"]
    elif kind == pa.list_(pa.string()):
        same, other = [["a", "b"], ("a", "b")], [["ab"], [], ["b", "a"]]
    else:
        same = [[1, 2, 3, 4], (1.0, 2.0, 3.0, 4.0), np.array([1, 2, 3, 4]), [np.int64(1), np.int16(2), 3, 4]]
        other = [[4, 3, 2, 1], [1, 2, 3]]
    first = {payload_hash(value, kind) for value in same}
    assert len(first) == 1
    assert not first & {payload_hash(value, kind) for value in other}
    assert payload_hash(None, kind) is None


def test_every_column_of_every_kind_can_be_hashed() -> None:
    for kind in KINDS.values():
        for field in kind.columns:
            if field.name not in kind.heavy:
                assert len(column_hashes(pa.nulls(2, field.type))) == 2


def test_runtime_marks_what_never_changes_results() -> None:
    assert set(toys.ToyAnnotate().result_settings()) == {"value"}
    assert runtime(unit="s") == {"runtime": True, "unit": "s"}
