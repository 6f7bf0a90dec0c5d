"""A takedown: nothing of the works is found in any folder of the run, the ledger refuses them, and a kill leaves nobody behind."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli.main import main
from pipeline.tables import run_folder, takedowns
from pipeline.tables.kinds import KINDS
from pipeline.tables.run_folder import Find
from tests.pipeline.engine import planted_works as planted
from tests.pipeline.engine.planted_works import MIRRORED, SAME_FACE, WORK, found_of, identity
from tests.stages import fake_run

DAY = "2026-11-30"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_run, "video_id", identity)
        return planted.run_of(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fake_run, "video_id", identity)
    return Path(shutil.copytree(made, tmp_path / "run"))


def taken(run: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["takedown", *words, "--run", str(run), "--profile", "folder"])


def test_the_works_are_in_every_folder_before(run: Path) -> None:
    """What the search does not find, the tests below could not miss."""
    found = found_of(run, (WORK,))
    held = {place.name for path in found if (place := run_folder.place_of(path))}
    of_people = {place.name for place in run_folder.PLACES if place.find not in (Find.NOBODY, Find.LIST, Find.TELL)}
    assert of_people - held == {"evaluation/*/*/tables"}, "whose rows name people by what `subjects` calls them"
    kinds = {path.split("/")[1] for path in found if path.startswith("tables/")}
    assert kinds >= {kind.name for kind in KINDS.values() if "video_id" in kind.schema.names} - {"subjects"}
    assert {what for here in found.values() for what in here} >= {"id 0", "words 0", "face 0", "sound 0"}


def test_nothing_of_them_is_found_after(run: Path) -> None:
    out = taken(run, identity(WORK), "--person", "--uncertain", "leave", "--yes")
    assert out.exit_code == 0, out.output
    assert found_of(run, (WORK, MIRRORED, SAME_FACE)) == {}
    assert not list(run_folder.unknown(run)) and not (run / takedowns.JOURNAL).exists()
