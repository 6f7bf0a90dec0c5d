"""`csg405 what-if`: judge's result with other settings, and a run that stays as it was."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main as cli
from pipeline.tables.store import Store
from tests.stages import fake_run

KNOWN = "judge.require_measured=[]"


def what_if(run: Path, *arguments: str, code: int = 0) -> str:
    found = CliRunner().invoke(cli.main, ["what-if", *arguments, "--profile", "folder", "--run", str(run)])
    assert found.exit_code == code, found.output + repr(found.exception)
    return found.output


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Turned by 6, 7 (dropped by the run) and 8 degrees; two people in the last clip."""
    store = Store(tmp_path / "run")
    with fake_run.together(store):
        for video in (1, 2, 3):
            fake_run.add_video(store, video)
            fake_run.add_person(store, video, keep=video != 2, reasons=["side_view"] * (video == 2), details=[])
        fake_run.add_person(store, 3, person=1)
    return tmp_path / "run"


def everything(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_who_comes_and_who_goes(run: Path) -> None:
    before = everything(run)
    found = json.loads(what_if(run, "judge.max_yaw_degrees=7.5", KNOWN, "--json"))
    assert (found["people"], found["kept"]["people"], found["was"]["people"]) == (4, 2, 3)
    assert (found["kept"]["clips"], found["was"]["clips"]) == (2, 2)
    assert found["kept"]["seconds"] == pytest.approx(2 * fake_run.FRAMES / 25)
    assert found["come"] == [fake_run.person_id(2)]
    assert found["go"] == [fake_run.person_id(3), fake_run.person_id(3, person=1)]
    assert found["dropped"] == {"side_view": {"people": 2, "alone": 2}}
    assert everything(run) == before, "nothing is written"


def test_the_same_in_words_and_by_a_file_of_settings(run: Path, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text('[judge]\nmax_yaw_degrees = 7.5\nmax_jitter = "off"\nrequire_measured = []\n')
    said = what_if(run, "--settings", str(tmp_path / "t.toml"))
    assert said.startswith("what if  ")
    assert "people   4, kept 2 (was 3)" in said
    assert f"come     1: {fake_run.person_id(2)}\n" in said
    assert f"  side_view {2:>24,}  nothing else 2" in said
    assert max(map(len, said.splitlines())) <= 80


def test_what_other_stages_would_measure_is_not_known(run: Path) -> None:
    said = what_if(run, "judge.max_yaw_degrees=7", "split.min_clip_seconds=3", code=2)
    assert "split.min_clip_seconds is no setting of judge" in said


def test_a_run_without_anybody(tmp_path: Path) -> None:
    (tmp_path / "run" / "tables").mkdir(parents=True)
    assert "nobody was found" in what_if(tmp_path / "run", "judge.max_yaw_degrees=7")


def test_a_run_that_is_not_there_is_a_mistake(run: Path) -> None:
    said = what_if(run.parent / "rnu", "judge.max_yaw_degrees=7", code=2)
    assert f"{run.parent / 'rnu'} is no run" in said and str(run) in said
    assert not (run.parent / "rnu").exists()


@pytest.mark.parametrize("bad", [b"J\xf6rg,keep\n", b"x," + b"w" * 200_000, b"x,perhaps\n"])
def test_overrides_that_cannot_be_read_are_told_in_a_line(run: Path, tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "overrides.csv"
    path.write_bytes(b"id,verdict\n" + bad)
    given = ["--set", f"judge.overrides={path}"]
    line = f"{path}: line 2: "
    for command in (["what-if"], ["run", "judge"]):
        found = CliRunner().invoke(cli.main, [*command, "--profile", "folder", "--run", str(run), *given])
        assert found.exit_code == 1 and line in found.output, found.output + repr(found.exception)
        assert isinstance(found.exception, SystemExit) and "Traceback" not in found.output
    found = CliRunner().invoke(cli.main, ["status", "--run", str(run), "--json", "--input", str(tmp_path), *given])
    assert found.exit_code == 0, found.output + repr(found.exception)
    [judge] = [stage for stage in json.loads(found.output)["stages"] if stage["stage"] == "judge"]
    assert line in judge["note"]
