"""Every command that a document has its readers type is one: targets, variables, commands, options, choices and settings exist."""

import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from pipeline.base.errors import UserError
from pipeline.cli.main import main
from pipeline.cli.stage import command_of
from pipeline.engine.profile import load
from tests import bench, documents
from tests.documents import ROOT

# What stands for something of the reader's; `[...]` may be left out and `...` repeated.
PLACEHOLDERS = {
    "KIND": "persons", "KINDS": "persons", "TARGET": "crawl", "TARGETS": "crawl", "STAGE": "judge", "COMMAND": "status",
    "stages.NAME": "stages.judge", "tests.bench": "tests.bench", "N": "7", "{raw}": "raw",
}  # fmt: skip
# Programs that are not ours, and make targets that call no command of ours.
OTHERS = ("docker", "accelerate", "pip", "kubectl", "systemctl", "sh", "ray")
FOUND = sorted(
    {
        (str(document.relative_to(ROOT)), command)
        for document in documents.documents()
        for command in documents.commands_in(document.read_text())
    }
)


@cache
def variables() -> frozenset[str]:
    """The variables that the Makefile knows."""
    return frozenset(re.findall(r"^([A-Z_]+) \?=", (ROOT / "Makefile").read_text(), re.MULTILINE))


def plain(command: str) -> list[str]:
    """A command's words as one would type them, placeholders filled in."""
    text = re.sub(r"(?<= )\[([^\]]*)\]", r"\1", command)
    text = re.sub(r"\{?(\w+)(\\?\|\w+)+\}?", r"\1", text)  # the first of several
    words = [word.removesuffix("...") for word in shlex.split(text)]
    return [PLACEHOLDERS.get(word, word) for word in words if word]


def check(words: list[str]) -> None:
    """Raise AssertionError, or click's own error, where a command is none."""
    if "&&" in words:
        check(words[words.index("&&") + 1 :])
        words = words[: words.index("&&")]
    while re.fullmatch(r"[A-Z_0-9]+=.*", words[0]):
        words = words[1:]
    program, arguments = Path(words[0]).name, words[1:]
    if program == "make":
        check_make(arguments)
    elif program == "csg405":
        check_click(main, "csg405", arguments)
    elif program == "python":
        check_module(arguments)
    else:
        assert program in OTHERS, program


def check_make(arguments: list[str]) -> None:
    """Ask make what it would call, and look at that."""
    named = [argument.partition("=")[0] for argument in arguments if "=" in argument]
    assert set(named) <= variables(), f"make knows no {set(named) - variables()}"
    dry = ["make", "-n", "--no-print-directory", "VENV=/nowhere", *(a for a in arguments if a != "TARGET")]
    done = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.replace("\\\n", " ").splitlines():
        if found := re.match(r"/nowhere/bin/(csg405|python -m stages\.\w+) (.*)", line):
            call = re.split(r" \|\| | && ", found[0].replace("/nowhere/bin/", ""))[0]
            check(shlex.split(call))


def check_module(arguments: list[str]) -> None:
    if arguments[:1] != ["-m"]:
        return
    module, rest = arguments[1], arguments[2:]
    if module.startswith("stages."):
        rest = [word for word in rest if word not in ("--key", "value")]
        check_click(command_of(module.removeprefix("stages.")), module, rest, module.removeprefix("stages."))
    elif module == "tests.bench":
        names = [word for word in rest if word.islower() and not word.startswith("-")]
        assert not names or names[0] in bench_names() or rest[0].startswith("-"), names
    elif module.startswith(("tests.trials.", "tests.bench.")):
        trial = ROOT / f"{module.replace('.', '/')}.py"
        assert trial.is_file() and "__main__" in trial.read_text(encoding="utf-8"), f"{module} is no command"
    else:
        assert module == "pytest"


def bench_names() -> set[str]:
    return {path.stem.removeprefix("bench_") for path in Path(bench.__path__[0]).glob("bench_*.py")}


def parsed(command: click.Command, name: str, arguments: list[str]) -> dict[str, Any] | None:
    """The parameters of a command line, as click reads them; None for a group, a page of help, a command without what it needs."""
    while isinstance(command, click.Group) and arguments:
        below = command.get_command(click.Context(command), arguments[0])
        if below is None:
            assert arguments == ["--help"], f"{name} has no {arguments[0]}"
            return None
        command, arguments = below, arguments[1:]
    if isinstance(command, click.Group) or arguments[-1:] == ["--help"]:
        return None
    try:
        context = command.make_context(name, [*arguments])
    except click.MissingParameter:  # a sentence names a command without what it is about
        return None
    except click.BadParameter as wrong:
        if "does not exist" in wrong.message or "is a folder of videos" in wrong.message:  # a file of the reader's
            return None
        raise
    with context:
        return context.params


def check_click(command: click.Command, name: str, arguments: list[str], stage: str = "") -> None:
    """Parse a command line as click does, and each setting as a profile does; nothing is run."""
    given = parsed(command, name, arguments) or {}
    sets = [text if "." in text.split("=")[0] else f"{stage}.{text}" for text in given.get("sets") or ()]
    load("folder", [text for text in sets if not text.endswith("key=value")])


@pytest.mark.parametrize(("document", "command"), FOUND, ids=lambda text: text[:60])
def test_a_command_of_a_document_is_one(document: str, command: str) -> None:
    check(plain(command))


@pytest.mark.parametrize(
    "wrong",
    [
        "make crawl INPUTS=x",
        "make crawls",
        "csg405 statuss",
        "csg405 status --jsn",
        "csg405 discard everything",
        "make filter SET=judge.min_hand_seen=0.7",
        ".venv/bin/python -m stages.judge --set min_hand_seen=0.7",
        "python -m stages.judge --min-hand-seen 0.7",
        "python -m tests.bench nothing",
        "python -m tests.trials.nothing",
        "python -m tests.trials.films",
        "ffmpeg -i x",
    ],
)
def test_what_is_none_is_found(wrong: str) -> None:
    with pytest.raises((AssertionError, click.ClickException, UserError)):
        check(plain(wrong))
