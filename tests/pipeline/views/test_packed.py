"""What writing shards cost, as it is told."""

from pathlib import Path

import pytest

from pipeline.base.damage import Damaged
from pipeline.cli.screen import packed_sentence
from pipeline.shards.written import Stored, Written, as_text
from pipeline.tables import check
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import Outcome
from pipeline.tables.store import Store
from pipeline.views.packed import Packed, packed_since, row_groups

A, B, C = (Written(Stored(size, 7), rows) for size, rows in ((100, ("a", "b")), (10, ("c",)), (20, ("c", "d"))))


def wrote(store: Store, bucket: str, *groups: Written, attempt: int = 1) -> None:
    row = {"bucket": bucket, "split": "train", "path": f"shards/{bucket}.parquet", "row_groups": as_text(groups)}
    outcome = Outcome(bucket, "shards", 0, "ok", attempt=attempt, rows=1)
    store.table("shards").append([pack_rows(KINDS["shards"], bucket, [row])], [outcome])


def test_what_was_there_before_is_not_counted(tmp_path: Path) -> None:
    """Of a bucket with a row more one group is copied and one packed, with one row that was there and one that is new."""
    store = Store(tmp_path)
    wrote(store, "train-00000", A, B)
    wrote(store, "train-00001", A)
    before = row_groups(store)
    assert packed_since({}, store) == Packed(2, 5, 5, 210, 0)
    assert packed_since(before, store).shards == 0
    wrote(store, "train-00000", A, C, attempt=2)
    wrote(store, "test-00000", B)
    assert packed_since(before, store) == Packed(2, 5, 2, 130, 100)


def test_it_is_one_sentence() -> None:
    told = packed_sentence(Packed(1, 1010, 10, 4_000_000, 2_500_000))
    assert told == "1 shard written, 4 MB: 10 of 1,010 samples packed anew, 2.5 MB copied as they were"


def test_what_was_lost_and_is_about_to_be_made_anew_is_no_reason_to_stop(tmp_path: Path) -> None:
    wrote(Store(tmp_path), "train-00000", A)
    [lost] = (tmp_path / "tables" / "shards" / "rows").iterdir()
    wrote(Store(tmp_path), "train-00001", B)
    lost.unlink()
    check.set_aside(Store(tmp_path), check.damages(Store(tmp_path)), {"shards": "shards"})
    with pytest.raises(Damaged, match="not made anew yet"):
        Store(tmp_path).read("shards")
    store = Store(tmp_path)
    before = row_groups(store)
    assert set(before) == {"train-00001"}
    wrote(store, "train-00000", A, attempt=3)  # 2 is that of the mark by which the unit is pending
    assert packed_since(before, store).shards == 1
