"""How to install what is missing, in words that work as they stand: one place decides it for every message."""

import shlex
import sys
from importlib import metadata
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
ENGINES = ("cpu", "gpu")  # extras that make chooses by GPU=1
CONSTRAINTS = "docker/constraints-cpu.txt"


def with_extra(name: str) -> str:
    """The command that brings an extra: make's in a checkout with its own environment, else pip's."""
    if _by_make():
        chosen = "" if name in ENGINES else f" EXTRA={name}"
        return f"{_make()} setup{chosen}" + (" GPU=1" if name == "gpu" or (chosen and _gpu()) else "")
    where = ("." if _is_here() else str(CHECKOUT)) if _is_checkout() else "csg405"
    return pip(f"{'-e ' * _is_checkout()}{shlex.quote(f'{where}[{name}]')}")


def pip(words: str, *, constrained: bool = True) -> str:
    """The command that has pip install these words into the environment at hand.

    Args:
        words: requirements and options.
        constrained: a checkout's versions hold, beside what a GPU needs.
    """
    versions = f"-c {_path(CONSTRAINTS)} " if constrained and _is_checkout() and not _gpu() else ""
    program = f"{_path('.venv/bin/python')} -m pip" if _by_make() else "pip"
    return f"{program} install {versions}{words}"


def _make() -> str:
    return "make" if _is_here() else f"make -C {shlex.quote(str(CHECKOUT))}"


def _path(name: str) -> str:
    """A file of the checkout, as a word of the shell."""
    return name if _is_here() else shlex.quote(str(CHECKOUT / name))


def _is_here() -> bool:
    """Whether the working folder is the checkout, so that short paths do."""
    try:
        return Path.cwd() == CHECKOUT.resolve()
    except FileNotFoundError:  # it was deleted
        return False


def _is_checkout() -> bool:
    return (CHECKOUT / "Makefile").is_file() and (CHECKOUT / CONSTRAINTS).is_file()


def _by_make() -> bool:
    """Whether make set this environment up."""
    return _is_checkout() and Path(sys.prefix).resolve() == (CHECKOUT / ".venv").resolve()


def _gpu() -> bool:
    try:
        return bool(metadata.version("onnxruntime-gpu"))
    except metadata.PackageNotFoundError:
        return False
