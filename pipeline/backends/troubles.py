"""Diagnosis of a crashed back-end from its log, with what to do about it."""

import re
import signal
from pathlib import Path

from pipeline.backends.errors import BackendError, Trouble

TAIL_BYTES = 64 << 10
TAIL_LINES = 12
_LINE_CHARACTERS = 300
# Terminals obey control characters, and the log is another program's.
_CONTROL = re.compile(r"[^\x20-\x7e\u00a0-\uffff]")

_KNOWN: tuple[tuple[Trouble, "re.Pattern[str]", str], ...] = (
    (
        Trouble.NO_PACKAGE,
        re.compile(r"ModuleNotFoundError: No module named '([\w.]{1,80})'"),
        "its environment lacks the package `{0}`: install it there, or name the right interpreter",
    ),
    (
        Trouble.NO_PACKAGE,
        re.compile(r"No such file or directory: '(ffmpeg)'"),
        "it calls the program `{0}`, which is not there: install it, or name its folder as FFMPEG_PATH",
    ),
    (
        Trouble.OUT_OF_MEMORY,
        re.compile(
            r"(CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|DefaultCPUAllocator|\bMemoryError)"
        ),
        "memory ran out ({0}): take a smaller size, a shorter voice, or a GPU that nothing else uses",
    ),
    (
        Trouble.NO_GPU,
        re.compile(
            r"(No CUDA GPUs are available|Torch not compiled with CUDA enabled|Found no NVIDIA driver|"
            r"NVIDIA driver on your system is too old|CUDA driver version is insufficient|CUDA unknown error|"
            r"CUDA error: invalid device ordinal|no CUDA-capable device is detected|no kernel image is available|"
            r"Cannot access accelerator device when none is available|"
            r"not implemented for 'Half'|CUDAExecutionProvider is not in available)"
        ),
        "it has no GPU that it can use ({0}): run it where `nvidia-smi` shows one, and with a torch built for CUDA",
    ),
    (
        Trouble.NO_WEIGHTS,
        re.compile(
            r"(motion module not found|weights loading fail|is not a local folder and is not a valid model identifier|"
            # insightface's own download puts its faces' nets a folder too deep: StableAnimator's readme says how to mend it
            r"assert 'detection' in self\.models|model_file \S{1,120} should exist|"
            r"Error no file named \S{1,120}|LocalEntryNotFoundError|GatedRepoError|Can't load [^\n]{1,60}|Cannot load model|"
            r"No such file or directory: '[^'\n]{0,200}\.(?:pth?|bin|safetensors|onnx|ckpt)')"
        ),
        "its weights are not there ({0}): download them as its readme says; access tokens are not handed on to back-ends",
    ),
)


def diagnose(status: int, log: Path) -> BackendError:
    """The error for a program that ended with a status other than 0 (negative: the signal), from its output in `log`.

    The last line that is known decides: earlier ones may be warnings.
    """
    tail = _tail(log)
    matches = [
        (match.start(), trouble, text, match) for trouble, words, text in _KNOWN for match in words.finditer(tail)
    ]
    if matches:
        _, trouble, text, match = max(matches, key=lambda one: one[0])
        return BackendError(trouble, f"{text.format(_plain(match[1]))}. All it said: {log}")
    if status == -signal.SIGKILL:  # not ours: that one is told before
        return BackendError(
            Trouble.OUT_OF_MEMORY,
            f"the system killed it, as it does when memory runs out: take a smaller size or a shorter voice. All it said: {log}",
        )
    ended = f"by signal {-status}" if status < 0 else f"with status {status}"
    log_tail = last_lines(log)
    # The last line first: it says what, and tables cut the rest.
    return BackendError(
        Trouble.CRASH,
        f"it ended {ended}: {log_tail.rpartition(chr(10))[2]}\nIts last output:\n{log_tail}\nFull log: {log}",
    )


def last_lines(log: Path) -> str:
    """The end of a log for people: a few lines, none of them long, without control characters."""
    lines = [_plain(line.split("\r")[-1]).rstrip() for line in _tail(log).rstrip().split("\n")]
    return "\n".join(line[:_LINE_CHARACTERS] for line in lines[-TAIL_LINES:] if line) or "(nothing)"


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return file.read(TAIL_BYTES).decode("utf-8", "replace").rstrip("\r")


def _plain(text: str) -> str:
    return _CONTROL.sub("", text)
