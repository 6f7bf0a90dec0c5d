"""Advice about missing packages works where it is read: in a checkout set up by make, in one set up otherwise, from a wheel."""

import shlex
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.base import install


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose own environment runs this."""
    (tmp_path / "docker").mkdir()
    (tmp_path / "Makefile").touch()
    (tmp_path / install.CONSTRAINTS).touch()
    monkeypatch.setattr(install, "CHECKOUT", tmp_path)
    monkeypatch.setattr(install, "_gpu", lambda: False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_make_in_its_own_environment(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert install.with_extra("sync") == "make setup EXTRA=sync"
    assert install.with_extra("gpu") == "make setup GPU=1" and install.with_extra("cpu") == "make setup"
    assert install.pip("torch") == f".venv/bin/python -m pip install -c {install.CONSTRAINTS} torch"
    monkeypatch.setattr(install, "_gpu", lambda: True)
    assert install.with_extra("sync") == "make setup EXTRA=sync GPU=1"
    assert install.pip("torch") == ".venv/bin/python -m pip install torch", "the versions are those of processors"


def test_a_checkout_in_an_environment_of_somebody_else(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/opt/conda")
    assert install.with_extra("sync") == f"pip install -c {install.CONSTRAINTS} -e '.[sync]'"


def test_elsewhere_than_in_the_checkout(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = tmp_path / "it's here"
    (clone / "docker").mkdir(parents=True)
    for name in ("Makefile", install.CONSTRAINTS):
        (clone / name).touch()
    monkeypatch.setattr(install, "CHECKOUT", clone)
    monkeypatch.setattr(sys, "prefix", str(clone / ".venv"))
    pins = str(clone / install.CONSTRAINTS)
    assert shlex.split(install.with_extra("sync")) == ["make", "-C", str(clone), "setup", "EXTRA=sync"]
    python = str(clone / ".venv/bin/python")
    assert shlex.split(install.pip("torch")) == [python, "-m", "pip", "install", "-c", pins, "torch"]
    monkeypatch.setattr(sys, "prefix", "/opt/conda")
    assert shlex.split(install.with_extra("sync")) == ["pip", "install", "-c", pins, "-e", f"{clone}[sync]"]
    monkeypatch.chdir(clone)
    assert install.with_extra("sync") == f"pip install -c {install.CONSTRAINTS} -e '.[sync]'"
    monkeypatch.chdir(gone := Path(tempfile.mkdtemp(dir=tmp_path)))
    gone.rmdir()
    assert shlex.split(install.pip("torch")) == ["pip", "install", "-c", pins, "torch"]


def test_a_wheel(checkout: Path) -> None:
    (checkout / "Makefile").unlink()
    assert install.with_extra("sync") == "pip install 'csg405[sync]'"
    assert install.pip("-U yt-dlp", constrained=False) == "pip install -U yt-dlp"


def test_one_place_says_how_to_install() -> None:

    root = Path(__file__).parents[3]
    own = {root / "pipeline/base/install.py"}
    spelt = [
        path
        for room in ("pipeline", "stages")
        for path in (root / room).rglob("*.py")
        if path not in own and ("csg405[" in (text := path.read_text(encoding="utf-8")) or "pip install " in text)
    ]
    assert spelt == []
