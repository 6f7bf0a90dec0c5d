"""Choices of a run: whatever field they have, it is written and read again."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from pipeline.engine.chosen import CHOSEN, TABLES, TEXTS, Chosen, chosen_of


def test_every_choice_is_read_as_it_was_written(tmp_path: Path) -> None:
    texts: dict[str, Any] = {name: f"the {name} of José 😀" for name in TEXTS}
    chosen = Chosen(**texts, sets={"judge.min_speech_share": "0.5"}, kept={"judge": 2})
    assert {*TEXTS, *TABLES} == {each.name for each in fields(Chosen)}
    assert all(getattr(chosen, each.name) for each in fields(Chosen))
    chosen.write(tmp_path)
    assert chosen_of(tmp_path) == chosen


def test_choices_that_are_there_are_not_written_again(tmp_path: Path) -> None:
    Chosen("demo", sets={"judge.min_speech_share": "0.5"}).write(tmp_path)
    before = (tmp_path / CHOSEN).stat().st_ino
    Chosen("demo", sets={"judge.min_speech_share": "0.5"}).write(tmp_path)
    assert (tmp_path / CHOSEN).stat().st_ino == before
    Chosen("demo").write(tmp_path)
    assert chosen_of(tmp_path) == Chosen("demo")
