"""Videos of pairs: where they come from, what a back-end's trouble becomes, and what is left on the disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.backends.errors import BackendError, Trouble
from pipeline.base.reasons import Reason, ReasonClass
from pipeline.cli.faults import Fault, errors_in_a_line
from pipeline.skeleton import layout
from pipeline.theatre import planted
from stages.evaluate.cast import Subject
from stages.evaluate.renditions import Renditions
from stages.evaluate.renditions.motion import Motion, brought_onto
from stages.evaluate.renditions.worker import failure
from tests.stages.evaluate.studio import FRAMES, Studio, row_of, subject, write_shards


@pytest.mark.parametrize("trouble", Trouble)
def test_what_every_pair_would_meet_stops_the_stage(trouble: Trouble) -> None:
    found = failure(BackendError(trouble, "two\n  lines"))
    everywhere = {"bad_job", "no_checkout", "no_python", "no_package", "no_gpu", "no_weights"}
    assert (found.reason.kind is ReasonClass.BLOCKED) == (trouble.value in everywhere) and found.detail == "two lines"


def test_settings_count_where_the_method_looks_at_them() -> None:
    def same(method: Any, **changed: Any) -> bool:
        return Renditions(method=method).result_settings() == Renditions(method=method, **changed).result_settings()

    assert not same("ours", seed=1) and not same("ours", backend_seed=1) and same("ours", fit=False)
    assert same("transfer", seed=1, guidance=2.0) and not same("transfer", fit=False)
    assert not same("transfer", backend="mimicmotion") and same("transfer", window_batch=1, backend_gpu="1")
    for method in ("folder", "true"):
        assert same(method, seed=1, fit=False, backend="mimicmotion", backend_steps=9)


def test_another_way_to_generate_films_nothing_else_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def settings() -> dict[str, Any]:
        return {
            method: Renditions(method=method).result_settings() for method in ("ours", "transfer", "folder", "true")
        }

    before = settings()
    monkeypatch.setattr("stages.evaluate.renditions.settings._GENERATED", 99)
    assert {method for method, found in settings().items() if found != before[method]} == {"ours"}


def test_rows_of_transfer(studio: Studio) -> None:
    studio.evaluate(method="transfer")
    place = studio.place() / "transfer-skeleton"
    rows = studio.rows("transfer-skeleton", "renditions")
    for name, row in rows.items():
        setting = name.partition("/")[0]
        assert row["box"] == [0, 0, 512, 512] and row["frames"] == FRAMES
        assert (place / row["film"]).is_file() and row["film"].startswith(f"videos/{setting}/")
        if setting == "paired":
            assert row["scale_to_reference"] == pytest.approx(1, abs=0.01) and row["away_from_reference"] < 0.05
        else:
            assert row["away_from_reference"] < 0.25, "it was fitted"


def test_a_run_can_be_moved(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    lines = studio.evaluate(method="folder", folder=str(folder))
    moved = Studio(studio.run.rename(tmp_path / "moved"), studio.nets)
    assert moved.evaluate(method="folder", folder=str(folder)) == lines
    for row in moved.rows("true", "renditions").values():
        assert (moved.place() / "true" / row["film"]).is_file()


def test_nobody_to_fit(studio: Studio) -> None:
    blind = row_of(studio.run, 0, "ada", scores=np.zeros((FRAMES, 133), np.float32))
    write_shards(studio.run, [blind, row_of(studio.run, 1, "ben")])
    lines = studio.evaluate(method="transfer")
    outcomes = studio.outcomes("transfer-skeleton", "renditions")
    assert outcomes[f"paired/{subject(0)}/{subject(0)}"]["reason"] == Reason.NOT_GENERATED.code
    assert any(line.startswith("- transfer (skeleton): 3 of renditions: not_generated") for line in lines)


def test_a_back_end_that_is_not_there_is_told_in_a_line(studio: Studio) -> None:
    with pytest.raises(Fault) as caught, errors_in_a_line():
        studio.evaluate(method="transfer", backend="mimicmotion")
    assert "git clone" in caught.value.message and "\n" not in caught.value.message.strip()
    assert not (studio.place() / "true").exists(), "nothing was scored before"


@pytest.mark.parametrize("fit", [True, False])
def test_a_generated_motion_that_is_off_is_mended_for_a_back_end(fit: bool) -> None:
    """At 1.4 times the person's size, as the model may give it; settings that look at it redo such pairs."""
    points = planted.pair(planted.speaker(3), 5.0, [3]).keypoints.astype(np.float32)
    scores = np.isfinite(points).all(-1).astype(np.float32)
    who = Subject("one", "one", Path("-"), len(points), 512, points, scores, None, 0)
    stage = Renditions(method="ours", backend="stableanimator", fit=fit)
    off = Motion(points * 1.4, scores)
    shoulders = [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]
    mended = brought_onto(off, who)
    assert np.abs(mended.keypoints[0][shoulders] - points[0][shoulders]).max() < 2
    assert brought_onto(Motion(points, scores), who).keypoints is points
    assert stage.result_settings()["fit"] is fit
    assert "fit" not in Renditions(method="ours").result_settings()
