"""Power cuts: every state of the disk that one may leave holds the rows of before or of after, and is no damage."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base.damage import Damaged
from pipeline.engine.upkeep import collect
from pipeline.tables import check
from pipeline.tables.arrow import pack_rows
from pipeline.tables.compaction import compact
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import OK, REJECTED, Outcome
from pipeline.tables.retry import forget
from pipeline.tables.store import Store
from tests.pipeline.engine.kills import age
from tests.pipeline.tables.power_cuts import laid_out, recorded

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="asks Linux which file a handle is of")  # noqa: PTH112

MAKERS = {"videos": "toy"}


def put(run: Path, *units: str, width: int = 1, attempt: int = 1) -> None:
    """Commit units, of which those that begin with x are rejected."""
    packed = [
        pack_rows(KINDS["videos"], unit, [{"video_id": f"file:{unit}", "width": width}])
        for unit in units
        if unit[0] != "x"
    ]
    ends = [
        Outcome(
            unit,
            "toy",
            1,
            REJECTED if unit[0] == "x" else OK,
            "gone" * (unit[0] == "x"),
            attempt=attempt,
            rows=int(unit[0] != "x"),
        )
        for unit in units
    ]
    Store(run).table("videos").append(packed, ends)


def held(run: Path) -> dict[str, object]:
    """Units with their status and width."""
    store = Store(run)
    widths = {row["unit"]: row["width"] for row in store.table("videos").rows(["width"]).to_pylist()}
    return {
        row["unit"]: (row["status"], widths.get(row["unit"])) for row in store.table("videos").winners().to_pylist()
    }


def every_state(
    run: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object], *, renewed: bool = False
) -> tuple[int, int]:
    """Do the work; in each state that it may leave, the rows are those of before or of after, and the next append works.

    Returns: (operations, states).
    """
    before = held(run)
    disk = recorded(monkeypatch, run, work)
    after = held(run)
    assert renewed == (before == after)
    seen = []
    for state in laid_out(disk, run.parent / f"states-{uuid.uuid4().hex[:6]}"):
        found = held(state)
        assert found in (before, after), sorted(path.as_posix() for path in state.rglob("*.*"))
        seen.append(found)
        put(state, "n", width=9)
        assert held(state) == {**found, "n": (OK, 9)}
        assert check.damages(Store(state), deep=True) == []
    assert before in seen and after in seen
    print("operations and states:", disk.operations, len(disk.states))
    return disk.operations, len(disk.states)


def test_the_first_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert every_state(run, monkeypatch, lambda: put(run, "a", "b", "x"))[1] >= 4


def test_a_later_append_that_replaces_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    put(run, "a", "b", "x")
    assert every_state(run, monkeypatch, lambda: put(run, "a", "c", width=2, attempt=2))[1] >= 4


def test_compaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    for _ in range(2):  # the second time with merged files among what is joined
        put(run, "a", "b", "x")
        put(run, "a", "c", width=2, attempt=2)
        assert every_state(run, monkeypatch, lambda: compact(Store(run), "videos"), renewed=True)[1] >= 4
        put(run, "d", width=3)
        age(run)


def test_collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    put(run, "a", "b")
    put(run, "a", width=2, attempt=2)
    compact(Store(run), "videos")
    put(run, "c")
    put(run, "c", width=4, attempt=2)
    age(run)
    assert every_state(run, monkeypatch, lambda: collect(Store(run)), renewed=True)[1] >= 16


def test_a_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    put(run, "a", "x")
    every_state(run, monkeypatch, lambda: forget(Store(run), {"gone"}, set()))


@pytest.mark.parametrize("lost", ["rows", "outcomes", "merged rows", "merged outcomes", "generation.json"])
def test_setting_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    """A power cut leaves the damage told, or the units told to be made anew; once they are, all is as it was."""
    run = tmp_path / "run"
    put(run, "a", "b", "x")
    if "merged" in lost or "json" in lost:
        put(run, "b", attempt=2)
        compact(Store(run), "videos")
        age(run)
        collect(Store(run))
    put(run, "c")
    before = held(run)
    folder = run / "tables" / "videos"
    victim = (
        folder / lost if "json" in lost else next((folder / lost.split()[-1]).glob("m*" if "merged" in lost else "p*"))
    )
    victim.write_bytes(b"PAR1 and nothing more")
    found = check.damages(Store(run))
    assert [damage.path for damage in found] == [victim.relative_to(run).as_posix()]
    disk = recorded(monkeypatch, run, lambda: check.set_aside(Store(run), found, MAKERS))
    for state in laid_out(disk, tmp_path / "states"):
        if "json" not in lost:
            with pytest.raises(Damaged):
                held(state)
        check.set_aside(Store(state), check.damages(Store(state)), MAKERS)
        assert all(not damage.set_aside for damage in check.damages(Store(state), deep=True))
        _make_anew(state, before)
        assert held(state) == before and check.damages(Store(state), deep=True) == []
    assert len(disk.states) > 3


def _make_anew(run: Path, before: dict[str, object]) -> None:
    """Do what is pending, as the stage would."""
    from pipeline.tables.promises import made_anew
    from pipeline.tables.table import remaking

    folder = run / "tables" / "videos"
    with remaking(folder):
        won = {row["unit"]: row for row in Store(run).table("videos").winners().to_pylist()}
        for unit in before:
            if unit not in won or won[unit]["status"] not in (OK, REJECTED):
                put(run, unit, attempt=won[unit]["attempt"] + 1 if unit in won else 1)
    made_anew(folder)
