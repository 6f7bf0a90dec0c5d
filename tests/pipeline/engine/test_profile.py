"""Profiles: every mistake is named with file, line and key; what is shown loads back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field, model_validator

from pipeline.engine import profile
from pipeline.engine.annotated import show
from pipeline.engine.profile import ProfileError, load, shipped
from pipeline.engine.settings import runtime
from tests.pipeline.engine import toys


class ToyCut(toys.ToySplit):
    """Every kind of setting."""

    name: ClassVar[str] = "split"
    summary: ClassVar[str] = "cuts\nvideos"

    min_seconds: float = Field(5.0, gt=0, description="shortest # clip")
    max_seconds: float = Field(15.0, gt=0)
    names: tuple[str, ...] = ("a",)
    words: str = 'quoted "x" \\ and\ttab\x7f\x01'
    maybe: int | None = None
    folder: Path = Path("some where")
    by_name: dict[str, float] = {"plain": 1.0, "with space": 2.0}
    fast: bool = Field(True, json_schema_extra=runtime())

    @model_validator(mode="after")
    def _ordered(self) -> "ToyCut":
        if self.min_seconds > self.max_seconds:
            raise ValueError("min_seconds is above max_seconds")
        return self


Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a profile file and returns its path; `split` is the stage above."""

    def settings_class(name: str) -> Any:
        if name == "split":
            return ToyCut
        raise ModuleNotFoundError(name=f"stages.{name}")

    monkeypatch.setattr(profile, "settings_class", settings_class)

    def put(text: str, name: str = "mine.toml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return put


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\n\ntarget = 3", 3, "target: unknown key; did you mean 'targets'?"),
        ("[machine]\n\nworkers = -1", 3, "machine.workers: .*greater than or equal to 0"),
        ("[machine]\nworker = 1", 2, "machine.worker: Extra inputs"),
        ("machine = 3", 1, "machine: "),
        ('\nmachine.device = "tpu"', 2, "machine.device: "),
        (
            "[stages.split]\n# comment\nmin_second = 3",
            3,
            "stages.split.min_second: unknown setting; did you mean 'min_sec",
        ),
        ("[stages.split]\nmin_seconds = 'long'", 2, "stages.split.min_seconds: .*valid number.* not 'long'"),
        ("[ stages . split ]\n min_seconds=-1", 2, "stages.split.min_seconds: .*greater than 0"),
        ('[stages."split"]\n"min_seconds" = 0', 2, "stages.split.min_seconds: "),
        ("\nstages.split.min_seconds = 0", 2, "stages.split.min_seconds: "),
        ("[stages]\nx = 1\nsplit.min_seconds = 0", 2, "stages.x: no such stage"),
        ("\n[stages]\nsplit.min_seconds = 0", 3, "stages.split.min_seconds: "),
        ("\n[stages]\nsplit = { min_seconds = 0 }", 3, "stages.split.min_seconds: "),
        ("[targets]\na = []\n\n[stages.split]\nmax_seconds = nan", 5, "stages.split.max_seconds: "),
        ("[stages.split]\nmin_seconds = 20", 1, "stages.split: .*min_seconds is above max_seconds$"),
        ("\n\n[stages.split_]\nx = 1", 3, "stages.split_: no such stage"),
        ('[stages."../../x"]\n', 1, ".*no such stage"),
        ("stages = 3", 1, "stages: expected tables"),
        ("[stages]\nsplit = 3", 2, "stages.split: expected a table of settings, not 3"),
        ("[[stages.split]]\nx = 1", 1, "stages.split: expected a table"),
        ("[targets]\nfilter = 'judge'", 2, "targets.filter: "),
        ("name = 3", 1, "name: "),
        ("extends = 3", 1, "extends: expected the name of a profile, not 3"),
        ("\nextends = 'foldr'", 2, "extends: no profile is called 'foldr'; did you mean 'folder'"),
        ("\nextends = '../none.toml'", 2, "extends: no profile file"),
        ("extends = '../folder'", 1, "extends: no profile is called"),
    ],
)
def test_mistakes_are_named_with_file_line_and_key(write: Write, text: str, line: int, words: str) -> None:
    path = write(text)
    with pytest.raises(ProfileError, match=f"^{path}:{line}: {words}") as error:
        load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["x = ", "[a", "x = " + "[" * 5000 + "]" * 5000, "a = 1\na = 2", "x = " + "9" * 5000, "x = 1\x00"]
)
def test_what_is_no_toml_is_said_in_words(write: Write, text: str) -> None:
    path = write(text)
    with pytest.raises(ProfileError, match=path):
        load(path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ProfileError, match="not UTF-8: byte 0xff in line 1"):
        load(str(tmp_path / "x.toml"))
    with pytest.raises(ProfileError, match="no profile file"):
        load(str(tmp_path / "y.toml"))
    with pytest.raises(ProfileError, match=r"no profile is called"):
        load("../x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a" + ".a" * 200_000 + " = 1", "nested too deeply"),
        ("x = {a" + ".a" * 200_000 + " = 1}", "nested too deeply"),
        ("[stages.split" + ".a" * 200_000 + "]", "nested too deeply"),
        ("x = " + "[" * 200_000, "nested too deeply"),
        ("x = " + "[" * 40 + "]" * 40, "x holds over 32 tables and lists in each other"),
        ("x = " + "{a = " * 40 + "1" + "}" * 40, "nested too deeply"),
        ("[stages.split]\nwords = 'a\\u0000'".replace("'", '"'), "stages.split.words holds a NUL character"),
        ('[stages.split]\nnames = ["a", "\\u0000"]', "stages.split.names holds a NUL character"),
        ("# " + "x" * (1 << 20), "over 1,048,576 bytes"),
    ],
)
def test_hostile_profiles_are_refused_in_a_line(tmp_path: Path, text: str, words: str) -> None:
    """In linear time: tomllib alone takes minutes, and all memory, for the first three."""
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ProfileError, match=words) as caught:
        load(str(tmp_path / "x.toml"))
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_a_setting_that_holds_nul_is_no_text(write: Write) -> None:
    with pytest.raises(ProfileError, match="value holds a NUL character"):
        load(write("name='x'"), ['split.words="a\\u0000"'])


def test_children_add_to_their_parents(write: Write) -> None:
    write("name='base'\n[stages.split]\nmin_seconds=2\nmax_seconds=9\n[targets]\na=['split']\nb=[]", "base.toml")
    write("extends='base.toml'\n[machine]\nworkers=3\n[stages.split]\nmin_seconds=3", "middle.toml")
    found = load(write("extends='./middle.toml'\n[targets]\nb=['split']"), ["split.max_seconds=4", "machine.workers=1"])
    assert found.stages["split"] == {"min_seconds": 3, "max_seconds": 4} and found.machine.workers == 1
    assert found.targets == {"a": ["split"], "b": ["split"]}
    assert found.name == "mine", "its runs are not its parent's"
    assert found.expand(["b", "split", "a"]) == ["split"]
    with pytest.raises(ProfileError, match="'c' is no target or stage of profile mine"):
        found.expand(["c"])


def test_what_is_right_apart_may_be_wrong_together(write: Write) -> None:
    write("[stages.split]\nmax_seconds=6", "base.toml")
    with pytest.raises(ProfileError, match="min_seconds is above max_seconds"):
        load(write("extends='base.toml'\n[stages.split]\nmin_seconds=8"))
    with pytest.raises(ProfileError, match=r"--set split.min_seconds=7: .*min_seconds is above"):
        load(write("extends='base.toml'"), ["split.min_seconds=7"])


@pytest.mark.parametrize("loop", ["mine.toml", "./mine.toml", "{folder}/mine.toml", "other.toml"])
def test_loops_end(write: Write, tmp_path: Path, loop: str) -> None:
    write("extends='mine.toml'", "other.toml")
    with pytest.raises(ProfileError, match="extends itself"):
        load(write(f"extends='{loop.format(folder='../' + tmp_path.name)}'"))


@pytest.mark.parametrize("key", ["targets.a", "required"])
def test_stages_that_targets_name_must_be_there(write: Write, key: str) -> None:
    with pytest.raises(ProfileError, match="targets name 'no_such', which does not exist"):
        load(write(f"{key} = ['no_such']"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("split.min_seconds=3", 3.0),
        ("stages.split.min_seconds = 3.5", 3.5),
        ("split.words=plain words", "plain words"),
        ('split.words="quoted"', "quoted"),
        ("split.words=a = b", "a = b"),
        ("split.words=", ""),
        ("split.names=['x', 'y']", ("x", "y")),
        ("split.maybe=7", 7),
        ("split.fast=false", False),
        ("split.folder=/a b/c", Path("/a b/c")),
    ],
)
def test_single_settings(write: Write, text: str, value: object) -> None:
    found = load(write("[targets]\na=['split']"), [text]).stage("split")
    assert getattr(found, text.partition("=")[0].strip().rpartition(".")[2]) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("split", "expected key=value"),
        ("split.=3", "expected key=value"),
        ("=3", "expected key=value"),
        ("split=3", "expected STAGE.SETTING=value"),
        ("a.b.c.d=3", "expected STAGE.SETTING=value"),
        ("split.min_secnds=3", "unknown setting; did you mean 'min_seconds'"),
        ("split.min_seconds=no", "valid number"),
        ("none.x=3", "no such stage"),
        ("machine.workers=many", "valid integer"),
        ("machine.colour=red", "Extra inputs"),
    ],
)
def test_bad_single_settings(write: Write, text: str, words: str) -> None:
    with pytest.raises(ProfileError, match=f"^--set {text}: .*{words}"):
        load(write(""), [text])


def test_what_is_shown_loads_back(write: Write, tmp_path: Path) -> None:
    text = """
        name = 'ours "1"'
        description = 'a\\b'
        required = ["split"]
        [targets]
        "with space" = ["split"]
        none = []
        [machine]
        workers = 2
        [stages.split]
        min_seconds = 1e-7
        max_seconds = 1e300
        words = "äöü 🦜 \\u0001 \\n \\u007f"
        names = []
        maybe = 3
        [stages.split.by_name]
        "a.b" = 1
        """
    first = load(write(text))
    shown = show(first)
    second = load(write(shown, "shown.toml"))
    assert second.stage("split") == first.stage("split")
    assert second.model_copy(update={"stages": {}}) == first.model_copy(update={"stages": {}})
    assert show(second) == shown
    assert "\nmin_seconds = 1e-07  # shortest # clip; default 5.0\n" in shown, "a comment stands beside its setting"
    assert "\n\n[stages.split]  # cuts videos\n" in shown and "never changes results" in shown


def test_a_setting_that_is_not_set_is_a_comment(write: Write) -> None:
    assert "\n# maybe is not set\n" in show(load(write("[stages.split]\nmin_seconds=2")))


def test_settings_of_a_stage_that_no_target_names_are_shown(write: Write) -> None:
    assert "min_seconds = 2.0" in show(load(write("[stages.split]\nmin_seconds=2")))


@pytest.mark.parametrize("name", shipped())
def test_shipped_profiles_show_what_loads_back(name: str, tmp_path: Path) -> None:
    first = load(name)
    path = tmp_path / f"{name}.toml"
    path.write_text(show(first), encoding="utf-8")
    second = load(str(path))
    assert show(second) == show(first)
    assert [second.stage(s) for s in second.all_stages] == [first.stage(s) for s in first.all_stages]
    assert {"crawl", "annotate", "filter"} <= set(first.targets)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../../x",
        "/tmp/x",
        "a/b",
        "a\\\\b",
        ".hidden",
        "-o",
        " a",
        "a.",
        "a\\u0000b",
        "a\\nb",
        "a\\u202eb",
        "x" * 101,
    ],
)
def test_a_name_is_that_of_a_folder(name: str, write: Write) -> None:
    """Its runs lie in `runs/<name>`."""
    with pytest.raises(ProfileError, match=r"mine.toml.* name:? .*(name of a folder|NUL character)") as refused:
        load(write(f'\nname = "{name}"\n'))
    assert "\n" not in str(refused.value) and "Value error" not in str(refused.value)


@pytest.mark.parametrize("name", ["mine", "405 takes, v2.1", "演讲", "x" * 100])
def test_names_that_are(name: str, write: Write) -> None:
    assert load(write(f'name = "{name}"\n')).name == name


def test_a_file_that_names_nothing_is_called_as_it_is(write: Write) -> None:
    assert load(write("", "ours v2.toml")).name == "ours v2"
    with pytest.raises(ProfileError, match="name of a folder"):
        load(write("", ".toml"))
