"""`run --on-end`: what it is told, and that its own failure changes nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import on_end
from pipeline.engine import console
from tests.pipeline.cli.toy_run import ToyRun

ROOT = Path(__file__).parents[3]
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


@pytest.mark.parametrize("moment", ["options_of", "run_shown", "show_funnel"])
def test_it_is_told_of_a_sigterm_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Before the first stage, where one is planned or finishes, after the last."""
    toys = ToyRun(tmp_path, monkeypatch)
    code = (
        "import os, signal, sys, time; from pipeline.cli import run; from tests.pipeline.engine import toy_cli\n"
        "def told(*_, **__): os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        f"toy_cli.register(dict.__setitem__); sys.modules['pipeline.cli.run'].{moment} = told; toy_cli.main()"
    )
    about = ["--profile", str(toys.profile), "--run", str(toys.run), "--workers", "0", "--funnel", "--on-end", WRITE]
    command = [sys.executable, "-c", code, "run", "crawl", *about]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 130 and "what was committed is safe" in ended.stderr, ended.stderr
    assert (tmp_path / "told").read_text().startswith(f"130|interrupted|{toys.run}|toys|crawl|")


def test_sigterm_means_afterwards_what_it_meant_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    ToyRun(tmp_path, monkeypatch)("run", "crawl", "--workers", "0")
    assert signal.getsignal(signal.SIGTERM) == before


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
