"""Somebody opts out while an evaluation is at work."""

from typing import Any

import pytest

from pipeline.engine.console import run_shown
from pipeline.engine.runner import Summary
from pipeline.engine.stage import Stage
from tests.stages.evaluate.studio import Studio, subject, video_id


@pytest.mark.parametrize(
    "before",
    [pytest.param("pairs", marks=pytest.mark.slow), "renditions", pytest.param("scores", marks=pytest.mark.slow)],
)
def test_who_opts_out_meanwhile_is_in_no_table(
    studio: Studio, before: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def shown(stage: Stage, *about: Any) -> Summary:
        if stage.name == before and before not in ran:
            (studio.run / "opt_out.txt").write_text(f"{video_id(1)}\n")
        ran.append(stage.name)
        return run_shown(stage, *about)

    monkeypatch.setattr("stages.evaluate.run.run_shown", shown)
    lines = studio.evaluate(method="transfer")
    assert capsys.readouterr().err.count("opt_out.txt changed: the test set is looked at again") == 1
    assert ran.count("subjects") == 2, "it began again, once"
    assert not any(subject(1) in name for name in studio.rows("transfer-skeleton"))
    assert any(line.startswith("| transfer (skeleton) | 2 + 2 |") for line in lines)
