"""One thread of linear algebra a process: the pipeline's parallelism is processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
COUNT = "import os, numpy; a = numpy.ones((600, 600)); a @ a; print(len(os.listdir('/proc/self/task')))"


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="nothing to count here")
def test_onnxruntime_reports_to_nobody() -> None:
    """From 1.29 on it does, from a thread that begins with the import, unless it was told not to."""
    code = "import os, pipeline, onnxruntime; print(len(os.listdir('/proc/self/task')))"
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ
    }  # not that of a CI
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(ended.stdout) == 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir() or (os.cpu_count() or 1) < 2, reason="nothing to count here")
@pytest.mark.parametrize("first", ["import pipeline.tables.table", "import stages.annotate"])
def test_numpy_begins_no_threads_of_its_own(first: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}

    def threads(code: str) -> int:
        command = [sys.executable, "-c", code]
        return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    alone, ours = threads(f"import pyarrow\n{COUNT}"), threads(f"{first}\n{COUNT}")
    if alone == 1:
        pytest.skip("this numpy begins no threads anyway")
    assert ours < alone
