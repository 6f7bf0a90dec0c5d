"""Power cuts while shards are written, or people are removed from them: every state that one may leave is the old one or the new
one, or says that it is neither, and the same command brings it to the new one.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base import files
from pipeline.shards.format import ShardError
from pipeline.shards.read import open_shards
from pipeline.shards.removal import remove, remove_from_run
from pipeline.tables.opt_out import OptOut
from pipeline.tables.store import Store
from stages.shards import Shards
from tests.pipeline.tables.power_cuts import Disk, laid_out, recorded
from tests.stages import fake_run

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="asks Linux which file a handle is of")  # noqa: PTH112

FOLDERS = ("shards", "clips", "tables", "stamps")
FRAMES = 3
GONE = OptOut(frozenset({fake_run.video_id(1)}))
OLD, NEW, TOLD = "old", "new", "told"


def add(run: Path, *videos: int) -> None:
    store = Store(run)
    with fake_run.together(store):
        for video in videos:
            fake_run.add_video(store, video)
            fake_run.add_person(store, video, 0, frames=FRAMES)
            fake_run.add_sample(store, video, 0, FRAMES)
            (run / "clips").mkdir(parents=True, exist_ok=True)
            (run / f"clips/{video}-0.mp4").write_bytes(b"mp4")


def write_shards(run: Path) -> list[str]:
    return fake_run.run(Shards(buckets=2, test_share=0, validation_share=0), run)


def take_out(run: Path) -> None:
    remove(run / "shards", GONE)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with three samples in two shards."""
    run = tmp_path_factory.mktemp("made") / "run"
    add(run, 0, 1, 2)
    write_shards(run)
    assert len(list((run / "shards").glob("*.parquet"))) == 2
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def held(run: Path) -> list[str] | None:
    """The people in the shards; None where a reader refuses them, which says what to do."""
    try:
        return sorted(
            f"{row['video_id']}#{row['person']}" for row in open_shards(run / "shards").rows(["video_id", "person"])
        )
    except ShardError as error:
        assert str(run / "shards") in str(error)
        return None


def left(run: Path) -> dict[str, bytes]:
    """Every file of shards and clips."""
    found = [path for name in ("shards", "clips") for path in (run / name).rglob("*") if path.is_file()]
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in found
        if not path.name.startswith(files.TEMPORARY)
    }


def every_state(
    disk: Disk, folder: Path, kinds: dict[str, list[str] | None], mend: Callable[[Path], object], run: Path
) -> "Counter[str]":
    """Look at every state, and let the same command go on from it; returns what a reader met, counted."""
    seen: Counter[str] = Counter()
    for state in laid_out(disk, folder):
        found = held(state)
        [kind] = [name for name, people in kinds.items() if people == found] or [str(found)]
        seen[kind] += 1
        mend(state)
        assert left(state) == left(run), kind
        shutil.rmtree(state)
    assert set(seen) <= set(kinds), seen
    print("operations and states:", disk.operations, len(disk.states), dict(seen))
    return seen


def test_writing_the_first_shards(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    add(run, 0, 1, 2)
    disk = recorded(monkeypatch, run, lambda: write_shards(run), FOLDERS)
    seen = every_state(disk, tmp_path / "states", {NEW: held(run), TOLD: None}, write_shards, run)
    assert seen[NEW] and seen[TOLD] and left(run) == left(made)


def test_writing_a_bucket_anew(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = held(run)
    add(run, 3)
    disk = recorded(monkeypatch, run, lambda: write_shards(run), FOLDERS)
    seen = every_state(disk, tmp_path / "states", {OLD: before, NEW: held(run), TOLD: None}, write_shards, run)
    assert seen[OLD] and seen[NEW] and len(held(run) or ()) == 4


def test_removing_from_a_copy(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = held(run)

    disk = recorded(monkeypatch, run, lambda: take_out(run), FOLDERS)
    seen = every_state(disk, tmp_path / "states", {OLD: before, NEW: held(run), TOLD: None}, take_out, run)
    assert all(seen[kind] for kind in (OLD, NEW, TOLD)) and len(held(run) or ()) == 2
    assert not any(disk.pending.values()), "each folder was flushed after what was deleted in it"


def test_what_was_removed_is_gone_when_the_command_has_ended(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after the last line finds nothing of them: nobody would repeat the command."""
    disk = recorded(monkeypatch, run, lambda: remove_from_run(run, sorted(GONE.videos)), FOLDERS)
    assert not any(disk.pending.values()), "each folder was flushed after what was deleted in it"
    assert not (run / "clips/1-0.mp4").exists()
