"""A program's log: kept in its file, and its warnings told while it runs, without a secret."""

import json
import logging
from pathlib import Path

import pytest

from pipeline.base.log import logged


def test_our_warnings_are_told_and_kept_and_nothing_is_after_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hidden-value")
    told: list[str] = []
    before = list(logging.getLogger().handlers)
    ours, theirs = logging.getLogger("pipeline.model.training.validation"), logging.getLogger("another_project")
    with logged(tmp_path, "train", told.append):
        ours.warning("no validation: %s", "hidden-value")
        ours.info("a detail")
        theirs.warning("a habit of theirs")
    ours.warning("too late")
    assert told == ["warning: no validation: ***"]
    kept = [json.loads(line)["message"] for line in (tmp_path / "logs" / "train.jsonl").read_text().splitlines()]
    assert kept == ["no validation: ***", "a detail", "a habit of theirs"]
    assert logging.getLogger().handlers == before and not logging.getLogger("pipeline").handlers
