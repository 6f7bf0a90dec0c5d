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


@pytest.mark.parametrize("note", ["", "{", "[]", '{"arguments": 3}'])
def test_where_the_note_is_lost_the_bare_program_is_named(tmp_path: Path, note: str) -> None:
    (tmp_path / calls.CALL).write_text(note)
    assert calls.repeated(PROGRAM, tmp_path, tmp_path) == f"{PROGRAM} --run {tmp_path}"
    assert calls.repeated(PROGRAM, tmp_path / "nowhere", tmp_path) == f"{PROGRAM} --run {tmp_path}"
