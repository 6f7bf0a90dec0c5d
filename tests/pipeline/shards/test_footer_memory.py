"""What a footer would take is known before Arrow parses it, also where its lists say otherwise than they are read."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.shards import footer_memory
from pipeline.shards.footer_memory import BadFooter, check_memory
from pipeline.shards.splice import footer_of
from pipeline.shards.write import write_rows
from tests.pipeline.shards import footers, hostile

MOST = 7_000_000  # of 10,000 column chunks
TOO_MUCH = r"would take more than 6 MiB"


def refused(footer: bytes, told: str, most: int = MOST) -> None:
    with pytest.raises(BadFooter, match=told):
        check_memory(memoryview(footer), most)


def parsed(footer: bytes) -> int:
    """Row groups that Arrow finds there."""
    return int(pq.ParquetFile(pa.BufferReader(footers.as_file(footer))).metadata.num_row_groups)


@pytest.mark.parametrize("end", [b"\x00", b"\x10", b"\xf0"], ids=["as written", "as read", "as read, too"])
def test_column_chunks_are_counted_in_all_groups(end: bytes) -> None:
    """A struct ends for Thrift with any byte whose low half is 0."""
    one = footers.group((footers.CHUNK[:-1] + end) * 1000, 1000)
    for count, fits in ((9, True), (11, False)):
        footer = footers.footer([one] * count)
        assert parsed(footer) == count
        if fits:
            check_memory(memoryview(footer), MOST)
        else:
            refused(footer, TOO_MUCH)


@pytest.mark.parametrize("kind", [1, 3, 5, 8])
def test_a_list_that_says_it_holds_something_else_is_refused(kind: int) -> None:
    """Arrow takes the elements for column chunks all the same."""
    footer = footers.footer([footers.group(footers.CHUNK * 11_000, 11_000, kind)])
    assert parsed(footer) == 1
    refused(footer, "a list of other things")


def test_a_field_whose_number_is_counted_round_is_refused() -> None:
    """Number 65,540 is 4 where Thrift keeps 16 bits: the row groups."""
    one = footers.group(footers.CHUNK * 11_000, 11_000)
    footer = footers.footer([one], b"\x09" + hostile.varint(2 * 65_540))
    refused(footer, "a field that no footer has")


def test_what_does_not_end_is_refused() -> None:
    footer = footers.footer([footers.group(footers.CHUNK * 9_000, 9_000)])
    check_memory(memoryview(footer), MOST)
    refused(footer[:-1] + b"\x18\x7f", "does not end", len(footer) + 9_100 * 700)
    refused(b"\x1c" * 100_000, "is nested too deeply", 1_000_000)
    refused(b"\x1b" + b"\x00" * 100_000, "holds what no footer holds", 1_000_000)


def test_a_footer_of_ours_is_walked_to_its_end_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(tmp_path / "a.parquet", [hostile.row(number) for number in range(40)])
    footer = footer_of(memoryview((tmp_path / "a.parquet").read_bytes()))
    groups, columns = 10, pq.read_metadata(tmp_path / "a.parquet").num_columns
    walks, walk = list[int](), footer_memory._Walk.struct

    def noted(self: object, at: int, which: int, lists: int, depth: int) -> int:
        end = walk(self, at, which, lists, depth)  # type: ignore[arg-type]
        if not depth:
            walks.append(end)
        return end

    monkeypatch.setattr(footer_memory._Walk, "struct", noted)
    for _ in range(2):
        check_memory(memoryview(footer), groups * columns * 1200)
    assert walks == [len(footer)]
    refused(footer, "would take more", groups * columns * 700)
