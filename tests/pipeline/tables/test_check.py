"""Damage to tables: each kind of it stops commands that would build on it, is told with file and remedy, and heals."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.base import files
from pipeline.base.damage import Damage, Damaged
from pipeline.engine.upkeep import collect
from pipeline.tables import check, seal
from pipeline.tables.compaction import compact
from pipeline.tables.parts import write_parquet
from pipeline.tables.pointer import NAME
from pipeline.tables.seal import DiskError
from pipeline.tables.store import Store
from tests.pipeline.engine import toys
from tests.pipeline.engine.kills import age
from tests.pipeline.engine.runs import chain, contents, go, go_all, same

MAKERS = {stage.writes: stage.name for stage in chain()}
HARMS: dict[str, Callable[[bytes], bytes | None]] = {
    "deleted": lambda text: None,
    "emptied": lambda text: b"",
    "truncated": lambda text: text[: len(text) // 2],
    "zeroed": lambda text: bytes(len(text)),
    "garbage": lambda text: b"\x93NUMPY" * (len(text) // 6),
    "flipped": lambda text: text[:50] + bytes([text[50] ^ 4]) + text[51:],
    "footer flipped": lambda text: text[:-40] + bytes([text[-40] ^ 1]) + text[-39:],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    go_all(run)
    return run


@pytest.fixture(scope="module")
def compacted(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That run, done anew and compacted twice: its pointer names merged files."""
    run = copied(whole, tmp_path_factory.mktemp("compacted") / "run")
    for again in range(2):
        go_all(run, chain(("a", "b"), value=2.0 + again))
        go_all(run)
        compact(Store(run), "persons")
        age(run)
        collect(Store(run))
    return run


def copied(run: Path, to: Path) -> Path:
    for path in run.rglob("*"):
        if path.is_file() and "locks" not in path.parts:
            (to / path.relative_to(run)).parent.mkdir(parents=True, exist_ok=True)
            (to / path.relative_to(run)).write_bytes(path.read_bytes())
    return to


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return copied(whole, tmp_path / "run")


def harm(path: Path, how: str) -> None:
    after = HARMS[how](path.read_bytes())
    path.unlink() if after is None else path.write_bytes(after)


def part_of(run: Path, kind: str, side: str) -> Path:
    (part,) = (run / "tables" / kind / side).glob("*.parquet")
    return part


def every_file(run: Path) -> dict[str, bytes]:
    return {p.as_posix(): p.read_bytes() for p in run.rglob("*") if p.is_file() and "locks" not in p.parts}


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("side", ["rows", "outcomes"])
def test_a_damaged_part_stops_what_is_built_on_it_and_heals(run: Path, how: str, side: str) -> None:
    before = contents(run)
    victim = part_of(run, "persons", side)
    harm(victim, how)
    there = every_file(run)
    for stage in (toys.ToyAnnotate(), toys.ToyMeasure(), toys.ToyJudge()):
        with (
            pytest.raises(Damaged, match=f"{victim.name} .*csg405 check --set-aside")
            if (stage.name != "toy_annotate" or side == "outcomes" or how == "deleted")
            else _fine()
        ):
            go(stage, run)
    for work in (lambda: compact(Store(run), "persons"), lambda: collect(Store(run))):
        with pytest.raises(Damaged, match=victim.name):
            work()
    assert every_file(run) == there, "nothing was written or deleted"
    found = check.damages(Store(run))
    assert [damage.path for damage in found] == [victim.relative_to(run).as_posix()]
    assert found[0].set_aside and len(found[0].units) == 4
    [cost] = check.costs(Store(run), found, MAKERS)
    assert (cost.kind, cost.units, cost.stages) == ("persons", 4, ("toy_annotate",))
    check.set_aside(Store(run), found, MAKERS)
    assert not victim.exists()
    for stage in (toys.ToyMeasure(), toys.ToyJudge()):
        with pytest.raises(Damaged, match=r"not made anew yet.*csg405 run toy_annotate"):
            go(stage, run)
    assert go(toys.ToyAnnotate(), run).counts == {"ok": 4}
    assert [summary.pending for summary in go_all(run).values()] == [0] * 6
    assert same(contents(run), before) and check.damages(Store(run), deep=True) == []


def _fine() -> "pytest.MonkeyPatch":
    return pytest.MonkeyPatch.context()  # type: ignore[return-value]


def test_a_whole_table_that_is_gone_is_told(run: Path) -> None:
    for path in sorted((run / "tables" / "clips").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (run / "tables" / "clips").rmdir()
    for stage in (toys.ToySplit(), toys.ToyAnnotate()):
        with pytest.raises(Damaged, match=r"clips.outcomes is missing .*persons, pose_measures were made from"):
            go(stage, run)
    check.set_aside(Store(run), check.damages(Store(run)), MAKERS)
    assert go(toys.ToySplit(), run).counts == {"ok": 2}
    assert [summary.pending for summary in go_all(run).values()] == [0] * 6


@pytest.mark.parametrize("text", ["", "null", "[]", "[" * 100_000, "{", '{"generation": "1"}', "\x00" * 30, None])
def test_the_pointer_is_made_again_from_what_lies_beside_it(
    whole: Path, compacted: Path, tmp_path: Path, text: str | None
) -> None:
    before, run = contents(whole), copied(compacted, tmp_path / "run")
    age(run)  # as files are that `collect` may look at
    pointer = run / "tables" / "persons" / NAME
    was = pointer.read_text()
    pointer.unlink() if text is None else pointer.write_text(text)
    there = every_file(run)
    for work in (
        lambda: collect(Store(run)),
        lambda: compact(Store(run), "persons"),
        lambda: go(toys.ToyMeasure(), run),
    ):
        with pytest.raises(Damaged, match=r"generation.json .*check --set-aside"):
            work()
    assert every_file(run) == there
    looked: dict[str, Damage] = {}
    assert len(Store(run, damages=looked).read("persons")) == 4 and len(looked) == 1, "who looks sees what there is"
    check.set_aside(Store(run), check.damages(Store(run)), MAKERS)
    assert pointer.read_text() == was and same(contents(run), before) and check.damages(Store(run), deep=True) == []


def test_a_pointer_of_an_older_version_is_derived_from_names_and_commits(run: Path) -> None:
    before = contents(run)
    go_all(run, chain(value=2.0))
    go_all(run)
    compact(Store(run), "persons")
    folder = run / "tables" / "persons"
    text = json.loads((folder / NAME).read_text())
    for merged in folder.rglob("merged-*.parquet"):  # as the code before wrote them
        pq.write_table(pq.read_table(merged, partitioning=None).replace_schema_metadata(None), merged)
    (folder / NAME).write_text(json.dumps({key: text[key] for key in ("generation", "rows", "outcomes", "replaced")}))
    assert same(contents(run), before) and check.damages(Store(run), deep=True) == []
    age(run)
    collect(Store(run))
    (folder / NAME).unlink()
    [damage] = check.damages(Store(run))
    assert damage.path == "tables/persons/generation.json"
    check.set_aside(Store(run), [damage], MAKERS)
    assert same(contents(run), before) and check.damages(Store(run), deep=True) == []


def test_a_compaction_that_was_killed_leaves_waste_and_no_damage(run: Path) -> None:
    before = contents(run)
    go_all(run, chain(value=2.0))
    go_all(run)
    compact(Store(run), "persons")
    (run / "tables" / "persons" / NAME).unlink()  # all parts are there still
    assert same(contents(run), before) and check.damages(Store(run)) == []
    age(run)
    collect(Store(run))
    assert same(contents(run), before) and not list(run.rglob("merged-*"))


def test_an_error_of_the_disk_is_no_damage(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part, was = part_of(run, "persons", "rows"), Path.open

    def failing(path: Path, *args: object, **kwargs: object) -> object:
        if path == part:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return was(path, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", failing)
    for work in (lambda: check.damages(Store(run)), lambda: go(toys.ToyMeasure(), run), lambda: collect(Store(run))):
        with pytest.raises(DiskError, match=f"{part}.*Input/output error"):
            work()


def test_what_is_read_while_a_file_is_written_is_not_blamed_on_that_file(tmp_path: Path) -> None:
    for said, blamed in (
        (OSError("CRC"), None),
        (OSError(errno.EIO, "no"), None),
        (OSError(errno.ENOSPC, "full"), "x"),
    ):
        with pytest.raises(OSError) as caught, files.replacing(tmp_path / "x"):  # noqa: PT011
            raise said
        assert caught.value.filename == (str(tmp_path / "x") if blamed else None)


def test_damage_to_keypoints_stops_the_stage_that_reads_them(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning does not read them: the worker meets it, and no unit fails or is done on what is left."""
    part = part_of(run, "persons", "rows")
    table = pq.read_table(part, partitioning=None)
    monkeypatch.setattr(seal, "SMALL_BYTES", 0)  # as of a large file, of which nobody reads all
    column = pq.ParquetFile(part).metadata.row_group(0)
    place = next(column.column(n) for n in range(column.num_columns) if "keypoints" in column.column(n).path_in_schema)
    at = place.data_page_offset + place.total_compressed_size - 20
    text = part.read_bytes()
    part.write_bytes(text[:at] + bytes([text[at] ^ 16]) + text[at + 1 :])
    type(stage := toys.ToyMeasure()).version = 9
    try:
        with pytest.raises(Exception, match=f"{part.name} does not read"):
            go(stage, run)
    finally:
        type(stage).version = 1
    assert check.damages(Store(run)) == [], "names, sizes and counts are as they were"
    [damage] = check.damages(Store(run), deep=True)
    assert damage.path.endswith(part.name) and len(damage.units) == len(table)


@pytest.mark.parametrize("side", ["rows", "outcomes"])
def test_every_flipped_bit_is_noticed(run: Path, side: str) -> None:
    part = part_of(run, "videos", side)
    text = part.read_bytes()
    before = Store(run).read("videos").to_pylist()
    for bit in range(0, 8 * len(text), max(1, 8 * len(text) // 150)):
        part.write_bytes(text[: bit // 8] + bytes([text[bit // 8] ^ 1 << bit % 8]) + text[bit // 8 + 1 :])
        try:
            assert same(Store(run).read("videos").to_pylist(), before)
        except Damaged:
            continue


def test_parts_of_older_versions_are_read(run: Path) -> None:
    before = contents(run)
    for part in run.rglob("*.parquet"):
        pq.write_table(pq.read_table(part, partitioning=None), part)
    for name in run.rglob("commits.txt"):
        name.unlink()
    assert same(contents(run), before) and check.damages(Store(run), deep=True) == []
    go_all(run, chain(("a", "b", "c")))
    assert len(list(run.rglob("commits.txt"))) == 6
    harm(sorted((run / "tables" / "videos" / "outcomes").glob("*"))[0], "deleted")
    with pytest.raises(Damaged):
        Store(run).read("videos")


def test_another_file_under_a_name_is_noticed(run: Path) -> None:
    part = part_of(run, "persons", "rows")
    part.write_bytes(part_of(run, "clips", "rows").read_bytes())
    with pytest.raises(Damaged, match="is another file under this name"):
        Store(run).read("persons")
    write_parquet(pq.read_table(part_of(run, "videos", "rows"), partitioning=None), part)
    with pytest.raises(Damaged, match=f"{part.name} "):
        Store(run).read("persons")
