"""Who is kept, was kept, and what the others are dropped for, by toys whose measures are known."""

from pathlib import Path

import pytest

from pipeline.cli.screen import kept_line
from pipeline.tables.store import Store
from pipeline.views.verdicts import kept_of
from tests.pipeline.engine.runs import chain, go, go_all
from tests.pipeline.engine.toys import ToyJudge


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two videos of two people each, whose measures are 1 and 251; nobody is judged."""
    go_all(tmp_path, chain()[:4])
    return tmp_path


def test_nothing_is_told_before_anybody_was_judged(run: Path) -> None:
    assert kept_of(Store(run)) is None


def test_people_are_counted_and_compared_with_the_verdicts_before(run: Path) -> None:
    go(ToyJudge(), run)
    everybody = kept_of(Store(run))
    assert everybody is not None and (everybody.people, everybody.kept, everybody.before) == (4, 4, None)
    assert kept_line(everybody) == "4 people, kept 4, dropped 0"
    go(ToyJudge(most=100.0), run)
    some = kept_of(Store(run))
    assert some is not None and (some.people, some.kept, some.before, some.dropped) == (4, 2, 4, 2)
    assert some.reasons == {"jittery": 2} and some.alone == {"jittery": 2}
    assert kept_line(some) == "4 people, kept 2 (was 4), dropped 2:"
    go(ToyJudge(most=0.0), run)
    nobody = kept_of(Store(run))
    assert nobody is not None and (nobody.kept, nobody.before) == (0, 2)
    assert nobody.told()["dropped"] == 4


def test_where_the_rows_before_are_gone_nothing_is_compared(run: Path) -> None:
    go(ToyJudge(), run)
    before = set((run / "tables/verdicts/rows").iterdir())
    go(ToyJudge(most=100.0), run)
    for part in before:  # as gc does, with its outcomes
        part.unlink()
    found = kept_of(Store(run, damages={}))
    assert found is not None and found.kept == 2 and found.before is None
