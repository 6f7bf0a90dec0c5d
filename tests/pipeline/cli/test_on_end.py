"""`run --on-end`: what it is told, and that its own failure changes nothing."""

import json
from pathlib import Path

import pytest

from pipeline.cli import on_end
from pipeline.engine import console
from tests.pipeline.cli.toy_run import ToyRun

WRITE = 'printf \'%s|\' "$CSG405_EXIT_CODE" "$CSG405_MESSAGE" "$CSG405_RUN" "$CSG405_PROFILE" "$CSG405_TARGETS" > told'


@pytest.mark.parametrize(("units", "code", "message"), [('["a"]', 0, "all done"), ('["a", "raise"]', 3, "1 unit")])
def test_it_is_told_how_the_run_ended(
    units: str, code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys = ToyRun(tmp_path, monkeypatch, units)
    toys.all("--on-end", WRITE, code=code)
    told = (tmp_path / "told").read_text().split("|")
    assert told[0] == str(code) and message in told[1]
    assert told[2:5] == [str(toys.run), "toys", "crawl annotate filter"]


def test_it_is_told_of_an_interruption_and_of_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toys = ToyRun(tmp_path, monkeypatch)
    for error, code in ((KeyboardInterrupt(), 130), (RuntimeError("\x1b[31mout of luck"), 1)):

        def ended(*_: object, error: BaseException = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(console, "run_stage", ended)
        toys("run", "crawl", "--on-end", WRITE, code=code)
        assert (
            (tmp_path / "told")
            .read_text()
            .startswith(f"{code}|{'interrupted' if code == 130 else '?[31mout of luck'}|")
        )


@pytest.mark.parametrize("command", ["exit 7", "sleep 60", "/no/such/program"])
def test_its_failure_is_told_and_changes_nothing(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if command.startswith("sleep"):
        monkeypatch.setattr(on_end, "SECONDS", 0.5)
    toys = ToyRun(tmp_path, monkeypatch)
    said = toys("run", "crawl", "--workers", "0", "--on-end", command)
    assert "--on-end: " in said and "all done" in said and ("ended with 7" in said) == (command == "exit 7")


def test_a_dry_run_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toys = ToyRun(tmp_path, monkeypatch)
    toys("run", "crawl", "--dry-run", "--on-end", WRITE)
    assert not (tmp_path / "told").exists()
    toys.all()
    assert json.loads(toys("status", "--json"))["profile"] == "toys"
