"""One thread of linear algebra a process of ours, whose parallelism is processes; a library that is imported sets nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SET = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "OPENCV_IO_MAX_IMAGE_PIXELS")
COUNT = "import os, numpy; a = numpy.ones((600, 600)); a @ a; print(len(os.listdir('/proc/self/task')))"


def said(code: str) -> str:
    """What a fresh interpreter prints, in an environment without our limits."""
    environment = {name: value for name, value in os.environ.items() if name not in SET}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="nothing to count here")
@pytest.mark.parametrize(
    "first", ["import pipeline.cli.main", "import stages.annotate", "import pipeline.nets.session"]
)
def test_onnxruntime_reports_to_nobody(first: str) -> None:
    """From 1.29 on it does, from a thread that begins with the import, unless it was told not to."""
    count = "len(os.listdir('/proc/self/task'))"
    code = f"{first}\nimport os, pyarrow; before = {count}\nimport onnxruntime; print({count} - before)"
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}  # no CI's
    environment["OPENBLAS_NUM_THREADS"] = "1"
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(ended.stdout) == 0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir() or (os.cpu_count() or 1) < 2, reason="nothing to count here")
@pytest.mark.parametrize("first", ["import pipeline.cli.main", "import stages.annotate"])
def test_commands_begin_no_threads_of_numpy(first: str) -> None:
    alone, ours = int(said(f"import pyarrow\n{COUNT}")), int(said(f"{first}\n{COUNT}"))
    if alone == 1:
        pytest.skip("this numpy begins no threads anyway")
    assert ours < alone


def test_reading_shards_changes_nothing_in_the_process() -> None:
    look = (
        "import gc, json, os, signal, sys, threading, warnings\n"
        "import cv2, numpy, pyarrow, scipy.ndimage, soundfile\n"  # libraries may do as they like
        "def state(): return [dict(os.environ), gc.get_threshold(), list(sys.path), threading.active_count(), numpy.geterr(),\n"
        "    str(signal.getsignal(signal.SIGINT)), len(warnings.filters), cv2.getNumThreads(), pyarrow.cpu_count()]\n"
        "before = state()\n"
        "from pipeline.shards import Item, open_shards\n"
        "import pipeline.media.grid, pipeline.media.writer, pipeline.skeleton.draw\n"
        "print([pair for pair in zip(before, state()) if pair[0] != pair[1]])"
    )
    assert said(look) == "[]\n"
