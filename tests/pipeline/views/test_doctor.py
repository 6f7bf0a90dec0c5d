"""The doctor: what it finds on machines that lack something, and that it shows no key."""

import importlib.machinery
import json
import os
import sys
import types
from collections import namedtuple
from collections.abc import Iterable
from datetime import date
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import filelock
import pytest
from click.testing import CliRunner

from pipeline.base import install
from pipeline.cli import main as cli
from pipeline.engine.profile import Profile, load
from pipeline.registry.models import Registry
from pipeline.views.doctor import (
    MISSING,
    OK,
    WARN,
    Finding,
    accelerators,
    examine,
    nets,
    packages,
    place,
    programs,
    web,
)

Usage = namedtuple("Usage", "total used free")
DEMO = load("demo")


def status_of(found: Iterable[Finding], subject: str, words: str = "") -> str:
    """The status of the one finding about a subject that holds these words."""
    (one,) = [each for each in found if each.subject == subject and words in f"{each.found} {each.advice}"]
    return one.status


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch) -> Profile:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HF_TOKEN", "CSG405_PO_TOKEN", "CSG405_PROXY", "CSG405_FFMPEG"):
        monkeypatch.delenv(name, raising=False)
    return DEMO


def test_the_command_ends_with_1_where_something_is_missing(
    tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path))
    monkeypatch.setenv("CSG405_FFMPEG", str(tmp_path / "none"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-shown")
    for name in ("CSG405_PROFILE", "CSG405_MODELS"):
        monkeypatch.delenv(name, raising=False)
    found = CliRunner().invoke(cli.main, ["doctor", "--run", str(tmp_path / "run"), "--json"])
    told = json.loads(found.output)
    assert found.exit_code == 1 and told["missing"] >= 1 and told["profile"] == "demo"
    assert {
        "python",
        "ffmpeg",
        "gpu",
        "onnxruntime",
        "torch",
        "nets",
        "keys",
        "yt-dlp",
        "disk",
        "file system",
        "clock",
    } <= {one["subject"] for one in told["findings"]}
    (ffmpeg,) = [one for one in told["findings"] if one["subject"] == "ffmpeg"]
    assert ffmpeg["status"] == "missing" and "unset CSG405_FFMPEG" in ffmpeg["advice"]
    assert "OPENAI_API_KEY" in found.output and "never-shown" not in found.output
    assert not (tmp_path / "run").exists() and not list(tmp_path.glob(".writing-*")), "it leaves nothing behind"


def test_lines_fit_80_columns(tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Finding(WARN, "nets", "many words " * 20, "do this " * 20)
    monkeypatch.setattr("pipeline.cli.doctor.examine", lambda *_: [one])
    found = CliRunner().invoke(cli.main, ["doctor", "--profile", "demo", "--run", str(tmp_path)])
    assert found.exit_code == 0 and max(map(len, found.output.splitlines())) <= 80
    assert "0 ok, 1 warn, 0 missing" in found.output


def test_a_check_that_breaks_does_not_stop_the_others(
    tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("half of it is not there")

    monkeypatch.setattr(accelerators, "torch", broken)
    monkeypatch.setattr(accelerators, "_cards", broken)
    found = list(examine(profile, tmp_path, Registry(cache=tmp_path)))
    assert status_of(found, "torch", "half of it is not there") == status_of(found, "gpu", "half of it") == MISSING
    assert status_of(found, "clock") == OK


def test_an_ffmpeg_without_the_encoders(tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.status for one in programs.ffmpeg()] == [OK, OK]
    fake = tmp_path / "ffmpeg"
    fake.write_text(
        "#!/bin/sh\necho 'ffmpeg version 7.0 Copyright'\necho ' V....D mpeg4  MPEG-4'\necho ' A....D aac  AAC'\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("CSG405_FFMPEG", str(fake))
    one = next(iter(programs.ffmpeg()))
    assert one.status == MISSING and "7.0, of CSG405_FFMPEG has no encoder libx264:" in one.found


def test_two_runtimes_on_top_of_each_other(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    assert status_of(accelerators.onnxruntime(profile), "onnxruntime", "runs on cpu") == OK
    hollow = types.ModuleType("onnxruntime")  # what is left once one of two was taken away
    hollow.__spec__ = importlib.machinery.ModuleSpec("onnxruntime", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", hollow)
    assert status_of(accelerators.onnxruntime(profile), "onnxruntime", "is broken") == MISSING
    monkeypatch.setattr(accelerators, "_version", lambda name: "1.31")
    assert status_of(accelerators.onnxruntime(profile), "onnxruntime", "on top of each other") == MISSING


def test_a_gpu_that_is_wanted_and_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = load("demo", ["machine.device=cuda"])
    monkeypatch.setattr(accelerators, "_cards", list)
    assert status_of(accelerators.gpu(wanted), "gpu", "machine.device = cuda") == MISSING
    if not Path("/proc/driver/nvidia/version").exists():
        assert status_of(accelerators.onnxruntime(wanted), "onnxruntime", "does not run on cuda") == MISSING
    monkeypatch.setattr(accelerators, "_cards", lambda: ["H200, 143771 MiB, 580"])
    assert status_of(accelerators.gpu(wanted), "gpu", "H200, 143771 MiB, 580") == OK


def test_cards_as_nvidia_smi_lists_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for script, cards in (
        ("echo 'NVIDIA H200, 143771 MiB, 580.95'; echo", ["NVIDIA H200, 143771 MiB, 580.95"]),
        ("exit 9", []),
    ):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        assert accelerators._cards() == cards


def test_nets_that_are_not_here_or_are_not_what_they_should_be(tmp_path: Path) -> None:
    folder = load("folder")
    found = list(nets.nets(folder, Registry(cache=tmp_path, download=False)))
    assert status_of(found, "nets", "csg405 models fetch yolox_l dwpose_l") == WARN
    assert status_of(found, "nets", "csg405 models pin NAME") == WARN and not [f for f in found if f.status == MISSING]
    (tmp_path / "yolox_l.onnx").write_bytes(b"another one")
    found = list(nets.nets(folder, Registry(cache=tmp_path, download=False)))
    assert status_of(found, "nets", "is not yolox_l: sha256") == MISSING
    (tmp_path / "yolox_nano_416.onnx").write_bytes(b"")
    given = load("folder", ['annotate.detector=["yolox_nano"]'])
    (tmp_path / "yolox_nano_416.onnx").unlink()
    found = list(nets.nets(given, Registry(cache=tmp_path, download=False)))
    required = "annotate" in given.required
    assert status_of(found, "nets", "yolox_nano is not here") == (MISSING if required else WARN), "nobody can fetch it"


def test_keys_are_named_and_never_shown(profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = load("csg405", ["speech_types.source=openai"])
    registry = Registry(cache=tmp_path)
    assert status_of(web.keys(asking, registry), "keys", "speech_types.source = openai") == MISSING
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-shown")
    (one,) = web.keys(asking, registry)
    assert "set: OPENAI_API_KEY; not set:" in one.found and "HF_TOKEN" in one.found and "never-shown" not in str(one)


@pytest.mark.parametrize(
    ("found", "days"),
    [("2026.10.26", 34), ("2026.11.29.232701", 0), ("2026.1.2", 331), ("9.9", None), ("2026.13.1", None)],
)
def test_the_age_of_yt_dlp(found: str, days: int | None) -> None:
    assert web.age_days(found, date(2026, 11, 29)) == days


def test_an_old_yt_dlp(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "version", lambda name: "2020.01.01")
    assert status_of(web.downloader(profile), "yt-dlp", "pip install -U") == WARN

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(web, "version", absent)
    assert status_of(web.downloader(profile), "yt-dlp") == MISSING, "the demo's crawl fetches from a server of its own"


def test_who_works_on_folders_needs_no_yt_dlp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(web, "version", absent)
    for kind, links in (("folder", False), ("folder", True), ("csg405", True)):
        (tmp_path / "links.txt").write_text("https://example.org/a\n")
        given = [f"crawl.input={tmp_path / 'links.txt' if links else tmp_path}"] if kind == "folder" else []
        (found,) = web.downloader(load(kind, given))
        assert found.status == (MISSING if links else OK), found
        assert install.with_extra("web") in found.advice and ("links cannot be fetched" in found.found) is not links


def test_packages_against_what_is_asked_for_and_what_was_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    real = packages.version
    monkeypatch.setattr(packages, "version", lambda name: "1.0" if name == "click" else real(name))
    found = list(packages.versions())
    assert status_of(found, "packages", "click 1.0, not <8.3,>=8.1") == MISSING
    assert status_of(found, "pins", "click 1.0, not 8.2.1") == WARN


def test_a_stage_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "importable", lambda name: False)
    found = list(packages.extras(load("folder")))
    assert status_of(found, "extras", "audio_features needs torch, transformers, safetensors") == WARN


def test_room_on_the_disk(profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.shutil, "disk_usage", lambda _: Usage(100 * place.GIGA, 0, 3 * place.GIGA))
    found = list(place.room(profile, tmp_path / "not" / "yet", tmp_path))
    assert [one.status for one in found] == [WARN, OK] and f"free at {tmp_path}" in found[0].found


@pytest.mark.parametrize(("kind", "status"), [("ext4", OK), ("nfs4", WARN), ("tmpfs", WARN), ("fuse.sshfs", WARN)])
def test_kinds_of_file_systems(tmp_path: Path, kind: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Mount = namedtuple("Mount", "mountpoint fstype")
    mounts = [Mount("/", "overlay"), Mount(str(tmp_path.parent), kind), Mount("/elsewhere/entirely", "xfs")]
    monkeypatch.setattr(place.psutil, "disk_partitions", lambda all: mounts)
    assert status_of(place.file_system(tmp_path / "run"), "file system", f"{kind} at {tmp_path}") == status


def test_a_file_system_on_which_locks_hold_nobody_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Open:
        def __init__(self, *_: Any, **__: Any) -> None: ...
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...
        def acquire(self) -> None: ...
        def release(self) -> None: ...

    monkeypatch.setattr(filelock, "FileLock", Open)
    assert status_of(place.file_system(tmp_path), "file system", "a lock failed") == MISSING


def test_a_clock_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert status_of(place.clock(tmp_path), "clock") == OK
    real = os.stat
    monkeypatch.setattr(place.time, "time", lambda: real(tmp_path).st_mtime - 3600)
    assert status_of(place.clock(tmp_path), "clock", "3600") == WARN
    monkeypatch.setattr(place, "_FIRST_YEAR", 2030)
    assert status_of(place.clock(tmp_path), "clock", "certificates") == MISSING
