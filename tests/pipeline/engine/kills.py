"""Kills at the n-th step that touches the disk, in the test's own process."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import files


def age(run: Path) -> None:
    """Make every file look old."""
    for path in run.rglob("*"):
        os.utime(path, (1, 1))


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


def dies(what: Callable[[], object]) -> bool:
    """Whether the planned kill came before the end; what else goes wrong is not caught."""
    try:
        what()
    except Killed:
        return True
    return False


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], int]:
    """Die at the n-th call of anything that touches the disk; returns how many calls there were."""
    count = 0

    def guard(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                raise Killed
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    guard(files, "sync")
    guard(Path, "replace")
    guard(Path, "unlink")
    return lambda: count
