"""The command: what each subcommand prints, and with which exit code it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from pipeline.base import install
from pipeline.base.errors import BadUse
from pipeline.cli import main as cli
from pipeline.engine import console
from pipeline.engine.session import Session, choose_profile
from pipeline.registry.models import Registry
from pipeline.tables.lock import driving
from pipeline.tables.store import Store
from tests.pipeline.engine import toy_cli, toys

PROFILE = (
    toy_cli.PROFILE
    + """
[stages.toy_crawl]
units = ["a", "b", "reject", "raise", "[/red]\\u001b[31m", "fail-[bold]"]
"""
)


class Toys:
    """The command on a run of toy stages."""

    def __init__(self, folder: Path) -> None:
        self.run = folder / "run"
        self.profile = folder / "toys.toml"
        self.profile.write_text(PROFILE)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        about = ["--profile", str(self.profile), "--run", str(self.run)]
        groups = {"models", "profile", "--help"}
        found = invoke(*arguments, *([] if arguments[0] in groups or "--help" in arguments else about))
        assert found.exit_code == code, found.output + repr(found.exception)
        return found.output


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, list(arguments), catch_exceptions=True)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toys:
    toy_cli.register(monkeypatch.setitem)
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path / "cache"))
    for name in ("CSG405_PROFILE", "CSG405_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return Toys(tmp_path)


@pytest.fixture
def done(toy: Toys) -> Toys:
    toy("run", "crawl", "annotate", "filter", "--workers", "0", code=3)
    return toy


def test_run_says_what_it_did_and_does_it_once(toy: Toys) -> None:
    said = toy("run", "crawl", "--workers", "0", code=3)
    assert "toy_crawl  6 of 6 units: 2 failed, 3 ok, 1 rejected in" in said
    assert "toy_split  3 of 3 units: 3 ok in" in said
    said = toy("run", "crawl", "--workers", "0", code=3)
    assert "toy_crawl  2 of 6 units: 2 failed in" in said, "failures are tried again"
    assert "toy_split  nothing to do (3 units)" in said
    assert "toy_annotate  6 of 6" in toy("run", "toy_annotate", "--workers", "0", "--set", "toy_annotate.batch=4")
    assert "nothing to do" in toy("run", "annotate")


def test_a_run_folder_knows_its_profile(done: Toys) -> None:
    found = invoke("run", "annotate", "--run", str(done.run))
    assert found.exit_code == 0 and "toy_annotate  nothing to do (6 units)" in found.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "crwl"], 2, "'crwl' is no target or stage of profile toys; did you mean 'crawl'"),
        (["run"], 2, "Missing argument"),
        (["run", "crawl", "--shard", "3/3"], 2, "--shard 3/3: expected I/N with 0 <= I < N"),
        (["run", "crawl", "--shard", "one"], 2, "expected I/N"),
        (["run", "crawl", "--workers", "-1"], 2, "workers"),
        (["run", "crawl", "--set", "toy_split.x=3"], 2, "--set toy_split.x=3: stages.toy_split.x: unknown setting"),
        (["run", "crawl", "--models", "/no/such/folder"], 2, "MODELS=/no/such/folder is not a folder"),
        (["retry"], 2, "say what to retry: --reason CODE, --all-failed, or --refetch"),
        (["retry", "--reason", "boredom"], 2, "no reason has the code 'boredom'"),
        (["table", "people", "--out", "x.parquet"], 2, "no table is called 'people'; known: types, sources"),
        (["compact", "people"], 2, "no table is called 'people'"),
        (["failed", "--limit", "-1"], 2, "limit"),
        (["nothing"], 2, "No such command"),
    ],
)
def test_misuse_is_told_in_a_line(toy: Toys, arguments: list[str], code: int, words: str) -> None:
    (toy.run / "tables").mkdir(parents=True)  # of a folder that is no run nothing else would be told
    said = toy(*arguments, code=code)
    assert words in said and "Traceback" not in said


@pytest.mark.parametrize("command", ["", *cli.COMMANDS, "models fetch", "models pin", "profile show", "profile list"])
def test_every_command_explains_itself(command: str) -> None:
    found = invoke(*command.split(), "--help")
    assert found.exit_code == 0 and len(found.output.splitlines()) > 3


def test_the_list_of_commands_names_each_once_in_a_line_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    placed = [name for names in cli.SECTIONS.values() for name in names]
    assert sorted(placed) == sorted(cli.COMMANDS), "each has its section"
    lines = invoke("--help").output.splitlines()
    assert max(map(len, lines)) <= 80
    for name, lazy in cli.COMMANDS.items():
        assert lazy.load().name == name
        assert sum(line.split() == [name, *lazy.summary.split()] for line in lines) == 1, "in one line, and not cut"
    assert [line for line in lines if line in {f"{title}:" for title in cli.SECTIONS}] == [
        f"{title}:" for title in cli.SECTIONS
    ]


def test_options_name_their_choices() -> None:
    said = " ".join(invoke("evaluate", "--help").output.split())
    assert (
        "--backend [skeleton|stableanimator|echomimicv2|echomimicv2-acc|mimicmotion|wan-s2v|vace-1.3b|vace-14b]" in said
    )
    assert "--protocol [csg405|pats|ted]" in said and "--method [ours|transfer|folder]" in said
    assert "--seed INTEGER" in said and "[0<=x<2147483648; default: 0]" in said and "--fit true|false" in said
    assert "[of: paired, unpaired;" in said and "--backend-weights TABLE" in said
    wrong = invoke("evaluate", "--backend", "magic")
    assert wrong.exit_code == 2 and "'magic' is not one of 'skeleton', 'stableanimator'" in wrong.output


@pytest.mark.parametrize(("shell", "words"), [("bash", "complete -o nosort"), ("zsh", "compdef"), ("fish", "complete")])
def test_a_shell_is_told_how_to_complete(shell: str, words: str) -> None:
    found = invoke("completion", shell)
    assert found.exit_code == 0 and words in found.output and "_CSG405_COMPLETE" in found.output


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["re"], {"release", "report", "retry"}),
        (["run", "a"], {"annotate", "audio_features", "availability", "attributes"}),
        (["run", "crawl", "cr"], set()),  # it is given already
        (["status", "--profile", "de"], {"demo"}),
        (["status", "--run", "runs/t"], {"runs/toys"}),
        (["status", "--run", "other"], {"other/mine"}),
        (["retry", "--reason", "no_spe"], {"no_speech"}),
        (["table", "pos"], {"pose_measures"}),
        (["generate", "--sampler", "d"], {"ddim", "dpm"}),
    ],
)
def test_a_shell_completes(
    typed: list[str], expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ("runs/toys", "other/mine"):
        (tmp_path / run / "tables").mkdir(parents=True)
    completed = ShellComplete(cli.main, {}, "csg405", "_CSG405_COMPLETE").get_completions(typed[:-1], typed[-1])
    assert {item.value for item in completed} == expected


@pytest.mark.parametrize(
    "typed", [["run", "--input"], ["status", "-m"], ["generate", "--image"], ["run", "crawl", "--profile", "mi"]]
)
def test_a_shell_completes_paths_itself(typed: list[str]) -> None:
    *before, begun = typed if len(typed) == 4 else [*typed, "fi"]
    completed = ShellComplete(cli.main, {}, "csg405", "_CSG405_COMPLETE").get_completions(before, begun)
    assert [item.type for item in completed] == ["file"]


def test_help_loads_no_command() -> None:
    code = "import runpy, sys\nsys.argv = ['csg405', '--help']\ntry: runpy.run_module('pipeline.cli')\nexcept SystemExit: pass\n"
    code += "print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(done.stderr.split())
    assert "opt-out" in done.stdout and "pipeline.cli.main" in loaded
    assert not loaded & {"numpy", "pyarrow", "cv2", "pydantic", "rich", "pipeline.cli.run", "pipeline.cli.session"}


def test_which_profile_it_is_when_none_is_named() -> None:
    assert choose_profile("", "", "") == "demo"
    assert choose_profile("", "videos", "") == "folder"
    assert choose_profile("mine.toml", "videos", "") == "mine.toml"
    with pytest.raises(BadUse, match="use PROFILE=folder"):
        choose_profile("demo", "videos", "")


def test_the_funnel_counts_everything(done: Toys) -> None:
    said = done("status")
    for words in ("toy_crawl", "not_media", "exception", "on disk:", "tables"):
        assert words in said
    states = {s["stage"]: s for s in json.loads(done("status", "--json"))["stages"]}
    crawl = states["toy_crawl"]
    assert (crawl["units"], crawl["ok"], crawl["rejected"], crawl["failed"], crawl["pending"]) == (6, 3, 1, 2, 2)
    assert crawl["reasons"] == {"exception": 1, "network": 1, "not_media": 1}
    assert states["toy_split"]["hours"] == pytest.approx(60 / 3600) and states["toy_export"]["ok"] == 6
    assert states["toy_annotate"]["bytes"] > 0


LOOKING = [
    ["status"],
    ["show", "a"],
    ["failed"],
    ["check"],
    ["availability"],
    ["availability", "--probe"],
    ["retry", "--all-failed"],
    ["table", "videos", "--out", "x.csv"],
    ["compact"],
    ["gc", "--dry-run"],
    ["discard", "raw"],
    ["opt-out", "yt:aaaaaaaaaaa"],
    ["report"],
    ["release"],
]


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_what_looks_at_a_run_begins_none(toy: Toys, command: list[str]) -> None:
    (toy.run.parent / "mine" / "tables").mkdir(parents=True)
    (toy.run.parent / "no run").mkdir()
    said = toy(*command, code=2)
    assert f"Error: {toy.run} is no run; runs that are there" in said and f"\n  {toy.run.parent / 'mine'}\n" in said
    assert "no run\n" not in said.partition("\n")[2] and not toy.run.exists()


@pytest.mark.parametrize("unit", ["file:a", "a", "file:a/0+250", "file:a/0+250#0"])
def test_the_story_of_a_unit(done: Toys, unit: str) -> None:
    said = done("show", unit)
    assert "toy_crawl: ok" in said and "1280" in said and "attempt 1" in said
    if "/" in unit:
        assert "toy_annotate: ok" in said and "jitter" in said and "file:b" not in said


def test_hostile_names_do_not_reach_the_terminal(done: Toys) -> None:
    for said in (done("show", "file:[/red]\x1b[31m"), done("show", "fail-[bold]"), done("failed"), done("status")):
        assert "\x1b[31m" not in said
    assert "[/red]?[31m" in done("show", "file:[/red]\x1b[31m")


def test_failures_are_listed_and_tried_again(done: Toys) -> None:
    said = done("failed")
    assert "raise  exception  x1: ValueError: as asked (toys.py:" in said and "2 failed" in said
    assert "2 failed, 1 shown" in done("failed", "--limit", "1")
    assert "1 units of videos will be tried again" in done("retry", "--reason", "not_media")
    assert "nothing matches" in done("retry", "--reason", "not_media")
    assert "2 units of videos will be tried again" in done("retry", "--all-failed", "--stage", "toy_crawl")
    assert "3 of 6 units" in done("run", "toy_crawl", "--workers", "0", code=3)


def test_tables_as_plain_parquet(done: Toys, tmp_path: Path) -> None:
    out = tmp_path / "persons.parquet"
    assert f"6 rows of persons in {out}" in done("table", "persons", "--out", str(out))
    table = pq.read_table(out)
    assert "commit" not in table.column_names and len(table["keypoints"][0]) == 250
    assert duckdb.sql(f"select count(*), min(len(keypoints)) from '{out}'").fetchall() == [(6, 250)]
    done("table", "videos", "--out", str(tmp_path / "videos.csv"))
    assert (tmp_path / "videos.csv").read_text().splitlines()[0].startswith('"video_id","source"')
    (tmp_path / "in_the_way").write_text("")
    assert "a file stands where a folder should be" in done(
        "table", "videos", "--out", str(tmp_path / "in_the_way" / "x.csv"), code=1
    )


def test_upkeep(done: Toys) -> None:
    done("run", "crawl", "--workers", "0", code=3)
    assert "videos  4 files -> 2" in done("compact", "videos") or "videos" in done("compact")
    listed = done("gc", "--dry-run")
    assert "joined into a newer file" in listed and "could go" in listed
    assert "removed" in done("gc")
    assert "0 files, 0 B could go" in done("gc", "--dry-run")
    assert "nothing to do" in done("run", "annotate")


@pytest.mark.parametrize("command", [["compact"], ["gc"], ["retry", "--all-failed"], ["run", "toy_crawl"]])
def test_a_run_that_is_being_written_is_left_alone(done: Toys, command: list[str]) -> None:
    with driving(done.run, "videos"):
        assert f"process {os.getpid()} on" in done(*command, code=1)


def test_nets(toy: Toys, tmp_path: Path) -> None:
    said = toy("models")
    assert all(name[:10] in said for name in Registry(cache=tmp_path).entries)
    assert "no net is called 'nobody'" in toy("models", "fetch", "nobody", code=1)
    assert "no net is called 'nobody'" in toy("models", "pin", "nobody", code=1)
    assert "is missing: csg405 models fetch" in toy("models", "pin", "rtmw_l", code=1)


def test_a_net_that_has_to_be_pinned_first_does_not_stop_the_next(
    toy: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path / "cache"))
    for name in ("deepface_age", "deepface_gender"):
        file = tmp_path / "cache" / "models" / Registry().entry(name).file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"a net")
    said = toy("models", "fetch", "deepface_age", "deepface_gender", "theatre_detector", code=1)
    assert "csg405 models pin deepface_age" in said and "csg405 models pin deepface_gender" in said
    assert "theatre_detector: " in said


def test_profiles(toy: Toys) -> None:
    assert "demo" in toy("profile", "list") and "folder" in toy("profile", "list")
    assert "[stages.split]" in toy("profile", "show", "demo")
    assert "no profile is called 'demoo'; did you mean 'demo'" in toy("profile", "show", "demoo", code=2)


def test_interruptions_end_with_130(toy: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(console, "run_stage", interrupted)
    assert "the same command goes on" in toy("run", "crawl", code=130)
    monkeypatch.setattr(Store, "outcomes", interrupted)
    (toy.run / "tables" / "videos" / "outcomes").mkdir(parents=True)
    assert "interrupted" in toy("failed", code=130)


def test_a_run_that_holds_nothing_is_not_built_on(toy: Toys) -> None:
    told = toy("run", "toy_split", code=2)
    assert "holds nothing yet that toy_split could read: begin with csg405 run crawl --run " in told


def test_required_stages_stop_and_others_are_skipped(toy: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    toy("run", "crawl", code=3)
    for cls in (toys.ToyCrawl, toys.ToySplit):
        monkeypatch.setattr(cls, "modules", ("no_such_package",))
        monkeypatch.setattr(cls, "extra", "speech")
    how = f"no no_such_package: {install.with_extra('speech')}"
    assert f"toy_crawl: {how} (profile toys requires toy_crawl)" in toy("run", "crawl", code=1)
    assert f"toy_split  skipped, {how}\n" in toy("run", "toy_split")


def test_nothing_to_do_imports_nothing_heavy(tmp_path: Path) -> None:
    """A target with nothing to do must return in under a second; nothing here measures the second."""
    heavy = {"pandas", "av", "cv2", "onnxruntime", "scipy", "torch", "httpx", "pebble", "yt_dlp", "scenedetect", "onnx"}
    code = (
        "import sys; from pipeline.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        f"print(code, *sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    (tmp_path / "videos").mkdir()
    Store(tmp_path / "r").table("videos").append([], [])  # a crawl that found nothing
    run = [
        "run",
        "split",
        "measure_pose",
        "judge",
        "-p",
        "folder",
        "-r",
        str(tmp_path / "r"),
        "-i",
        str(tmp_path / "videos"),
    ]
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, *run], capture_output=True, text=True)
    assert done.stdout.count("nothing to do") == 3, done.stdout + done.stderr
    assert done.stderr.strip() == "0", "imported in vain"


def test_what_is_given_is_not_searched_for(tmp_path: Path) -> None:
    links = tmp_path / "links.txt"
    links.write_text("https://www.youtube.com/watch?v=aaaaaaaaaaa\n")
    searched = Session("csg405", str(tmp_path / "a"), "", "", "", "", ()).profile
    given = Session("csg405", str(tmp_path / "b"), "", str(links), "", "", ()).profile
    assert searched.targets["crawl"] == ["speech_types", "search", "crawl", "split"]
    assert given.targets["crawl"] == ["crawl", "split"]


RELEASED = """[
 {"vid": "aaaaaaaaaaa", "part": 0, "start_time": "00:00:01.000", "end_time": "00:00:08.000", "crop_box": []},
 {"vid": "aaaaaaaaaaa", "part": 0, "start_time": "00:00:09.000", "end_time": "00:00:02.000", "crop_box": []}
]"""


@pytest.fixture
def released(tmp_path: Path) -> str:
    path = tmp_path / "all_with_crop.json"
    path.write_text(RELEASED)
    return str(path)


def test_a_manifest_reaches_every_stage_that_has_one(released: str, tmp_path: Path) -> None:
    found = Session("", str(tmp_path / "r"), "", released, "", "", (), targets=["probe"]).profile
    assert found.name == "rebuild" and found.stage("crawl").input == released
    for name in ("manifest_clips", "probe"):
        assert str(found.stage(name).manifest) == released
    (tmp_path / "links.txt").write_text("yt:aaaaaaaaaaa\n")
    plain = Session("", str(tmp_path / "r"), "", str(tmp_path / "links.txt"), "", "", ()).profile
    assert plain.name == "folder" and plain.stage("split") and "manifest_clips" not in plain.all_stages
    with pytest.raises(BadUse, match="there is no such file"):
        Session("", str(tmp_path / "r"), "", str(tmp_path / "none.json"), "", "", ())
    with pytest.raises(BadUse, match=r"POSES=.*there is no such file"):  # now, not after a week of crawling
        Session("", str(tmp_path / "r"), "", released, str(tmp_path / "none.zip"), "", ())


def test_poses_take_the_place_of_annotate(released: str, tmp_path: Path) -> None:
    (tmp_path / "x.zip").touch()
    found = Session("folder", "", str(tmp_path), "", str(tmp_path / "x.zip"), "", ()).profile
    assert found.targets["annotate"] == ["import_poses"] and "annotate" not in {*found.all_stages, *found.required}
    assert "import_poses" in found.required and str(found.stage("import_poses").archive) == str(tmp_path / "x.zip")
    assert found.expand(["annotate"]) == ["import_poses"]


def test_a_run_remembers_what_it_is_made_from(released: str, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    (tmp_path / "x.zip").write_text("")
    Session("rebuild", run, "", released, str(tmp_path / "x.zip"), "", ()).keep_profile()
    again = Session("rebuild", run, "", "", "", "", (), targets=["availability"]).profile
    assert again.stage("crawl").input == str(again.stage("availability").manifest) == released
    assert again.targets["annotate"] == ["import_poses"]
    named = Session("", run, "", released, "", "", ()).profile
    assert named.targets["annotate"] == ["import_poses"], "the same manifest, and its poses"
    with pytest.raises(
        BadUse, match=r"is a run of profile rebuild, not folder: name another RUN, or .*--reset profile"
    ):
        Session("folder", run, "", "", "", "", ())
    other = Session("folder", run, "", "", "", "", (), reset=["all"]).profile
    assert not other.stage("crawl").input and other.targets["annotate"] == ["annotate"]
    assert Session("train-paper", run, "", "", "", "", (), beside=True).profile.name == "train-paper"
    (tmp_path / "run" / "settings.toml").unlink()
    (tmp_path / "run" / "profile.toml").write_text("= broken")
    with pytest.raises(BadUse, match=r"profile\.toml"):
        Session("rebuild", run, "", "", "", "", ())


def test_a_dry_run_writes_nothing(toy: Toys) -> None:
    said = toy("run", "crawl", "annotate", "filter", "--dry-run")
    assert "toy_crawl  would do 6 of 6 units" in said and "\n                  reject\n" in said
    assert "toy_split  no units yet; they come of toy_crawl" in said
    halves = [toy("run", "toy_crawl", "--dry-run", "--shard", f"{n}/2").count("\n  ") for n in (0, 1)]
    assert sum(halves) == 6 + 2 and all(halves), "each half lists its own units"
    assert "toy_judge  would look at the whole run after toy_annotate, toy_measure" in said
    assert not toy.run.exists() and "\x1b[31m" not in said
    toy("run", "crawl", "--workers", "0", code=3)
    before = sorted((path, path.stat().st_mtime_ns) for path in toy.run.rglob("*"))
    said = toy("run", "crawl", "annotate", "--dry-run")
    assert "toy_crawl  would do 2 of 6 units" in said, "what failed would be tried again"
    assert "toy_split  nothing to do (3 units); more may come of toy_crawl" in said
    assert "toy_annotate  would do 6 of 6 units" in said and "... and 1 more" in said
    assert sorted((path, path.stat().st_mtime_ns) for path in toy.run.rglob("*")) == before


@pytest.mark.parametrize(("count", "shown"), [(200, 200), (201, 50)])
def test_a_dry_run_lists_links(tmp_path: Path, count: int, shown: int) -> None:
    links = tmp_path / "links.txt"
    links.write_text("".join(f"https://youtu.be/{n:011d}\n" for n in range(count)) + "ftp://nowhere\n")
    found = invoke("run", "crawl", "--dry-run", "-m", str(links), "-r", str(tmp_path / "run"))
    assert found.exit_code == 0, found.output
    assert (
        found.output.count("youtube.com/watch?v=") == shown and f"would do {count} of {count + 1} units" in found.output
    )
    assert ("... and 151 more" in found.output) == (shown == 50)
    assert f"line {count + 1}: scheme 'ftp'" in found.output and not (tmp_path / "run").exists()


def test_a_dry_run_of_a_release_names_its_bad_rows(released: str, tmp_path: Path) -> None:
    found = invoke("run", "crawl", "annotate", "filter", "--dry-run", "-m", released, "-r", str(tmp_path / "run"))
    assert found.exit_code == 0, found.output
    assert "https://www.youtube.com/watch?v=aaaaaaaaaaa" in found.output and "1 that cannot be used" in found.output
    assert "yolox_l would be fetched first (217 MB)" in found.output or "annotate  no units yet" in found.output


def test_availability_and_opt_out_by_command(toy: Toys, tmp_path: Path) -> None:
    links = tmp_path / "links.txt"
    links.write_text("yt:aaaaaaaaaaa\nyt:bbbbbbbbbbb\n")
    about = ["-m", str(links), "-r", str(tmp_path / "run")]
    found = invoke("availability", *about)
    assert found.exit_code == 0 and "videos         2: 2 never" in found.output, found.output
    found = invoke("opt-out", "yt:aaaaaaaaaaa", "--list", str(links), *about)
    assert found.exit_code == 0 and "3 entries" in found.output, found.output
    assert (tmp_path / "run" / "opt_out.txt").read_text().count("yt:") == 2
    found = invoke("opt-out", "https://nowhere.example/x", *about)
    assert found.exit_code == 1 and "names no video and no channel" in found.output
    assert "is no run" in invoke("opt-out", "yt:aaaaaaaaaaa", "-r", str(tmp_path / "none"), "-m", str(links)).output


def test_a_stages_settings_are_options_of_its_own_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stages.speech_types", "--profile", "csg405", "--run", str(tmp_path)]
    subprocess.run([*command, "--languages", "es"], check=True, timeout=120)
    assert Store(tmp_path).read("types", ["languages"])["languages"].to_pylist()[0] == ["es"]
    wrong = subprocess.run([*command, "--count", "many"], capture_output=True, text=True, timeout=120)
    assert wrong.returncode == 2 and "speech_types.count" in wrong.stderr


def test_what_a_run_has_one_of_is_given_once() -> None:
    """Click takes the last of several: the others would be left out in silence."""
    ended = CliRunner().invoke(cli.main, ["status", "--manifest", "a", "--manifest", "b"])
    assert ended.exit_code == 2 and "given 2 times, and a run has one: a, b" in " ".join(ended.output.split())


def test_several_folders_may_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "talk.mp4").write_bytes(name.encode())
    given = ["run", "crawl", "--dry-run", "--profile", "folder"]
    found = invoke(*given, "--input", "one", "--input", "two")
    assert found.exit_code == 0 and "would do 2 of 2 units" in found.output, found.output
    assert "one/talk.mp4" in found.output and "two/talk.mp4" in found.output
    wrong = invoke(*given, "--input", "one", "--input", "https://youtu.be/aaaaaaaaaaa")
    assert wrong.exit_code == 2 and "of several inputs each is a folder of videos" in " ".join(wrong.output.split())
