"""One run, one set of settings: however it is named, and a change is told before it is used."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.engine.chosen import Chosen, chosen_of
from pipeline.engine.session import Session
from pipeline.tables.store import Store
from tests.pipeline.cli.toy_run import ToyRun

FEW = "toy_judge.most=100"  # half of the people


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyRun:
    return ToyRun(tmp_path, monkeypatch)


def kept(toys: ToyRun) -> int:
    return Store(toys.run).read("verdicts", ["keep"])["keep"].to_pylist().count(True)


def test_a_run_keeps_its_settings_however_it_is_named(toys: ToyRun) -> None:
    toys.all("--set", FEW, by="profile")
    assert kept(toys) == 2
    for by in ("run", "profile", "both"):
        said = toys.all(by=by)
        assert said.count("nothing to do") == 6 and "->" not in said, said
    assert toys.funnel("run") == toys.funnel("profile") == toys.funnel("both")
    assert not any(stage["pending"] for stage in toys.funnel("run")) and kept(toys) == 2


def test_a_change_is_told_with_what_it_makes_pending(toys: ToyRun) -> None:
    assert "settings" not in toys.all(), "a new run changes nothing"
    said = toys.all("--set", FEW, by="run")
    told, done = said.split("toy_crawl  nothing to do")
    assert "settings  toy_judge.most: 1000000000.0 -> 100.0\n" in told, told
    assert "because of it  toy_judge: 1 of 1 units to do" in told
    assert (
        "because of it  then, as far as that changes what they read: toy_export" in told and "toy_judge  1 of 1" in done
    )
    said = toys.all("--set", "toy_annotate.value=2", "--dry-run", by="profile")
    assert "toy_annotate.value: 1.0 -> 2" in said and "toy_annotate: 4 of 4 units to do" in said
    assert "toy_measure, toy_judge, toy_export" in said
    assert "->" not in toys.all(by="run"), "a dry run changes nothing"
    assert "->" not in toys.all("--set", "toy_annotate.batch=8"), "as it is already"
    said = toys.all("--set", "toy_annotate.batch=4")
    assert "toy_annotate.batch: 8 -> 4" in said and "because of it" not in said, "what never changes results"


def test_settings_go_back_to_the_profiles(toys: ToyRun) -> None:
    toys.all("--set", FEW, "--set", "toy_annotate.batch=4")
    said = toys.all("--reset", "toy_judge.most", by="run")
    assert "toy_judge.most: 100.0 -> 1" in said and kept(toys) == 4
    assert chosen_of(toys.run) == Chosen(str(toys.profile), "toys", sets={"toy_annotate.batch": "4"})
    toys.all("--set", FEW)
    toys.all("--reset", "toy_judge", by="profile")
    assert kept(toys) == 4
    toys.all("--set", FEW)
    assert "toy_annotate.batch: 4 -> 8" in toys.all("--reset", "all", by="run") and kept(toys) == 4
    for key in ("toy_judge.least", "toy_jugde", "machine.speed", "nonsense"):
        assert f"--reset {key}: no setting is called so" in toys.all("--reset", key, code=2)


def test_who_has_the_last_word(toys: ToyRun) -> None:
    """`--set`, then `--settings FILE`, then what the run remembers, then the profile."""
    file = toys.folder / "mine.toml"
    file.write_text("[toy_judge]\nmost = 300\n[stages.toy_annotate]\nvalue = 3.0\n[machine]\nworkers = 1\n")
    toys.profile.write_text(toys.profile.read_text() + "[stages.toy_judge]\nmost = 7.0\n")
    toys.all("--set", "toy_judge.most=100")
    toys.all("--settings", str(file), by="run")
    assert chosen_of(toys.run).sets == {"toy_judge.most": "300", "toy_annotate.value": "3.0", "machine.workers": "1"}
    toys.all("--settings", str(file), "--set", "toy_judge.most=200")
    assert chosen_of(toys.run).sets["toy_judge.most"] == "200"
    assert "toy_judge.most: 200.0 -> 7.0" in toys.all("--reset", "toy_judge.most")
    file.write_text("judge = 3")
    assert "judge: expected tables of settings" in toys.all("--settings", str(file), code=2)
    file.write_bytes(b"\xff")
    assert "not UTF-8" in toys.all("--settings", str(file), code=2)


def test_nets_and_inputs_are_remembered_too(toys: ToyRun) -> None:
    nets, other, videos = (toys.folder / name for name in ("nets", "other", "videos"))
    for folder in (nets, other, videos):
        folder.mkdir()
    toys.all("--models", "nets")
    assert chosen_of(toys.run).models == str(nets) and "->" not in toys.all("--models", str(nets), by="run")
    assert "models: " in toys.all("--models", str(other)) and chosen_of(toys.run).models == str(other)
    toys.all("--input", "videos", by="both")
    assert chosen_of(toys.run).input == str(videos) and "->" not in toys.all(by="run")
    other.rmdir()
    assert "remembers MODELS=" in toys.all(code=2) and "--reset models" in toys.all(code=2)
    assert f'models: "{other}" -> off' in toys.all("--reset", "models", "--reset", "input")
    assert chosen_of(toys.run) == Chosen(str(toys.profile), "toys")


def test_another_profile_is_refused(toys: ToyRun) -> None:
    toys.all()
    (toys.folder / "more.toml").write_text('extends = "toys.toml"\n[stages.toy_judge]\nmost = 100\n')
    other = ("--profile", str(toys.folder / "more.toml"))
    for command in (("run", "filter"), ("status",), ("show", "file:a")):
        assert "is a run of profile toys, not more" in toys(*command, *other, by="run", code=2)
    said = toys.all(*other, "--reset", "profile", by="run")
    assert "toy_judge.most: " in said and kept(toys) == 2
    assert "->" not in toys.all(by="run") and chosen_of(toys.run).name == "more"


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("show", "file:a"),
        ("failed",),
        ("table", "videos", "--out", "x.csv"),
        ("run", "filter", "--dry-run"),
    ],
)
def test_who_only_reads_writes_nothing(toys: ToyRun, command: tuple[str, ...]) -> None:
    toys.all("--set", FEW)
    before = {path: path.stat().st_mtime_ns for path in toys.run.rglob("*") if "locks" not in path.parts}
    toys(*command, "--set", "toy_judge.most=5", "--models", str(toys.folder))
    assert {path: path.stat().st_mtime_ns for path in toys.run.rglob("*") if "locks" not in path.parts} == before


def test_a_run_made_before_choices_were_kept_apart_goes_on(toys: ToyRun) -> None:
    toys.all("--set", FEW)
    (toys.run / "settings.toml").unlink()
    said = toys.all()
    assert "counts as chosen: toy_judge.most=100.0; --reset KEY goes back" in said and said.count("nothing to do") == 6
    assert chosen_of(toys.run).sets == {"toy_judge.most": "100.0"} and "chosen" not in toys.all(by="run")
    (toys.run / "settings.toml").unlink()
    assert toys.all(by="run").count("nothing to do") == 6, (
        "its profile is a file that nobody named: its own copy stands for it"
    )
    toys.profile.unlink()
    assert toys.all(by="run").count("nothing to do") == 6


def test_a_setting_that_this_version_does_not_know_can_be_forgotten(toys: ToyRun) -> None:
    toys.all("--set", FEW)
    path = toys.run / "settings.toml"
    path.write_text(path.read_text().replace("toy_judge.most", "toy_judge.least"))
    said = toys("status", by="run", code=2)
    assert "toy_judge.least: unknown setting" in said and "remembers it, --reset toy_judge.least forgets it" in said
    toys.all("--reset", "toy_judge.least", by="run")
    assert not chosen_of(toys.run).sets


def test_a_profile_file_that_went_away(toys: ToyRun) -> None:
    toys.all("--set", FEW)
    toys.profile.unlink()
    said = toys.all(by="run")
    assert "is not there any more: going on with the run's own copy" in said and said.count("nothing to do") == 6


@pytest.mark.parametrize("name", ["profile.toml", "settings.toml"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name = '\xff'", "not UTF-8: byte 0xff in line 1"),
        (b"= broken", "Invalid"),
        (b"x = " + b"[" * 100_000, "nested too deeply"),
        (b"a" + b".a" * 100_000 + b" = 1", "nested too deeply"),
        (b'name = "a\\u0000"', "name holds a NUL character"),
        (b'stages = 3\nsets = "no"\n', "expected"),
    ],
)
def test_files_of_a_run_that_cannot_be_read_are_told_in_a_line(
    toys: ToyRun, name: str, content: bytes, words: str
) -> None:
    toys("run", "crawl", "--workers", "0")
    if name == "profile.toml":
        (toys.run / "settings.toml").unlink()
    (toys.run / name).write_bytes(content)
    for command in (("run", "crawl"), ("status",)):
        said = toys(*command, by="run", code=2)
        assert words in said and f"{toys.run / name}" in said and "Traceback" not in said and len(said) < 600


def test_a_run_folder_that_goes_away_between_stages_stops_the_run(
    toys: ToyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.cli import run as command

    real: Callable[..., object] = command.run_shown

    def then_deleted(*arguments: object, **more: object) -> object:
        done = real(*arguments, **more)
        if (toys.run / "tables" / "clips").is_dir():
            toys.run.rename(toys.folder / "trash")
        return done

    monkeypatch.setattr(command, "run_shown", then_deleted)
    said = toys.all(code=1)
    assert "somebody deleted or moved it; stopped, nothing is begun anew" in said and not toys.run.exists()


def test_an_input_that_holds_nothing_is_a_wrong_call(toys: ToyRun) -> None:
    (toys.folder / "empty").mkdir()
    (toys.folder / "none.txt").write_text("# nothing\n")
    for what, words in (
        (["--input", "empty"], "holds no video"),
        (["--manifest", "none.txt"], "holds nothing to crawl"),
    ):
        said = toys("run", "crawl", "--run", str(toys.folder / "r"), *what, by="none", code=2)
        assert words in said


def test_a_program_is_called_again_with_what_the_run_does_not_remember(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    Session("folder", run, str(tmp_path), "", "", "", ["judge.min_speech_share=0.5"]).keep_profile()
    given = [
        "evaluate.method=transfer",
        "evaluate.pairs_seed=7",
        "evaluate.source=theirs",
        "judge.min_speech_share=0.4",
    ]
    once = Session("demo", run, "", "", "", str(tmp_path), given, ["evaluate"], reset=["input"], beside=True)
    assert once.again("evaluate", {"source": "/theirs"}) == [
        *("--profile", "demo", "--reset", "input", "--models", str(tmp_path), "--set", "judge.min_speech_share=0.4"),
        *("--method", "transfer", "--pairs-seed", "7", "--source", "/theirs"),
    ]
    assert Session("", run, "", "", "", "", (), ["evaluate"], beside=True).again("evaluate", {}) == []


@pytest.mark.parametrize("by", ["set", "quoted", "file"])
def test_a_file_that_a_setting_names_is_the_same_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    for name, verdict in (("here", "keep"), ("there", "drop")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.csv").write_text(f"id,verdict\nyt:aaaaaaaaaa1,{verdict}\n")
        (tmp_path / name / "left out.txt").write_text(f"@{name}\n")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "mine.toml").write_text('opt_out = "left out.txt"\n[judge]\noverrides = "own.csv"\n')
    sets = {"set": ["judge.overrides=own.csv", "opt_out=left out.txt"], "file": []}.get(
        by, ['stages.judge.overrides = "own.csv"', 'opt_out="left out.txt"']
    )

    def session(*sets: str, settings: str = "") -> Session:
        found = Session("folder", str(tmp_path / "run"), "", "", "", "", sets, settings=settings)
        found.keep_profile()
        return found

    session(*sets, settings="mine.toml" if by == "file" else "")
    monkeypatch.chdir(tmp_path / "there")
    found = session()
    assert found.opt_out.channels == {"@here"}
    assert [one["verdict"] for one in found.profile.stage("judge").result_settings()["overrides"]] == ["keep"]
    assert "there" not in str(found.chosen)


def _of_before(run: Path, profile: str = "folder") -> Session:
    """A run whose profile said `shards.split_by="video"` when it was last worked on."""
    session = Session(profile, str(run), str(run.parent), "", "", "", ())
    session.keep_profile()
    kept = run / "profile.toml"
    assert kept.read_text().count('split_by = "source"') == 1
    kept.write_text(kept.read_text().replace('split_by = "source"', 'split_by = "video"'))
    return session


def _split_by(session: Session) -> str:
    return str(session.profile.settings("shards").model_dump()["split_by"])


def test_a_run_of_before_keeps_its_splits_though_the_profile_says_otherwise(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert _split_by(_of_before(run)) == "source", "a new run"
    later = Session("", str(run), "", "", "", "", ())
    assert _split_by(later) == "video" and any('shards.split_by="video"' in note for note in later.notes)
    later.keep_profile()
    again = Session("", str(run), "", "", "", "", ())
    assert _split_by(again) == "video" and again.notes == [], "told once"
    for reset in ("shards.split_by", "shards", "all"):
        assert _split_by(Session("folder", str(run), "", "", "", "", (), reset=[reset])) == "source"
    assert _split_by(Session("", str(run), "", "", "", "", ["shards.split_by=channel"])) == "channel"


@pytest.mark.parametrize(("says", "found"), [("", "video"), ('[stages.shards]\nsplit_by = "source"\n', "source")])
def test_what_a_profile_of_ones_own_says_of_splits_counts(tmp_path: Path, says: str, found: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(f'name = "own"\nextends = "folder"\n{says}')
    _of_before(tmp_path / "run", str(own))
    assert _split_by(Session("", str(tmp_path / "run"), "", "", "", "", ())) == found
