"""Tables: what counts and what does not, whatever was killed, repeated or written by another version."""

import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base import files
from pipeline.tables import table
from pipeline.tables.arrow import pack_rows, strings
from pipeline.tables.hashing import string_hashes
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import FAILED, OK, REJECTED, RETRY, Outcome
from pipeline.tables.parts import read_places
from pipeline.tables.store import Store, _distinct
from tests.pipeline.engine.runs import chain, contents, go, go_all, keypoints, outcomes, rewrite

VIDEOS = KINDS["videos"]


def put(store: Store, unit: str, width: int | None, attempt: int = 1, status: str = OK, kind: str = "videos") -> str:
    """Commit one unit of one row (none when width is None)."""
    rows = [pack_rows(VIDEOS, unit, [{"video_id": f"file:{unit}", "width": width}])] if width is not None else []
    return store.table(kind).append(rows, [Outcome(unit, "toy_crawl", 1, status, attempt=attempt)])


def widths(store: Store) -> dict[str, int]:
    return dict(zip(*store.read("videos", ["video_id", "width"]).to_pydict().values(), strict=True))


def test_rows_without_outcomes_count_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    put(store, "a", 1)
    write = table.write_parquet

    def killed(table_: pa.Table, path: Path, kind: Any = None) -> None:
        if path.parent.name == "outcomes":
            raise KeyboardInterrupt
        write(table_, path, kind)

    monkeypatch.setattr(table, "write_parquet", killed)
    for unit, width in (("a", 2), ("b", 2)):
        with pytest.raises(KeyboardInterrupt):
            put(store, unit, width, attempt=2)
    monkeypatch.undo()
    assert len(Store(tmp_path).table("videos").parts("rows")) == 3
    assert widths(Store(tmp_path)) == {"file:a": 1}
    assert set(outcomes(tmp_path)) == {"a"}
    put(store, "b", 3)
    assert widths(store) == {"file:a": 1, "file:b": 3}, "and the store that is open sees the new part"


def test_a_kill_inside_a_write_leaves_the_old_file_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "state.json"
    files.write_text(target, "old")
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, _interrupt)
            patch.setattr(Path, name, _interrupt, raising=False)
            with pytest.raises(KeyboardInterrupt):
                files.write_text(target, "new")
        assert target.read_text() == "old"
        assert list(tmp_path.iterdir()) == [target], "a failure cleans up after itself; a kill leaves it to gc"


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_highest_attempt_wins_and_then_the_highest_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    store = Store(tmp_path)
    puts = [("f" * 32, 1, 1), ("0" * 32, 2, 2), ("8" * 32, 3, 2)]  # commit, width, attempt
    for number in order:
        commit, width, attempt = puts[number]
        monkeypatch.setattr(uuid, "uuid4", lambda commit=commit: uuid.UUID(commit))
        put(store, "a", width, attempt)
        os.utime(store.table("videos").parts("outcomes")[0], (0, 0))  # a clock tells nothing
    assert widths(store) == {"file:a": 3}
    assert len(store.outcomes("videos")) == 1


@pytest.mark.parametrize("status", [REJECTED, FAILED, RETRY])
def test_a_later_no_takes_the_rows_of_an_earlier_yes(tmp_path: Path, status: str) -> None:
    store = Store(tmp_path)
    put(store, "a", 1)
    put(store, "a", None, 2, status)
    assert widths(store) == {}
    assert [o["status"] for o in store.outcomes("videos").to_pylist()] == ([] if status == RETRY else [status])


def test_equal_hashes_are_looked_at_again() -> None:
    words = [strings(["a", "b", "c"]), strings(["a", "b", "a"]), strings(["a", None])]
    for hashes in (lambda column: np.zeros(len(column), np.uint64), string_hashes):
        assert [_distinct(column, hashes(column)) for column in words] == [True, False, False]


def test_a_key_that_two_units_yield_counts_once(tmp_path: Path) -> None:
    """Two links to the same video, which two workers fetched at the same time."""
    store = Store(tmp_path)
    for unit, width in (("z", 1), ("b", 2), ("m", 3)):
        rows = pack_rows(VIDEOS, unit, [{"video_id": "file:same", "width": width}])
        store.table("videos").append([rows], [Outcome(unit, "toy_crawl", 1, OK)])
    assert store.read("videos", ["width"])["width"].to_pylist() == [2], "the first unit in order, not in time"
    put(store, "b", None, 2, REJECTED)
    assert store.read("videos", ["width"])["width"].to_pylist() == [3]


def test_readers_unify_schemas(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for unit in ("old", "new", "today"):
        put(store, unit, 5)
    rows = {pq.read_table(p)["unit"][0].as_py(): p for p in store.table("videos").parts("rows")}
    rewrite(rows["old"], lambda t: t.drop_columns(["title", "height", "truncated"]))
    rewrite(rows["new"], lambda t: t.append_column("from_the_future", pa.array([[1, 2]])))
    done = {pq.read_table(p)["unit"][0].as_py(): p for p in store.table("videos").parts("outcomes")}
    rewrite(done["old"], lambda t: t.drop_columns(["failures", "host"]))
    rewrite(done["new"], lambda t: t.append_column("mood", pa.array(["good"])))
    store = Store(tmp_path)
    read = store.read("videos")
    assert read.schema.names == VIDEOS.schema.names and len(read) == 3
    assert read["title"].null_count == 3 and read["width"].to_pylist() == [5, 5, 5]
    assert len(store.outcomes("videos")) == 3
    assert store.read("videos", ["truncated"])["truncated"].to_pylist() == [None] * 3


def test_a_part_of_old_columns_alone_reads_as_nulls(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "a", 5)
    (part,) = store.table("videos").parts("rows")
    rewrite(part, lambda t: t.select(["video_id", "unit", "commit"]))
    assert widths(Store(tmp_path)) == {"file:a": None}
    assert read_places([(str(part), 0)], ["width", "video_id"]) == [{"width": None, "video_id": "file:a"}]


PERSONS = KINDS["persons"]


def person(number: int, frames: int | None, **more: Any) -> dict[str, Any]:
    values = None if frames is None else keypoints(frames, number)
    return {"person_id": f"c#{number}", "clip_id": "c", "video_id": "v", "keypoints": values, **more}


def test_heavy_columns_come_back_as_they_went(tmp_path: Path) -> None:
    sharpness = np.array([1.5, np.nan, 3], np.float32)
    rows = [person(0, 3, face_sharpness=sharpness), person(1, 0), person(2, None), person(3, 250, face_sharpness=[])]
    store = Store(tmp_path)
    store.table("persons").append([pack_rows(PERSONS, "c", rows)], [Outcome("c", "toy", 1, OK, rows=4)])
    (part,) = store.table("persons").parts("rows")
    found = read_places([(str(part), n) for n in (3, 0, 2, 1)], ["keypoints", "face_sharpness", "boxes"])
    by_number = dict(zip((3, 0, 2, 1), found, strict=True))
    for number, row in enumerate(rows):
        got = by_number[number]["keypoints"]
        if row["keypoints"] is None:
            assert got is None
        else:
            assert got.shape == row["keypoints"].shape and got.dtype == np.float32
            np.testing.assert_array_equal(got, row["keypoints"])
        assert by_number[number]["boxes"] is None
    np.testing.assert_array_equal(by_number[0]["face_sharpness"], sharpness)
    assert len(by_number[3]["face_sharpness"]) == 0


def test_single_rows_are_found_in_many_groups_and_files(tmp_path: Path) -> None:
    """250 frames of 133 points are 0.4 MB a row: a group holds a few of them, and a reader of one row no more than that."""
    store = Store(tmp_path)
    for unit in ("c", "d"):
        rows = pack_rows(PERSONS, unit, [{**person(n, 250), "person_id": f"{unit}#{n}"} for n in range(12)])
        store.table("persons").append([rows], [Outcome(unit, "toy", 1, OK, rows=12)])
    parts = store.table("persons").parts("rows")
    assert all(pq.ParquetFile(part).num_row_groups >= 4 for part in parts)
    places = [(str(part), n) for n in (11, 0, 5, 6) for part in reversed(parts)]
    found = read_places(places, ["keypoints", "person_id"])
    for (_, number), row in zip(places, found, strict=True):
        assert row["person_id"].endswith(f"#{number}")
        np.testing.assert_array_equal(row["keypoints"], keypoints(250, number))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"person_id": "c#0", "colour": 1}, "no column colour"),
        ({"clip_id": "c"}, "without a person_id"),
        ({"person_id": "c#0", "keypoints": np.zeros((3, 4))}, "shape"),
        ({"person_id": "c#0", "keypoints": np.zeros(266)}, "shape"),
        ({"person_id": "c#0", "frames": "many"}, "int"),
        ({"person_id": "c\udcff"}, "surrogate"),
    ],
)
def test_rows_that_do_not_fit_are_refused(row: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError, pa.ArrowInvalid), match=words):
        pack_rows(PERSONS, "c", [row])


def test_a_row_counts_only_while_its_parent_does(tmp_path: Path) -> None:
    """A clip that vanished takes its person along; a verdict that turned to drop, its sample."""
    go_all(tmp_path)
    store = Store(tmp_path)
    assert len(store.read("persons")) == len(store.read("samples")) == 4

    class Fewer(type(chain()[1])):  # type: ignore[misc]
        def process(self, unit: Any) -> Any:
            yield next(iter(super().process(unit)))

    again = Fewer.model_construct()
    type(again).version = 2
    go(again, tmp_path)
    assert len(store.read("clips")) == 2
    for kind in ("persons", "pose_measures", "verdicts", "samples"):
        assert len(store.read(kind)) == 2, kind
        assert len(store.table(kind).rows([])) == 4, "nothing was deleted"
    assert len(store.outcomes("persons")) == 2 and len(store.outcomes("samples")) == 2


def test_a_sample_whose_verdict_turned_does_not_count(tmp_path: Path) -> None:
    go_all(tmp_path, chain(most=1e9))
    go_all(tmp_path, chain(most=100.0))  # the second clip of each video has the mean 251
    store = Store(tmp_path)
    assert store.read("samples", ["person_id"])["person_id"].to_pylist() == ["file:a/0+250#0", "file:b/0+250#0"]
    assert len(store.outcomes("samples")) == 2
    before = contents(tmp_path)
    go_all(tmp_path, chain(most=1e9))
    assert len(store.read("samples")) == 4, "and counts again, without having been made again"
    assert len(store.table("samples").parts("rows")) == 1
    assert before != contents(tmp_path)


def test_nothing_there_is_an_empty_table(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert store.kinds == [] and len(store.read("persons")) == 0 and len(store.outcomes("samples")) == 0
    assert not (tmp_path / "none").exists()
