"""Files put together from row groups: the bytes that one writer would have written, and nothing of what does not hold them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.shards import opened, splice
from pipeline.shards.format import ROWS_A_GROUP, shard_schema
from pipeline.shards.grouping import groups_of
from pipeline.shards.held import held
from pipeline.shards.splice import Plain, can_splice, spliced
from pipeline.shards.write import encoding, write_rows
from pipeline.shards.written import Stored, Written, as_text, from_text
from tests.pipeline.shards.test_shard import row

LAYOUT = shard_schema()


def group(folder: Path, *numbers: int) -> pa.Table:
    """A row group as shards hold it."""
    write_rows(folder / "group.parquet", [row(number) for number in numbers])
    return pq.read_table(folder / "group.parquet").cast(LAYOUT).combine_chunks()


def plain(groups: Sequence[pa.Table]) -> bytes:
    """What PyArrow writes by itself."""
    out = pa.BufferOutputStream()
    with pq.ParquetWriter(out, LAYOUT, **encoding(LAYOUT)) as writer:
        for table in groups:
            writer.write_table(table, row_group_size=len(table))
    return bytes(out.getvalue())


def written(path: Path, groups: Sequence[pa.Table]) -> tuple[str, str]:
    """A shard of these groups; its sha256, and what is told of it. Rows are called by their clips."""
    with spliced(path, LAYOUT, encoding(LAYOUT)) as out:
        told = [Written(out.add(table), tuple(table["clip_id"].to_pylist())) for table in groups]
        return out.close(), as_text(told)


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> list[pa.Table]:
    folder = tmp_path_factory.mktemp("groups")
    return [group(folder, 0, 1, 2), group(folder, 3), group(folder, 4, 5)]


@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_it_is_what_one_writer_writes(groups: list[pa.Table], tmp_path: Path, count: int) -> None:
    wanted = [groups[number % 3] for number in range(count)]
    digest, _ = written(tmp_path / "a.parquet", wanted)
    assert (tmp_path / "a.parquet").read_bytes() == plain(wanted)
    assert digest == splice.sha256_of(tmp_path / "a.parquet")


@pytest.mark.parametrize("piece", [1 << 20, 1000])
def test_copied_groups_are_the_same_bytes(
    groups: list[pa.Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(opened, "_PIECE", piece)
    a, b, c = groups
    _, told = written(tmp_path / "a.parquet", [a, b, c])
    with held(tmp_path / "a.parquet", told) as old, spliced(tmp_path / "b.parquet", LAYOUT, encoding(LAYOUT)) as out:
        assert old
        assert old.copy(tuple(c["clip_id"].to_pylist()), out)
        out.add(b)
        assert old.copy(tuple(a["clip_id"].to_pylist()), out)
        assert old.copy(("another",), out) is None
        digest = out.close()
        assert 0 < out.copied < (tmp_path / "b.parquet").stat().st_size
    assert (tmp_path / "b.parquet").read_bytes() == plain([c, b, a])
    assert digest == splice.sha256_of(tmp_path / "b.parquet")


def test_rows_are_used_again_as_they_are_stored(groups: list[pa.Table], tmp_path: Path) -> None:
    _, told = written(tmp_path / "a.parquet", groups)
    names = [name for table in groups for name in table["clip_id"].to_pylist()]
    with held(tmp_path / "a.parquet", told) as old:
        assert old
        found = dict(old.rows([names[5], "another", names[0], names[1]]))
    assert sorted(found) == [0, 2, 3]
    assert [found[at]["clip_id"][0].as_py() for at in sorted(found)] == [names[5], names[0], names[1]]
    assert found[0].cast(LAYOUT).equals(groups[2].slice(1, 1))


@pytest.mark.parametrize("where", ["body", "footer"])
def test_what_is_damaged_is_not_used_again(
    groups: list[pa.Table], tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A byte of the first group's sound, or of what the footer says of its least clip."""
    path = tmp_path / "a.parquet"
    _, told = written(path, groups)
    data = bytearray(path.read_bytes())
    word = groups[0]["clip_id"][0].as_py().encode()
    at = data.index(groups[0]["audio"][0].as_py()) if where == "body" else data.rindex(word)
    data[at + 3] ^= 1
    path.write_bytes(data)
    with held(path, told) as old, spliced(tmp_path / "b.parquet", LAYOUT, encoding(LAYOUT)) as out:
        assert old
        assert old.copy(tuple(groups[0]["clip_id"].to_pylist()), out) is None
        assert not dict(old.rows(groups[0]["clip_id"].to_pylist()))
        assert old.copy(tuple(groups[2]["clip_id"].to_pylist()), out)
        digest = out.close()
    assert (tmp_path / "b.parquet").read_bytes() == plain([groups[2]])
    assert digest == splice.sha256_of(tmp_path / "b.parquet")
    assert "does not hold all that was written into it" in caplog.text


@pytest.mark.parametrize("content", [b"", b"PAR1 no Parquet PAR1", None])
def test_a_file_that_is_none_is_not_used_again(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.parquet"
    if content is not None:
        path.write_bytes(content)
    with held(path, as_text([])) as old:
        assert old is None


def test_what_is_told_comes_back() -> None:
    told = [Written(Stored(17, 4_000_000_000), ("0f", "a0")), Written(Stored(1, 0), ())]
    assert from_text(as_text(told)) == told


def test_another_pyarrow_copies_nothing(
    groups: list[pa.Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One whose footers are laid out otherwise: the file is the same, made the long way."""
    _, told = written(tmp_path / "a.parquet", groups)
    monkeypatch.setattr(splice, "_STOP", b"\x14\x00\x00")
    monkeypatch.setattr(splice, "_tried", splice._tried.__wrapped__)
    assert not can_splice(LAYOUT, encoding(LAYOUT))
    with held(tmp_path / "a.parquet", told) as old, spliced(tmp_path / "b.parquet", LAYOUT, encoding(LAYOUT)) as out:
        assert old is None
        assert isinstance(out, Plain)
        for table in groups:
            out.add(table)
        assert out.close() == splice.sha256_of(tmp_path / "b.parquet")
    assert (tmp_path / "b.parquet").read_bytes() == (tmp_path / "a.parquet").read_bytes()
    assert "no row group is copied" in caplog.text


IDS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 400)), max_size=120, unique=True)


def grouped(ids: Sequence[tuple[int, int]]) -> list[list[str]]:
    """The people of each group."""
    people = sorted(f"v{video}/{clip}#0" for video, clip in ids)
    videos = [name.partition("/")[0] for name in people]
    numbers = groups_of(pa.chunked_array([videos], pa.string()), pa.chunked_array([people], pa.string()))
    return [[people[number] for number in group] for group in numbers]


@settings(deadline=None)
@given(IDS)
def test_every_row_is_in_one_group(ids: list[tuple[int, int]]) -> None:
    found = grouped(ids)
    assert sorted(name for group in found for name in group) == sorted(f"v{video}/{clip}#0" for video, clip in ids)
    assert all(0 < len(group) <= ROWS_A_GROUP for group in found)
    videos = [name.partition("/")[0] for group in found for name in group]
    assert len([v for v, before in zip(videos, ["", *videos], strict=False) if v != before]) == len(set(videos))


@settings(deadline=None)
@given(IDS, st.data())
def test_a_row_less_moves_its_own_groups_alone(ids: list[tuple[int, int]], data: st.DataObject) -> None:
    """The group that it was in, and where what is left fits into one with its neighbour, that one."""
    if not ids:
        return
    gone = data.draw(st.sampled_from(ids))
    before, after = grouped(ids), grouped([one for one in ids if one != gone])
    touched = [group for group in before if group not in after]
    assert 1 <= len(touched) <= ROWS_A_GROUP
    assert any(f"v{gone[0]}/{gone[1]}#0" in group for group in touched)
    assert sum(map(len, touched)) <= ROWS_A_GROUP + 1


def test_groups_are_well_filled() -> None:
    found = grouped([(video, clip) for video in range(300) for clip in range(7)])
    assert np.mean([len(group) for group in found]) > 0.6 * ROWS_A_GROUP
