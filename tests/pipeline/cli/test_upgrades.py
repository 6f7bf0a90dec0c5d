"""Upgrades: what a newer version makes new is told, and done again only when somebody says so."""

from pathlib import Path

import pytest

from pipeline.cli.stage import command_of
from pipeline.engine import profile as profiles
from pipeline.engine.chosen import chosen_of
from pipeline.engine.fingerprint import version_in
from pipeline.engine.stage import Resources
from pipeline.tables.store import Store
from tests.pipeline.cli.toy_run import ToyRun
from tests.pipeline.engine import toys as toy_stages

ASKS = "--redo does it again, --keep leaves it as it is (make: REDO=1 or KEEP=1)"


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyRun:
    made = ToyRun(tmp_path, monkeypatch)
    made.all()
    return made


def versions(toys: ToyRun, kind: str = "persons") -> set[int]:
    stage = {"persons": "toy_annotate", "videos": "toy_crawl"}[kind]
    return {version_in(text, stage) for text in Store(toys.run).outcomes(kind)["versions"].to_pylist()}


def pending(toys: ToyRun) -> dict[str, int]:
    return {stage["stage"]: stage["pending"] for stage in toys.funnel("run") if stage["pending"]}


def test_a_newer_version_is_told_and_stops_until_somebody_decides(
    toys: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy_stages.ToyAnnotate, "version", 2)
    before = {path: path.stat().st_mtime_ns for path in toys.run.rglob("*")}
    said = toys.all(by="run", code=1)
    assert (
        "toy_annotate  version 1 -> 2: 4 finished units would be done again; they took " in said
        and " hours (0 s)" in said
    )
    assert ASKS in said and "nothing to do" not in said, "told before anything starts"
    assert {path: path.stat().st_mtime_ns for path in toys.run.rglob("*")} == before
    assert pending(toys) == {"toy_annotate": 4} and "finished units would be done again" in toys.all(
        "--dry-run", by="run"
    )
    assert "not both" in toys.all("--redo", "--keep", code=2)
    said = toys.all("--redo", by="profile")
    assert "toy_annotate  4 of 4 units: 4 ok" in said and versions(toys) == {2}
    assert "toy_measure  nothing to do" in said, "what comes of it is as it was"
    assert ASKS not in toys.all(by="run")


def test_what_is_kept_stays_kept_until_redo(toys: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy_stages.ToyAnnotate, "version", 2)
    assert toys.all("--keep").count("nothing to do") == 6
    for by in ("run", "profile"):
        assert toys.all(by=by).count("nothing to do") == 6 and not pending(toys)
    toys.profile.write_text(toys.profile.read_text().replace('["a", "b"]', '["a", "b", "c"]'))
    assert "toy_annotate  2 of 6 units: 2 ok" in toys.all(), "what is new is made by the new version"
    assert versions(toys) == {1, 2}, "and each row says by which"
    assert "toy_annotate  6 of 6" in toys.all("--set", "toy_annotate.value=2"), "another value is another matter"
    monkeypatch.setattr(toy_stages.ToyAnnotate, "version", 3)
    assert "version 2 -> 3: 6 finished units" in toys.all(code=1), "what was said of 2 says nothing of 3"
    assert toys.all("--keep").count("nothing to do") == 6
    assert "toy_annotate  6 of 6" in toys.all("--redo") and versions(toys) == {3} and not chosen_of(toys.run).kept


def test_no_upgrade_fetches_again(toys: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy_stages.ToyCrawl, "resources", Resources(network=True))
    monkeypatch.setattr(toy_stages.ToyCrawl, "version", 5)
    assert not pending(toys)
    said = toys.all()
    assert "version 1 -> 5: 2 units were fetched before and stay as they are: no upgrade fetches again" in said
    assert said.count("nothing to do") == 6 and versions(toys, "videos") == {1}
    assert "stay as they are" not in toys.all(), "told once"
    assert toys.all("--redo").count("nothing to do") == 6, "not even so"
    assert "toy_crawl  2 of 2" in toys.all("--set", "toy_crawl.salt=1"), "another setting is asked for"


def test_a_better_default_is_an_upgrade_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile is one that comes with the project: nobody chose the old value, and nobody the new one."""
    toys = ToyRun(tmp_path, monkeypatch)
    real = profiles._file
    monkeypatch.setattr(profiles, "_file", lambda name, child: toys.profile if name == "toys" else real(name, child))
    about = ("--profile", "toys", "--run", str(toys.run))
    toys.all(*about, by="none")
    toys.profile.write_text(toys.profile.read_text() + "[stages.toy_annotate]\nvalue = 2.0\n")
    said = toys.all(*about, by="none", code=1)
    assert "toy_annotate.value: 1.0 -> 2.0 (the profile says so now)" in said and ASKS in said
    assert "new defaults of toy_annotate.value: 4 finished units" in said
    assert toys.all("--keep", by="run").count("nothing to do") == 6
    assert chosen_of(toys.run).sets == {"toy_annotate.value": "1.0"}, "what stands in the rows is what was chosen"
    assert toys.all(by="run").count("nothing to do") == 6
    assert "toy_annotate  4 of 4" in toys.all("--reset", "toy_annotate.value", by="run")
    toys.profile.write_text(toys.profile.read_text().replace("2.0", "3.0"))
    assert "toy_annotate  4 of 4" in toys.all("--redo", by="run") and not chosen_of(toys.run).sets


def test_a_change_of_the_users_own_file_is_done(toys: ToyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    toys.profile.write_text(toys.profile.read_text() + "[stages.toy_annotate]\nvalue = 2.0\n")
    said = toys.all(by="run")
    assert "toy_annotate.value: 1.0 -> 2.0 (the profile says so now)" in said and "toy_annotate  4 of 4" in said


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("csg405 0.1.0, crawl 2", 2),
        ("csg405 0.1.0, recrawl 2", 0),
        ("csg405 0.1.0, crawl 12", 12),
        ("crawl 3", 3),
        ("", 0),
        (None, 0),
        ("csg405 0.1.0, crawl 2x", 0),
        ("csg405 0.1.0, crawl " + "9" * 50, 0),
    ],
)
def test_versions_are_read_from_outcomes(text: str | None, version: int) -> None:
    assert version_in(text, "crawl") == version


@pytest.mark.parametrize(("program", "asked"), [("evaluate", True), ("generate", False)])
def test_programs_with_stages_of_their_own_take_the_answer(program: str, asked: bool) -> None:
    options = {option for parameter in command_of(program).params for option in parameter.opts}
    assert ({"--redo", "--keep"} <= options) == asked
