"""The examples in `docker/`: what they call exists, and what they submit is what their readers would."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline.cli import main as cli

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
SBATCH = """#!/bin/sh
for word; do printf '%s\\0' "$word" >>"$CALLS"; done
printf '\\n' >>"$CALLS"
wc -l <"$CALLS"
"""


@pytest.fixture
def submitted(tmp_path: Path) -> list[list[str]]:
    """The words of each sbatch call of `slurm.sh` for a folder whose name needs quotes."""
    (tmp_path / "sbatch").write_text(SBATCH)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("sbatch", ".venv/bin/csg405"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o755)
    there = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    options = ["--input", "it's /my $videos", "--run", "runs/talks"]
    command = ["sh", str(DOCKER / "slurm.sh"), "8", *options]
    done = subprocess.run(command, cwd=tmp_path, env=there, capture_output=True, text=True, check=True)
    assert done.stdout == "submitted: crawl 1, annotate 2 in 8 parts, filter 3\n"
    return [line.split("\0")[:-1] for line in (tmp_path / "calls").read_text().splitlines()]


def wrapped(call: list[str]) -> list[str]:
    """What a job runs, as the shell would split it."""
    return shlex.split(call[call.index("--wrap") + 1].replace("$SLURM_ARRAY_TASK_ID", "5"))


def test_slurm_annotates_in_parts_between_crawl_and_filter(submitted: list[list[str]]) -> None:
    crawl, annotate, filtered = submitted
    assert {"--dependency=afterok:1", "--array=0-7"} <= set(annotate) and "--dependency=afterok:2" in filtered
    assert not [word for word in crawl if word.startswith("--dependency")]
    options = ["--input", "it's /my $videos", "--run", "runs/talks", "||", "test", "$?", "-eq", "3"]
    run = ["srun", ".venv/bin/csg405", "run"]
    assert wrapped(crawl) == [*run, "crawl", *options] and wrapped(filtered) == [*run, "filter", *options]
    assert wrapped(annotate) == [*run, "annotate", "--shard", "5/8", *options]


def test_the_service_calls_what_there_is() -> None:
    service = (DOCKER / "csg405.service").read_text()
    [line] = re.findall(r"^ExecStart=%h/csg405/.venv/bin/csg405 (.+)$", service, re.MULTILINE)
    found = CliRunner().invoke(cli.main, [*shlex.split(line.replace("%h", "/nowhere")), "--dry-run"])
    assert found.exit_code == 2 and "/nowhere/links.txt" in found.output, found.output  # the list alone is missing


def _arguments() -> list[str]:
    job: dict[str, Any] = yaml.safe_load((DOCKER / "job.yaml").read_text())
    [container] = job["spec"]["template"]["spec"]["containers"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in job["spec"]["template"]["spec"]["volumes"]}
    return list(container["args"])


def test_the_job_calls_targets_that_there_are() -> None:
    dry = ["make", "-n", "VENV=/nowhere", *_arguments()]
    done = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "run filter --funnel" in done.stdout and "--input '/videos'" in done.stdout


def test_compose_mounts_what_the_image_declares() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    image = (DOCKER / "Dockerfile").read_text()
    targets = [volume.split(":")[1] for volume in services["csg405"]["volumes"] if not volume.startswith("$")]
    assert f"VOLUME {str(targets).replace(chr(39), chr(34))}" in image
    assert set(services["csg405"]["build"]["args"]) <= set(re.findall(r"^ARG (\w+)", image, re.MULTILINE))


def test_the_image_has_what_set_up_needs_before_the_code() -> None:
    image = (DOCKER / "Dockerfile").read_text()
    before = image[: image.index("make setup")]
    makefile = (ROOT / "Makefile").read_text()
    [needs] = re.findall(r"^\$\(READY\): (.+)$", makefile, re.MULTILINE)
    assert all(name in before for name in (*needs.split(), "Makefile", "LICENSE", "README.md"))
