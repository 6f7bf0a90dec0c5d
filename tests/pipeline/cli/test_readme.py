"""What `pipeline/cli/README.md` says of commands and of the keys of their JSON."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import main as cli
from pipeline.tables.lock import driving
from pipeline.views.doctor import OK, Finding
from tests.pipeline.cli.toy_run import ToyRun

TEXT = (Path(cli.__file__).parent / "README.md").read_text()


def keys_of(line: str) -> set[str]:
    """The names in backticks of a line of the table of keys, without that of the command."""
    (cells,) = re.findall(rf"^\| {re.escape(line)} \| (.*) \|$", TEXT, re.MULTILINE)
    return set(re.findall(r"`([a-z_]+)`", cells))


def told(arguments: list[str]) -> Any:
    return json.loads(CliRunner().invoke(cli.main, [*arguments, "--json"]).stdout)


def test_the_keys_of_json_are_those_that_it_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toys = ToyRun(tmp_path, monkeypatch, '["a", "raise"]')
    toys.all(code=3)
    (toys.run / "pace.json").write_text('{"www.youtube.com": 1}')
    about = ["--run", str(toys.run)]
    with driving(toys.run, "videos"):
        status, (run,) = told(["status", *about]), told(["runs"])["runs"]
    assert set(status) == keys_of("`status`")
    assert set(status["stages"][0]) == keys_of("… a stage")
    assert set(status["drivers"][0]) == set(run["drivers"][0]) == keys_of("… a driver")
    assert set(status["last_failure"]) == keys_of("… `last_failure`")
    assert set(status["disk"]) == keys_of("… `disk`")
    assert set(status["work"]) == keys_of("… `work`")
    assert set(status["work"]["machines"][0]) == keys_of("… a machine of `work`")
    assert set(status["requests"][0]) == keys_of("… a host of `requests`")
    assert {"runs", *run} == keys_of("`runs`")
    show = told(["show", "a", *about])
    assert {*show, *show["matches"][0], *show["chapters"][0]} - {"null"} == keys_of("`show`") - {"null"}
    failed = told(["failed", *about])
    assert {*failed, *failed["failed"][0]} == keys_of("`failed`")
    (tmp_path / "links.txt").write_text("yt:aaaaaaaaaaa\n")
    assert set(told(["availability", "-m", "links.txt", "-r", "runs/links"])) == keys_of("`availability`")
    next((toys.run / "tables" / "videos" / "rows").glob("*.parquet")).unlink()
    check = told(["check", *about])
    assert {*check, *check["damages"][0]} == keys_of("`check`")
    monkeypatch.setattr("pipeline.cli.doctor.examine", lambda *_: [Finding(OK, "python", "3.11")])
    doctor = told(["doctor", *about])
    assert {*doctor, *doctor["findings"][0]} == keys_of("`doctor`")
