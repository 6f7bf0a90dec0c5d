"""Training reads the ledgers of takedowns first: what was taken down is refused, and models that saw it are named."""

from pathlib import Path

import pytest

from pipeline.base.hashes import sha256_of
from pipeline.model.training import TrainingError
from pipeline.shards.removal import remove_from_run
from pipeline.tables import people, takedowns
from pipeline.tables.store import Store
from pipeline.tables.takedowns import Model, Takedown
from stages.shards import Shards
from stages.train.refusals import refuse_taken_down
from tests.stages import fake_run

DAY = "2026-11-30"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    store = Store(run)
    with fake_run.together(store):
        for number in range(3):
            fake_run.kept(store, number)
    fake_run.run(Shards(buckets=1, test_share=0, validation_share=0), run)
    weights = run / "training/model/checkpoints/step-1/model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    people.note(run, run / "training/model/checkpoints", [fake_run.video_id(1)])
    return run


@pytest.mark.parametrize("where", ["run", "run/shards", "beside"])
def test_shards_that_hold_a_work_are_refused(run: Path, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever a ledger lies: in the run, in a copy of its shards, or beside them."""
    shards, own = run / "shards", run
    if where == "beside":
        own = run.parent / "own"
        own.mkdir()
    line = Takedown(people.mark(fake_run.video_id(1)), DAY)
    takedowns.add((run if where == "beside" else run.parent / where) / takedowns.LEDGER, [line])
    with pytest.raises(TrainingError, match="holds 1 works that were taken down"):
        refuse_taken_down(own, shards, None)
    named = capsys.readouterr().err
    assert ("training/model was trained on works that were taken down" in named) is (where != "beside")
    remove_from_run(run, works=frozenset({fake_run.video_id(1)}))
    refuse_taken_down(own, shards, None)


def test_others_are_trained_on_without_a_word(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refuse_taken_down(run, run / "shards", None)
    takedowns.add(run / takedowns.LEDGER, [Takedown(people.mark("yt:aaaaaaaaaaa"), DAY)])
    refuse_taken_down(run, run / "shards", run / "training/model/checkpoints/step-1/model.safetensors")
    assert capsys.readouterr().err == ""


def test_a_start_that_saw_one_is_named_by_its_note_or_by_its_hash(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs.safetensors"
    theirs.write_bytes(b"their weights")
    listed = Takedown(people.mark("yt:aaaaaaaaaaa"), DAY, (), (Model("theirs", (sha256_of(theirs),)),))
    takedowns.add(run / takedowns.LEDGER, [listed])
    refuse_taken_down(run, run / "shards", theirs)
    assert f"{theirs} was trained on works that were taken down" in capsys.readouterr().err
    takedowns.add(run / takedowns.LEDGER, [Takedown(people.mark(fake_run.video_id(1)), DAY)])
    remove_from_run(run, works=frozenset({fake_run.video_id(1)}))
    start = run / "training/model/checkpoints/step-1/model.safetensors"
    refuse_taken_down(run, run / "shards", start)
    assert f"{start} was trained on works that were taken down" in capsys.readouterr().err
