"""Set-up gives signs of life, and tells what pip said where that failed. A stand-in for pip says what pip says."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "docker" / "pip.sh"
PIP = """#!/bin/sh
echo 'Collecting numpy>=2.1 (from csg405==0.1.0)'
echo '  Downloading https://files.example/packages/numpy-2.3.5-cp311-cp311-linux_x86_64.whl (16.9 MB)'
echo '  Downloading scipy-1.16.3-cp311-cp311-linux_x86_64.whl.metadata (500 kB)'
sleep PAUSE
echo 'Installing collected packages: numpy, scipy'
mkdir -p "${0%/bin/python}/lib/python3.11/site-packages/numpy-2.3.5.dist-info"
sleep PAUSE
exit CODE
"""


def venv(folder: Path, code: int = 0, pause_seconds: float = 0.1) -> Path:
    """An environment whose pip takes twice the pause, and ends with this code."""
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PIP.replace("CODE", str(code)).replace("PAUSE", str(pause_seconds)))
    python.chmod(0o755)
    return folder / ".venv"


def test_a_terminal_sees_what_it_is_at(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = ["sh", str(SCRIPT), "python3", str(venv(tmp_path, pause_seconds=1.5)), "-e", "."]
    done = subprocess.run(command, stdin=theirs, stdout=theirs, stderr=theirs, timeout=60)
    os.close(theirs)
    said = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "fetching scipy, 17 MB fetched" in said and "putting packages in place, 1 of 2" in said
    assert all(len(line.replace("\x1b[K", "")) < 80 for line in said.split("\r")) and said.endswith("\r\x1b[K")


@pytest.mark.parametrize("code", [0, 1])
def test_elsewhere_lines_are_plain_and_a_failure_is_told(code: int, tmp_path: Path) -> None:
    command = ["sh", str(SCRIPT), "python3", str(venv(tmp_path, code)), "-e", "."]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert "\x1b" not in done.stdout and "\r" not in done.stdout
    assert ("Collecting numpy" in done.stderr) == bool(code)
