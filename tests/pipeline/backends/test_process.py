"""Another program's run: its words, its environment, its end."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.backends import leash
from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.process import environment, run
from pipeline.backends.troubles import TAIL_LINES, diagnose, last_lines
from tests.pipeline.backends.fakes import gone, living

STARTS_A_CHILD = """
import subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
Path("child").write_text(str(child.pid))
{then}
"""


def test_the_environment_keeps_what_a_gpu_program_needs() -> None:
    ours = os.pathsep.join([f"{sys.prefix}/lib/cv2/../../lib64", "/usr/local/cuda/lib64"])
    given = {
        "PATH": "/bin",
        "HF_HOME": "/models",
        "CUDA_HOME": "/cuda",
        "LD_LIBRARY_PATH": ours,
        "http_proxy": "http://proxy:3128",
        "https_proxy": "http://someone:secret@proxy:3128",
        "OPENAI_API_KEY": "secret",
        "HUGGING_FACE_HUB_TOKEN": "secret",
        "PYTHONPATH": "/ours",
        "OPENBLAS_NUM_THREADS": "1",
    }
    assert environment("", given) == {
        "PATH": "/bin",
        "HF_HOME": "/models",
        "CUDA_HOME": "/cuda",
        "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
        "http_proxy": "http://proxy:3128",
        "PYTHONUNBUFFERED": "1",
    }
    assert environment("1,2", {})["CUDA_VISIBLE_DEVICES"] == "1,2"


def test_what_it_starts_does_not_outlive_it(tmp_path: Path) -> None:
    run([sys.executable, "-c", STARTS_A_CHILD.format(then="")], tmp_path, tmp_path / "log", deadline_seconds=60)
    assert gone(int((tmp_path / "child").read_text()))


def test_ctrl_c_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pipeline.backends.process as process

    def interrupted(*_: object) -> int:
        while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
            time.sleep(0.02)
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "_wait", interrupted)
    command = [sys.executable, "-c", STARTS_A_CHILD.format(then="time.sleep(600)")]
    with pytest.raises(KeyboardInterrupt):
        run(command, tmp_path, tmp_path / "log", deadline_seconds=60)
    assert gone(int((tmp_path / "child").read_text()))


sees_processes = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

DRIVER = """
import sys
from pathlib import Path
from pipeline.backends.process import run
run([sys.executable, "-c", sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[2], "log"), deadline_seconds=600)
"""


@sees_processes
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_all_that_it_started_when_we_are_killed(tmp_path: Path, how: signal.Signals) -> None:
    """The out-of-memory killer leaves a driver no time to end anything."""
    code = "import os; print(os.getpid(), flush=True)\n" + STARTS_A_CHILD.format(then="time.sleep(600)")
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, code, str(tmp_path)])
    child = tmp_path / "child"
    try:
        while not child.exists() or not child.read_text():
            assert driver.poll() is None
            time.sleep(0.02)
        group = int((tmp_path / "log").read_text())
        assert len(living(group)) == 3, "the back-end, its child, and who watches over both"
    finally:
        driver.send_signal(how)
        assert driver.wait() == -how
    assert gone(group) and gone(int(child.read_text()))
    assert all(map(gone, living(group))), "the watcher is gone too"


def test_killed_before_it_has_started() -> None:
    """The process that holds the leash may be gone before the first line has run."""
    watched, held = os.pipe()
    os.close(held)
    command = [sys.executable, leash.__file__, str(watched), sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen(command, start_new_session=True, pass_fds=(watched,))
    os.close(watched)
    assert process.wait(60) == -signal.SIGKILL


@sees_processes
def test_the_watcher_ends_with_it(tmp_path: Path) -> None:
    run([sys.executable, "-c", "import os; print(os.getpid())"], tmp_path, tmp_path / "log", deadline_seconds=60)
    group = int((tmp_path / "log").read_text())
    assert gone(group) and all(map(gone, living(group)))


@sees_processes
def test_it_meets_nothing_of_theleashed(tmp_path: Path) -> None:
    """No child, no open file, no ignored signal that it would not have without."""
    code = (
        "import os\n"
        "try: os.wait()\n"
        "except ChildProcessError: print('no child')\n"
        "print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"  # the last one is the folder's own
    )
    # Python ignores signals by itself, a shell does not.
    command = ["/bin/sh", "-c", 'grep SigIgn /proc/self/status; exec "$0" -c "$1"', sys.executable, code]
    run(command, tmp_path, tmp_path / "log", deadline_seconds=60)
    without = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert without.splitlines()[1:] == ["no child", "[0, 1, 2]"]
    assert (tmp_path / "log").read_text() == without  # signals too, of which a suite in the background ignores some


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("no program")
    (tmp_path / "words").chmod(0o755)
    for name, said in (("nowhere", "No such file"), ("words", "Exec format error")):
        with pytest.raises(BackendError, match=f"{name} cannot be started: {said}") as caught:
            run([str(tmp_path / name)], tmp_path, tmp_path / "log", deadline_seconds=60)
        assert caught.value.trouble == Trouble.NO_PYTHON


def test_its_input_is_closed_and_no_shell_reads_its_arguments(tmp_path: Path) -> None:
    code = "import sys; print(repr(sys.stdin.read()), sys.argv[1])"
    run([sys.executable, "-c", code, "$(touch here); `id`"], tmp_path, tmp_path / "log", deadline_seconds=60)
    assert (tmp_path / "log").read_text().strip() == "'' $(touch here); `id`"
    assert not (tmp_path / "here").exists()


def test_endless_words_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.backends.process.MAX_LOG_BYTES", 1000)
    monkeypatch.setattr("pipeline.backends.process.LOOK_SECONDS", 0.05)
    code = "import time\nwhile True: print('x' * 100, flush=True); time.sleep(0.001)"
    with pytest.raises(BackendError, match="it wrote more than") as caught:
        run([sys.executable, "-c", code], tmp_path, tmp_path / "log", deadline_seconds=60)
    assert caught.value.trouble == Trouble.CRASH


def test_threads_may_run_several(tmp_path: Path) -> None:
    def one(n: int) -> None:
        run([sys.executable, "-c", f"print({n})"], tmp_path, tmp_path / f"{n}", deadline_seconds=60)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(tmp_path / f"{n}").read_text() for n in range(3)] == ["0\n", "1\n", "2\n"]


@pytest.mark.parametrize(
    ("words", "status", "trouble", "said"),
    [
        ("ModuleNotFoundError: No module named 'decord.bridge'", 1, Trouble.NO_PACKAGE, "`decord.bridge`"),
        ("AssertionError: Torch not compiled with CUDA enabled", 1, Trouble.NO_GPU, "nvidia-smi"),
        ("RuntimeError: Found no NVIDIA driver on your system.", 1, Trouble.NO_GPU, "nvidia-smi"),
        ("torch.OutOfMemoryError: CUDA out of memory.", 1, Trouble.OUT_OF_MEMORY, "smaller size"),
        ("motion module not found", 1, Trouble.NO_WEIGHTS, "download them"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'", 1, Trouble.NO_PACKAGE, "FFMPEG_PATH"),
        ("    assert 'detection' in self.models\nAssertionError", 1, Trouble.NO_WEIGHTS, "as its readme says"),
        (
            "AssertionError: model_file models/antelopev2/glintr100.onnx should exist",
            1,
            Trouble.NO_WEIGHTS,
            "glintr100",
        ),
        ("No CUDA GPUs are available\nValueError: else", -9, Trouble.NO_GPU, "No CUDA GPUs"),
        ("loading", -9, Trouble.OUT_OF_MEMORY, "the system killed it"),
        ("loading", -11, Trouble.CRASH, "by signal 11"),
        ("", 3, Trouble.CRASH, "with status 3: (nothing)"),
        ("WARNING: CUDA out of memory, again\nNo module\nFound no NVIDIA driver", 1, Trouble.NO_GPU, "Found no NVIDIA"),
    ],
)
def test_the_last_known_words_decide(tmp_path: Path, words: str, status: int, trouble: Trouble, said: str) -> None:
    (tmp_path / "log").write_text(words)
    error = diagnose(status, tmp_path / "log")
    assert error.trouble == trouble and said in str(error) and str(tmp_path / "log") in str(error)


def test_the_end_of_a_log_is_short_and_plain(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\xff\x1b]0;title\x07" + b"line\n" * 1_000_000 + b"  1%\r 50%\r100%\n" + b"y" * 10_000 + b"\n")
    lines = last_lines(log).split("\n")
    assert len(lines) == TAIL_LINES and lines[-2] == "100%" and len(lines[-1]) == 300
    assert "\x1b" not in last_lines(log)
