"""Columns that a store holds for the stages of one command: read once, and never older than the parts."""

from pathlib import Path

import pytest

from pipeline.tables import store as stores
from pipeline.tables import table as tables
from pipeline.tables.hashing import TERM, flat, row_hashes, term
from pipeline.tables.store import Store
from tests.stages import fake_run


@pytest.fixture
def run(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    with fake_run.together(store):
        for video in range(3):
            fake_run.kept(store, video, 0, 200)
    return Store(tmp_path)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The columns of each reading of rows."""
    found: list[list[str]] = []
    read = tables.read_parts

    def noted(parts: list[Path], names: list[str], *rest: object, **options: object) -> object:
        if any(part.parent.name == "rows" for part in parts):
            found.append(names)
        return read(parts, names, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(tables, "read_parts", noted)
    return found


def test_a_column_is_read_once(run: Store, reads: list[list[str]]) -> None:
    first = run.live("pose_measures", ["yaw_degrees"], places=True)
    seen = len(reads)
    assert run.live("pose_measures", ["yaw_degrees"], places=True).equals(first)
    assert len(reads) == seen
    run.live("pose_measures", ["crop_side_px", "yaw_degrees"])
    assert len(reads) == seen + 1 and "yaw_degrees" not in reads[-1]


def test_what_is_held_is_what_is_read(run: Store) -> None:
    run.live("samples", ["frames"])
    for kind, columns, where in (("samples", ["video", "frames"], ""), ("verdicts", ["reasons"], "keep")):
        held = run.live(kind, columns, where=where, places=True)
        fresh = Store(run.run).live(kind, columns, where=where, places=True)
        assert held.select(sorted(held.column_names)).equals(fresh.select(sorted(fresh.column_names)))


def test_a_new_part_of_a_parent_is_seen(run: Store) -> None:
    assert len(run.live("samples", ["frames"])) == 6
    fake_run.judge(Store(run.run), 1, 200, keep=False, attempt=2)
    assert len(run.live("samples", ["frames"])) == 5


def test_a_part_that_went_is_told_though_its_rows_are_held(run: Store) -> None:
    run.live("samples", ["frames"])
    [part] = (run.run / "tables/samples/rows").glob("*.parquet")
    part.unlink()
    with pytest.raises(tables.Damaged):
        run.live("samples", ["frames"])


def test_large_tables_are_not_held(run: Store, reads: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "HELD_BYTES", 100)
    assert len(run.live("samples", ["frames"])) == 6
    seen = len(reads)
    assert len(run.live("samples", ["frames"])) == 6
    assert len(reads) > seen


@pytest.mark.parametrize("where", ["", "keep"])
def test_terms_that_are_held_are_those_of_the_rows(run: Store, where: str) -> None:
    fake_run.judge(Store(run.run), 1, 200, keep=False, attempt=2)
    names = ["person_id", "video_id"]
    for store in (run, run, Store(run.run, damages={})):  # read, held, and read by who goes on with what there is
        rows = store.live("verdicts", names, where=where, terms=names)
        assert len(rows) == (5 if where else 6)
        plain = rows.select(names)
        assert row_hashes(rows, names).tolist() == row_hashes(plain, names).tolist()
    for name in names:
        assert flat(rows[name + TERM]).to_pylist() == term(flat(rows[name]), name).tolist()


def test_a_term_stands_for_its_column(run: Store) -> None:
    rows = run.live("verdicts", ["person_id"], terms=["person_id"])
    assert (
        row_hashes(rows.drop_columns(["person_id"]), ["person_id"]).tolist() == row_hashes(rows, ["person_id"]).tolist()
    )


def test_outcomes_have_the_columns_that_are_asked_for(run: Store) -> None:
    few = run.outcomes("samples", ["unit", "at"])
    assert few.select(["unit", "at"]).equals(Store(run.run).outcomes("samples").select(["unit", "at"]))
    assert "detail" not in few.column_names and "detail" in run.outcomes("samples").column_names
