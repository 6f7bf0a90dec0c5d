"""`docker/slurm.sh` as it stands, on a stand-in for a cluster: what is submitted, and what comes of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.tables.store import Store
from tests.compare_runs import differences
from tests.pipeline.engine import toy_cli
from tests.pipeline.engine.runs import chain, go_all

ROOT = Path(__file__).parents[1]
UNITS = tuple(f"u{number}" for number in range(8))
ORDER = ["toy_crawl", "toy_split", "toy_annotate", "toy_judge", "toy_export", "join"]


class Cluster:
    """A folder from which toys are submitted in parts."""

    def __init__(self, folder: Path, command: str = "", units: tuple[str, ...] = UNITS) -> None:
        self.folder, self.run = folder, folder / "a run's"
        for name in ("sbatch", "scontrol"):
            program = folder / "bin" / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.sbatch {name} "$@"\n')
            program.chmod(0o755)
        crawl = f"[stages.toy_crawl]\nunits = {list(units)}\npause_seconds = 0.05\n"
        (folder / "my toys.toml").write_text(f"{toy_cli.PROFILE}\n{crawl}")
        self.environment = {
            **os.environ,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "CLUSTER": str(folder),
            "CSG405_CACHE": str(folder / "cache"),
            "CSG405": command or f"{sys.executable} -m tests.pipeline.engine.toy_cli",
        }

    def submit(self, parts: str, *, code: int = 0, **more: str) -> str:
        options = ["--profile", str(self.folder / "my toys.toml"), "--run", str(self.run)]
        done = subprocess.run(
            ["sh", str(ROOT / "docker" / "slurm.sh"), parts, *options],
            env={**self.environment, **more},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr + self.said()
        return done.stdout + done.stderr

    def trouble(self, job: str, task: int, once: str, signal: str) -> None:
        """Plan a signal for a task, once a file of the run is there."""
        planned = {"job": f"csg405-{job}", "task": task, "once": str(self.run / once), "signal": signal}
        (self.folder / "trouble.json").write_text(json.dumps(planned))

    def jobs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "jobs.jsonl").read_text().splitlines()]

    def states(self, last: int) -> dict[str, str]:
        return {job["name"].removeprefix("csg405-"): job["state"] for job in self.jobs()[-last:]}

    def said(self) -> str:
        return "\n".join(f"{path.name}: {path.read_text()}" for path in sorted(self.folder.glob("*.out")))


PHASES = """#!/bin/sh
case "$*" in
*--phases*) printf 'whole types\\ndivided stage:one two\\nwhole judge\\n' ;;
*) printf '%s|' "$@" >>calls; echo >>calls; exit ${CODE:-0} ;;
esac
"""


@pytest.fixture
def plain(tmp_path: Path) -> Cluster:
    """A cluster on which csg405 only notes how it is called."""
    (tmp_path / "csg405").write_text(PHASES)
    (tmp_path / "csg405").chmod(0o755)
    return Cluster(tmp_path, "./csg405")


def test_each_phase_is_a_job_after_the_one_before(plain: Cluster) -> None:
    said = plain.submit("3", CODE="3")  # units that failed stop nothing before the end
    assert said == "submitted in 3 parts: 1 (types), 2 (stage:one two), 3 (judge), and 4, which joins them\n"
    jobs = plain.jobs()
    assert [job["name"] for job in jobs] == ["csg405-types", "csg405-one", "csg405-judge", "csg405-join"]
    assert [job["array"] for job in jobs] == ["", "0-2", "", ""]
    assert [job["after"] for job in jobs] == ["", "afterok:1", "afterok:2", "afterok:3"]
    assert {job["signal"] for job in jobs} == {"B:USR1@180"}
    about = f"--profile|{plain.folder / 'my toys.toml'}|--run|{plain.run}|"
    calls = (plain.folder / "calls").read_text().splitlines()
    assert calls[0] == f"run|types|--shard|0/1|--wait|2|{about}" and calls[4] == calls[0].replace("types", "judge")
    assert sorted(calls[1:4]) == [f"run|stage:one|two|--shard|{i}/3|--wait|2|{about}" for i in range(3)]
    assert calls[5:] == [f"compact|{about}"], "compact that fails stops the join"
    assert [job["state"] for job in jobs] == ["COMPLETED"] * 3 + ["FAILED"]


@pytest.mark.parametrize("code", ["1", "2", "4", "137"])
def test_what_fails_cancels_what_waits_for_it(plain: Cluster, code: str) -> None:
    plain.submit("2", CODE=code)
    assert [job["state"] for job in plain.jobs()] == ["FAILED", "CANCELLED", "CANCELLED", "CANCELLED"]


@pytest.mark.parametrize("parts", ["0", "", "--input", "3x", "-1"])
def test_a_call_without_a_number_of_parts_submits_nothing(plain: Cluster, parts: str) -> None:
    assert "usage: sh docker/slurm.sh PARTS" in plain.submit(parts, code=2)
    assert not (plain.folder / "jobs.jsonl").exists()


STOPPED = """#!/bin/sh
case "$*" in
*--phases*) echo 'divided one'; exit ;;
*--shard*) ;;
*) exit ;;
esac
trap "echo interrupted; exit ${ENDS:-130}" TERM
touch "$CLUSTER/begun-$SLURM_ARRAY_TASK_ID"
test "${SLURM_RESTART_COUNT:-0}" -ge "${LONG:-1}" && exit 0
while :; do sleep 0.05; done
"""


@pytest.fixture
def stopped(tmp_path: Path) -> Cluster:
    """A cluster on which csg405 goes on until it is interrupted, the first time."""
    (tmp_path / "csg405").write_text(STOPPED)
    (tmp_path / "csg405").chmod(0o755)
    cluster = Cluster(tmp_path, "./csg405")
    cluster.trouble("one", 0, f"{tmp_path}/begun-0", "USR1")
    return cluster


@pytest.mark.parametrize("ends", ["130", "143"], ids=["interrupted", "before it could be"])
def test_a_job_that_is_near_its_time_limit_is_queued_again(stopped: Cluster, ends: str) -> None:
    stopped.submit("1", ENDS=ends)
    assert [job["state"] for job in stopped.jobs()] == ["COMPLETED"] * 2
    assert "interrupted" in (stopped.folder / "1_0.out").read_text()


def test_a_cancelled_job_stops_and_is_not_queued_again(stopped: Cluster) -> None:
    stopped.trouble("one", 0, f"{stopped.folder}/begun-0", "TERM")
    stopped.submit("1")
    assert [job["codes"] for job in stopped.jobs()] == [[130], []]
    assert "interrupted" in (stopped.folder / "1_0.out").read_text()


def test_a_job_that_never_gets_done_is_given_up(stopped: Cluster) -> None:
    stopped.submit("1", RESTARTS="0")
    assert [job["state"] for job in stopped.jobs()] == ["FAILED", "CANCELLED"]
    assert "stopped before its time limit 0 times: give it more time" in (stopped.folder / "1_0.out").read_text()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one machine."""
    run = tmp_path_factory.mktemp("one") / "run"
    go_all(run, chain(UNITS))
    return run


def equal(run: Path, one: Path) -> bool:
    assert set(differences(one, run).values()) == {""}, differences(one, run)
    assert Store(run).outcomes("verdicts")["attempt"].to_pylist() == [1], "judged once, when all was there"
    return (run / "index.txt").read_text() == (one / "index.txt").read_text()


@pytest.mark.slow
def test_two_shards_one_killed_then_one_near_its_limit_come_to_what_one_comes_to(tmp_path: Path, one: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.trouble("toy_crawl", 1, "locks/videos.1-of-2.heartbeat.json", "KILL")
    cluster.submit("2")
    assert cluster.states(6) == dict.fromkeys(ORDER, "CANCELLED") | {"toy_crawl": "FAILED"}
    assert not (cluster.run / "tables" / "clips").exists(), "nothing was built on half"
    (cluster.run / "locks/videos.1-of-2.heartbeat.json").unlink()
    cluster.trouble("toy_crawl", 1, "locks/videos.1-of-2.heartbeat.json", "USR1")
    cluster.submit("2")
    assert cluster.states(6) == dict.fromkeys(ORDER, "COMPLETED"), cluster.said()
    assert "interrupted; what was" in (tmp_path / "7_1.out").read_text()
    assert equal(cluster.run, one)


@pytest.mark.slow
def test_four_shards_side_by_side_come_to_what_one_comes_to(tmp_path: Path, one: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.submit("4")
    assert cluster.states(6) == dict.fromkeys(ORDER, "COMPLETED"), cluster.said()
    assert equal(cluster.run, one)
