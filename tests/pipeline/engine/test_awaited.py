"""Lost rows that could not be made anew yet: nothing is built on the rest until they are."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from pipeline.base.damage import Damaged
from pipeline.base.reasons import Failure, Reason
from pipeline.base.units import Row
from pipeline.engine.runner import Options
from pipeline.engine.settings import runtime
from pipeline.engine.unit import Unit
from pipeline.tables import check, losses, promises
from pipeline.tables.retry import forget, refetch, supersede
from pipeline.tables.store import Store
from tests.pipeline.engine import toys
from tests.pipeline.engine.runs import contents, go, go_all, same

MAKERS = {"persons": "toy_annotate", "clips": "toy_split"}


class Annotate(toys.ToyAnnotate):
    """Fails as it is told, as where a disk is away or sources were freed."""

    name: ClassVar[str] = "toy_annotate"

    fails: str = Field("", json_schema_extra=runtime())
    only: str = Field("", json_schema_extra=runtime(), description="units that fail contain it")

    def process(self, unit: Unit) -> Iterator[Row]:
        if self.fails and self.only in unit.id:
            raise Failure(Reason.of(self.fails), "as asked")
        yield from super().process(unit)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run that lost its people, whose part was set aside."""
    go_all(tmp_path)
    for part in (tmp_path / "tables" / "persons" / "rows").glob("*.parquet"):
        part.unlink()
    check.set_aside(Store(tmp_path), check.damages(Store(tmp_path)), MAKERS)
    return tmp_path


def refused(run: Path, advice: str) -> None:
    for stage in (toys.ToyMeasure(), toys.ToyJudge(), toys.ToyExport()):
        with pytest.raises(Damaged, match=f"not made anew yet.*{advice}"):
            go(stage, run)


def test_people_that_could_not_be_made_anew_keep_the_guard(run: Path) -> None:
    assert go(Annotate(fails="source_missing"), run).counts == {"failed": 4}
    refused(run, "run `csg405 run toy_annotate --run")
    assert "file:" not in (run / "tables/persons/set-aside/lost.json").read_text(), "it names nobody"
    assert go(Annotate(fails="source_missing", only="file:a/0"), run).counts == {"failed": 1, "ok": 3}
    refused(run, r"those of 1 unit\).*run `csg405 run toy_annotate --run")
    assert go(Annotate(), run).counts == {"ok": 1}
    assert [summary.pending for summary in go_all(run).values()] == [0] * 6 and check.damages(Store(run)) == []


def test_where_sources_were_freed_they_are_asked_for_first(run: Path) -> None:
    assert go(Annotate(fails="source_discarded", only="file:b/"), run).counts == {"failed": 2, "ok": 2}
    advice = "run `csg405 retry --refetch --run .* && csg405 run crawl toy_annotate --run"
    refused(run, advice)
    assert go(Annotate(), run).pending == 0, "they wait for their sources"
    refused(run, advice)
    assert refetch(Store(run), set()) == {"persons": 2}
    refused(run, advice)
    assert go(Annotate(), run).counts == {"ok": 2}
    assert [summary.pending for summary in go_all(run).values()] == [0] * 6


def test_units_that_are_given_up_are_asked_for(run: Path) -> None:
    for _ in range(3):
        go(Annotate(fails="exception", only="file:b/0"), run)
    assert go(Annotate(), run).pending == 0
    refused(run, "run `csg405 retry --all-failed --run .* && csg405 run toy_annotate")
    assert forget(Store(run), set(), set(), all_failed=True) == {"persons": 1}
    go(Annotate(), run)
    assert go(toys.ToyMeasure(), run).pending == 0


def test_parts_of_the_units_and_a_second_loss_forget_none(run: Path) -> None:
    for part in ((0, 2), (1, 2)):
        go(Annotate(fails="source_missing", only="file:a/0"), run, Options(workers=0, shard=part))
    refused(run, "csg405 run toy_annotate")
    go(Annotate(fails="source_missing", only="file:a/0"), run)
    for part in (run / "tables" / "persons" / "rows").glob("*.parquet"):
        part.unlink()
    check.set_aside(Store(run), [one for one in check.damages(Store(run)) if one.set_aside], MAKERS)
    go(Annotate(fails="source_missing", only="file:a/0"), run)
    refused(run, r"those of 1 unit\)")


def test_units_that_are_gone_with_their_parent_are_not_awaited(run: Path) -> None:
    go(Annotate(fails="source_missing", only="file:b/"), run)
    refused(run, "csg405 run toy_annotate")
    assert supersede(Store(run), "videos", {"b"}) == 1
    go(toys.ToySplit(), run)
    assert go(Annotate(fails="source_missing", only="file:b/"), run).units == 2
    assert go(toys.ToyMeasure(), run).pending == 0


def test_a_unit_that_failed_before_anything_was_lost_is_not_awaited(tmp_path: Path) -> None:
    go_all(tmp_path, [toys.ToyCrawl(units=("a", "b")), toys.ToySplit(), Annotate(fails="network", only="file:b/0")])
    before = contents(tmp_path)["persons"]
    for part in (tmp_path / "tables" / "persons" / "rows").glob("*.parquet"):
        part.unlink()
    check.set_aside(Store(tmp_path), check.damages(Store(tmp_path)), MAKERS)
    assert go(Annotate(fails="network", only="file:b/0"), tmp_path).counts == {"ok": 3, "failed": 1}
    assert same(contents(tmp_path)["persons"], before) and go(toys.ToyMeasure(), tmp_path).counts == {"ok": 3}


@pytest.mark.parametrize(
    ("text", "count", "stages"),
    [
        ('{"units": 3, "stages": null}', 3, ()),
        ('{"units": null, "stages": ["annotate"]}', 0, ("annotate",)),
        ("[" * 100_000, 0, ()),
    ],
)
def test_a_damaged_note_of_lost_rows_keeps_what_reads(
    text: str, count: int, stages: tuple[str, ...], tmp_path: Path
) -> None:
    assert promises.note_of(tmp_path) is None
    note = tmp_path / losses.SET_ASIDE / promises.NOTE
    note.parent.mkdir()
    note.write_text(text)
    assert promises.note_of(tmp_path) == promises.Note(count, stages)
