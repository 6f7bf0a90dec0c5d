"""A worker of the theatre that is killed ends in a line, and what was drawn is kept."""

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import StageError
from pipeline.theatre import render


def test_a_killed_worker_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> Iterator[str]:
        yield "talk-1"
        raise BrokenProcessPool("A process in the process pool was terminated abruptly")

    monkeypatch.setattr(render, "_rendered", killed)
    seen: list[str] = []
    with pytest.raises(StageError, match=r"was killed.*the same command draws the rest"):
        render.build(tmp_path, progress=lambda name, done, todo: seen.append(name))
    assert seen == ["talk-1"] and not (tmp_path / "playlist.json").exists()
