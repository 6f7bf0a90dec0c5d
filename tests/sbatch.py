"""A stand-in for a Slurm cluster, for tests of `docker/slurm.sh`: as `sbatch` it runs a job at once and returns when it has ended.

A job begins when the one that it depends on completed, else it is cancelled; the tasks of an array run side by side. As
`scontrol requeue` it has a task run again. `$CLUSTER` is its folder: a line a job in `jobs.jsonl`, outputs beside it, and
`trouble.json`: {"job": name, "task": number, "once": path that has to be there, "signal": what the task gets then, the first time}.
KILL ends the task and all that it started, as a node's end does; others go to its shell alone, as `--signal=B:USR1@180` says.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CLUSTER = Path(os.environ.get("CLUSTER", "."))
PATIENCE_SECONDS = 120.0


def jobs() -> list[dict[str, Any]]:
    """All jobs so far, as they ended."""
    path = CLUSTER / "jobs.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def sbatch(words: list[str]) -> int:
    """Submit a job, and do it."""
    parser = argparse.ArgumentParser()
    for name in ("parsable", "requeue"):
        parser.add_argument(f"--{name}", action="store_true")
    for name in ("job-name", "signal", "dependency", "array", "open-mode", "kill-on-invalid-dep"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("script")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    script = next(word for word in words if not word.startswith("-"))
    lines = Path(script).read_text().splitlines()
    inside = [word for line in lines if line.startswith("#SBATCH ") for word in line.split()[1:]]
    job = parser.parse_args([*inside, *words])
    assert job.parsable and job.requeue and job.open_mode == "append" and job.kill_on_invalid_dep == "yes"
    number = len(jobs()) + 1
    about = {"id": number, "name": job.job_name, "array": job.array, "after": job.dependency, "words": job.words}
    about |= {"signal": job.signal, "state": "CANCELLED", "codes": []}
    if _may_begin(job.dependency):
        tasks = range(int(job.array.partition("-")[2]) + 1) if job.array else [None]
        with ThreadPoolExecutor(len(tasks)) as pool:
            codes = list(pool.map(lambda task: _run(job, number, task), tasks))
        about |= {"codes": codes, "state": "FAILED" if any(codes) else "COMPLETED"}
    with (CLUSTER / "jobs.jsonl").open("a") as opened:
        opened.write(f"{json.dumps(about)}\n")
    print(number)
    return 0


def _may_begin(dependency: str) -> bool:
    kind, _, number = dependency.partition(":")
    assert kind in ("", "afterok")
    return not kind or next(one for one in jobs() if one["id"] == int(number))["state"] == "COMPLETED"


def _run(job: argparse.Namespace, number: int, task: int | None) -> int:
    name = f"{number}" if task is None else f"{number}_{task}"
    count = 0
    while True:
        about = {"SLURM_JOB_ID": name, "SLURM_RESTART_COUNT": str(count)}
        if task is not None:
            about |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(task)}
        with (CLUSTER / f"{name}.out").open("a") as out:
            command = ["sh", job.script, *job.words]
            process = subprocess.Popen(
                command, env={**os.environ, **about}, stdout=out, stderr=out, start_new_session=True
            )
            if not count:
                _trouble(job.job_name, task, process)
            code = process.wait()
        if not (CLUSTER / f"requeue-{name}").exists():
            return code
        (CLUSTER / f"requeue-{name}").unlink()
        count += 1


def _trouble(name: str, task: int | None, process: "subprocess.Popen[bytes]") -> None:
    path = CLUSTER / "trouble.json"
    planned = json.loads(path.read_text()) if path.exists() else {}
    if (planned.get("job"), planned.get("task")) != (name, task):
        return
    end = time.monotonic() + PATIENCE_SECONDS
    while not Path(planned["once"]).exists():
        assert process.poll() is None and time.monotonic() < end, "what the trouble waits for never came"
        time.sleep(0.02)
    if planned["signal"] == "KILL":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.send_signal(signal.Signals[f"SIG{planned['signal']}"])
    path.unlink()


def scontrol(words: list[str]) -> int:
    """`scontrol requeue ID`."""
    command, name = words
    assert command == "requeue"
    (CLUSTER / f"requeue-{name}").touch()
    return 0


if __name__ == "__main__":
    sys.exit({"sbatch": sbatch, "scontrol": scontrol}[sys.argv[1]](sys.argv[2:]))
