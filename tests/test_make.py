"""`make` with several targets: failed units stop none of them, and the last one ends as failed; which are one command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.engine import toy_cli

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


class Make:
    """make, whose csg405 is that of toy stages, or one that ends as it is told."""

    def __init__(self, folder: Path, script: str) -> None:
        self.venv = folder / "venv"
        (self.venv / "bin").mkdir(parents=True)
        for name in ("csg405", "python"):
            (self.venv / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.venv / "bin" / name).chmod(0o755)
        # younger than pyproject.toml, and in this order: nothing is set up
        for mark in (".ready-cpu", ".ready-web-cpu", ".ready-train-cpu"):
            (self.venv / mark).touch()

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "CSG405"))}
        call = ["make", "--no-print-directory", *arguments, f"VENV={self.venv}"]
        return subprocess.run(call, cwd=ROOT, env=plain, capture_output=True, text=True, timeout=120)


SAYS = """echo "$@"
case "$*" in {case}) exit {code};; esac"""


@pytest.fixture
def toys(tmp_path: Path) -> Make:
    (tmp_path / "toys.toml").write_text(toy_cli.PROFILE + '[stages.toy_crawl]\nunits = ["a", "raise"]\n')
    return Make(tmp_path, f'exec {sys.executable} -m tests.pipeline.engine.toy_cli "$@"')


@pytest.mark.slow
def test_failed_units_fail_the_last_target_of_the_call(toys: Make, tmp_path: Path) -> None:
    about = (f"PROFILE={tmp_path / 'toys.toml'}", f"RUN={tmp_path / 'run'}")
    done = toys("crawl", "annotate", "filter", *about)
    assert "toy_annotate  2 of 2 units: 2 ok" in done.stdout and "toy_export  2 of 2 units: 2 ok" in done.stdout
    assert done.returncode == 2 and "Error 3" in done.stderr, done.stdout + done.stderr
    told = [line for line in done.stderr.splitlines() if "units failed that should not have" in line]
    assert len(told) == 1 and "toy_crawl 1 exception" in told[0]


@pytest.mark.parametrize(
    ("goals", "case", "code", "calls", "ended"),
    [
        ("crawl annotate filter", "*annotate*", 3, ["run crawl annotate filter --funnel"], 2),
        ("crawl annotate train", "*crawl*", 1, ["run crawl annotate"], 2),
        ("crawl annotate filter", "nothing", 3, ["run crawl annotate filter --funnel"], 0),
        ("crawl annotate train", "*'run crawl'*", 3, ["run crawl annotate", "-m stages.train", "failed"], 0),
        ("train annotate filter", "*'run annotate'*", 3, ["-m stages.train", "run annotate", "run filter"], 0),
        (
            "crawl annotate DISCARD=raw",
            "*'run crawl'*",
            3,
            ["run crawl --discard raw", "run annotate --discard raw"],
            0,
        ),
        ("crawl annotate FOLLOW=1", "*crawl*", 1, ["run crawl --follow"], 2),
        ("crawl train status", "failed*", 3, ["run crawl", "-m stages.train", "status", "failed"], 2),
        ("crawl", "*crawl*", 3, ["run crawl"], 2),
        ("-j3 filter annotate crawl", "nothing", 3, ["run filter", "run annotate", "run crawl"], 0),
    ],
)
def test_which_targets_go_on(tmp_path: Path, goals: str, case: str, code: int, calls: list[str], ended: int) -> None:
    done = Make(tmp_path, SAYS.format(case=case, code=code))(*goals.split())
    lines = [line for line in done.stdout.splitlines() if line]
    assert [line[: len(call)] for line, call in zip(lines, calls, strict=False)] == calls and len(lines) == len(calls)
    assert done.returncode == ended, done.stdout + done.stderr


def test_the_last_target_knows_those_before_it(tmp_path: Path) -> None:
    make = Make(tmp_path, SAYS.format(case="none", code=0))
    filtered = make("crawl", "annotate", "filter", "FOLLOW=1").stdout.splitlines()[-1].split()
    assert filtered == ["run", "filter", "--funnel", "--follow", "--after", "crawl", "--after", "annotate"]
    assert make("rebuild", "train", "MANIFEST=x.json").stdout.splitlines()[-1].split()[-3:] == [
        "crawl",
        "annotate",
        "filter",
    ]


def test_a_set_up_that_failed_keeps_all_of_one_command_from_running(tmp_path: Path) -> None:
    make = Make(tmp_path, SAYS.format(case="*'pip install'*", code=1))
    (make.venv / ".ready-web-cpu").unlink()
    done = make("-k", "crawl", "annotate", "filter", "MANIFEST=x.json")
    assert done.returncode == 2 and "setting up what fetches from the web" in done.stdout, done.stderr
    assert not [line for line in done.stdout.splitlines() if line.startswith("run ")], "filter would crawl"
    done = make("-k", "annotate", "filter", "MANIFEST=x.json")
    assert done.returncode == 0 and done.stdout == "run annotate filter --funnel --manifest x.json\n", done.stderr


WORDS = """printf '<%s>' "$@"; echo"""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["INPUT=/my films/a$b"], "<--input></my films/a$b>"),
        (["INPUT=it's $(HOME) `here`"], "<--input><it's $(HOME) `here`>"),
        (["MANIFEST=~/a list.csv"], "<--manifest><~/a list.csv>"),
        (["SET=judge.overrides=my drive/ov.csv"], "<--set><judge.overrides=my drive/ov.csv>"),
        (
            ["SET=judge.overrides=it's my $drive/ov.csv split.min_clip_seconds=6", "RUN=r 1"],
            "<--run><r 1><--set><judge.overrides=it's my $drive/ov.csv ><--set><split.min_clip_seconds=6>",
        ),
        (["MODELS=nets", "RESET=judge input"], "<--models><nets><--reset><judge><--reset><input>"),
    ],
)
def test_values_arrive_as_they_were_given(tmp_path: Path, given: list[str], words: str) -> None:
    done = Make(tmp_path, WORDS)("crawl", *given)
    assert done.stdout == f"<run><crawl>{words}\n", done.stderr


def test_evaluate_is_told_what_to_do_with_older_results(tmp_path: Path) -> None:
    make = Make(tmp_path, WORDS)
    (make.venv / ".ready-evaluate-cpu").touch()
    done = make("evaluate", "REDO=1", "SOURCE=my $x", "METHOD=transfer")
    assert done.stdout == "<-m><stages.evaluate><--redo><--method><transfer><--source><my $x>\n", done.stderr


def test_bytecode_is_kept_whatever_the_shell_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not, each command and each test process compiles all of what it imports."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert Make(tmp_path, 'echo "<$PYTHONDONTWRITEBYTECODE>"')("crawl").stdout == "<>\n"
