"""The examples in `docker/`: what they call exists, and what they submit is what their readers would."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import yaml
from click.testing import CliRunner

from pipeline.cli import main as cli
from pipeline.engine.devices import shard_of

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"


def test_the_service_calls_what_there_is() -> None:
    service = (DOCKER / "csg405.service").read_text()
    [line] = re.findall(r"^ExecStart=%h/csg405/.venv/bin/csg405 (.+)$", service, re.MULTILINE)
    found = CliRunner().invoke(cli.main, [*shlex.split(line.replace("%h", "/nowhere")), "--dry-run"])
    assert found.exit_code == 2 and "/nowhere/links.txt" in found.output, found.output  # the list alone is missing


def _job(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Job's spec and that of its container, which mounts what there is."""
    job: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text())
    [container] = job["spec"]["template"]["spec"]["containers"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in job["spec"]["template"]["spec"]["volumes"]}
    return job["spec"], container


def test_the_indexed_job_has_a_pod_for_every_shard() -> None:
    spec, container = _job("job-indexed.yaml")
    plain, _ = _job("job.yaml")
    assert plain["template"]["spec"]["volumes"] == spec["template"]["spec"]["volumes"]
    assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"] == 4
    [line] = container["args"]
    words = shlex.split(line.replace("$JOB_COMPLETION_INDEX", "3"))
    assert words[:2] == ["exec", ".venv/bin/csg405"]
    parsed = cli.main.get_command(click.Context(cli.main), "run").make_context("run", words[3:])
    assert shard_of(parsed.params["shard"]) == (3, spec["completions"]) and parsed.params["run_folder"] == "/runs/talks"


def test_the_job_calls_targets_that_there_are() -> None:
    dry = ["make", "-n", "VENV=/nowhere", *_job("job.yaml")[1]["args"]]
    done = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "run crawl annotate filter --funnel" in done.stdout and "--input '/videos'" in done.stdout


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
