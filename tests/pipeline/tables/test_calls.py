"""What fills a folder of a run is named as it was called, for a shell."""

import shlex
from pathlib import Path

import pytest

from pipeline.tables import calls

PROGRAM = "python -m stages.evaluate"


def test_a_call_is_repeated_word_for_word(tmp_path: Path) -> None:
    run = tmp_path / "my run; rm -r $HOME"
    given = ["--set", 'evaluate.label=it\'s "theirs" & more', "--set", "evaluate.method=folder"]
    calls.keep(run / "evaluation/csg405/folder", given)
    said = calls.repeated(PROGRAM, run / "evaluation/csg405/folder", run)
    assert shlex.split(said) == [*PROGRAM.split(), *given, "--run", str(run)]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"arguments": 3}', '{"arguments": [], "sha256": "0"}'])
def test_where_the_note_is_lost_it_is_said(tmp_path: Path, note: str) -> None:
    (tmp_path / calls.CALL).write_text(note)
    for store in (tmp_path, tmp_path / "nowhere"):
        said = calls.repeated(PROGRAM, store, tmp_path)
        assert said.startswith(f"`{PROGRAM} --run {tmp_path}`") and "no note of them is left" in said


def test_the_note_of_another_method_does_not_count(tmp_path: Path) -> None:
    calls.keep(tmp_path / "ours", ["--method", "ours"])
    calls.keep(tmp_path / "transfer", ["--method", "transfer"])
    assert calls.repeated(PROGRAM, tmp_path / "transfer", tmp_path).startswith(f"{PROGRAM} --method transfer --run")
    (tmp_path / "ours" / calls.CALL).replace(tmp_path / "transfer" / calls.CALL)
    assert "no note of them is left" in calls.repeated(PROGRAM, tmp_path / "transfer", tmp_path)
