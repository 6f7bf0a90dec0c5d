"""Table 3 on film in one command: four trainings and evaluations, each gone on with, the paper's rows beside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.backends.errors import BackendError
from pipeline.base.errors import BadUse, Interrupted, UnitsFailed
from pipeline.engine.session import Session
from pipeline.nets.sound.wav2vec import logmel
from pipeline.views.beside import measured
from stages.evaluate import Evaluate
from stages.table3 import Table3
from stages.table3.settings import VARIANTS
from stages.train.settings import TrainSettings
from tests.pipeline.model.training.small import write_shards
from tests.stages.evaluate.conftest import nets, once, quick  # noqa: F401 - fixtures
from tests.stages.evaluate.studio import FRAMES, Studio, played, row_of

HEAD = "protocol,method,source,ssim,psnr_db,csim,fid,fvd,sync_c,sync_d,mouth_correlation\n"


class Programs:
    """In place of `train` and `evaluate`: notes what they are asked; a training is kept as theirs is."""

    def __init__(self, run: Path, stop_at: str = "", fail_at: str = "") -> None:
        self.run, self.stop_at, self.fail_at = run, stop_at, fail_at
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, session: Session, program: str, settings: Mapping[str, Any]) -> None:
        self.asked.append((program, dict(settings)))
        if program == "train":
            TrainSettings(**settings)
            if settings["ablate"] == self.stop_at != "":
                raise Interrupted("interrupted")
            return
        Evaluate(**settings)
        table = self.run / "evaluation" / "csg405" / "table2.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        text = table.read_text() if table.is_file() else HEAD
        if settings["label"] not in text:
            table.write_text(text + f"csg405,{settings['label']},measured,0.5,20.25,,,,,,0.875\n")
        if settings["model"] == self.fail_at:
            raise UnitsFailed("done, but 2 units failed")


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: Programs, **given: Any) -> str:
    session = Session("demo", str(tmp_path), "", "", "", "", ())
    monkeypatch.setattr("stages.table3.run.run_within", programs)
    Table3(**given).run(session)
    return table(tmp_path)


def table(tmp_path: Path) -> str:
    return (tmp_path / "evaluation/csg405/table3.md").read_text("utf-8")


def test_each_variant_is_trained_with_one_thing_left_out_and_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Programs(tmp_path)
    text = run(tmp_path, monkeypatch, programs, steps=7)
    trained = [settings for name, settings in programs.asked if name == "train"]
    assert [one["ablate"] for one in trained] == list(VARIANTS.values()) and {one["steps"] for one in trained} == {7}
    assert len({one["model_name"] for one in trained}) == 4
    evaluated = [settings for name, settings in programs.asked if name == "evaluate"]
    assert [one["model"] for one in evaluated] == [one["model_name"] for one in trained]
    assert "| without reference | 0.50 / 0.57 | 20.25 / 13.75 | - / 0.57 |" in text
    assert "| full | 0.50 / 0.67 | 20.25 / 16.62 | - / 0.82 | - / 62.9 | - / 984 | - / 6.28 | - / 8.68 |" in text
    assert "| cross-attention | - | - | 0.875 | - |" in text and "drawn skeletons" in text
    assert "Rows that were not made" not in text


def test_the_recipe_is_the_runs_own_where_no_steps_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(tmp_path)
    run(tmp_path, monkeypatch, programs, variants=("full",))
    assert programs.asked[0] == ("train", {"ablate": "", "model_name": "table3-full"})


def test_what_was_made_before_a_kill_is_on_the_table_and_the_rest_is_said_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, monkeypatch, Programs(tmp_path, stop_at="local"))
    text = table(tmp_path)
    assert "| cross-attention | 0.50 / 0.63 |" in text and "- full: not made yet" in text
    assert "not made yet" not in run(tmp_path, monkeypatch, Programs(tmp_path))


def test_pairs_that_failed_are_told_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnitsFailed, match="pairs of cross-attention failed"):
        run(tmp_path, monkeypatch, Programs(tmp_path, fail_at="table3-cross-attention"))
    assert "- cross-attention: done, but 2 units failed" in table(tmp_path) and "| full | 0.50 / 0.67 |" in table(
        tmp_path
    )


def test_a_back_end_that_is_not_there_is_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Programs(tmp_path)
    with pytest.raises(BackendError, match="git clone"):
        run(tmp_path, monkeypatch, programs, backend="stableanimator")
    assert programs.asked == []


def test_a_back_end_films_all_four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.table3.run.check", lambda *_: None)
    programs = Programs(tmp_path)
    run(tmp_path, monkeypatch, programs, backend="stableanimator", backend_dir="/there")
    asked = [settings for name, settings in programs.asked if name == "evaluate"]
    assert (
        all((one["backend"], one["backend_dir"]) == ("stableanimator", "/there") for one in asked) and len(asked) == 4
    )


def test_a_variant_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadUse, match="no variant is called half"):
        run(tmp_path, monkeypatch, Programs(tmp_path), variants=("half",))


@pytest.mark.slow
def test_on_puppets_all_of_it(nets: Path, quick: None, tmp_path: Path) -> None:  # noqa: F811
    """Four real trainings of two steps and their evaluations, of which one was there before."""
    run = tmp_path / "run"
    rows = [_with_features(run, number, who) for number, who in enumerate(("ada", "ben", "cai"))]
    write_shards(run / "shards", {"train": rows[1:], "test": rows[:1]})
    session = Studio(run, nets).session(
        *("evaluate.settings=['paired']", "evaluate.split=test", "evaluate.inception=[]", "evaluate.i3d=[]"),
        *("evaluate.sampler=ddim", "evaluate.sampler_steps=2", "evaluate.overlap_frames=4"),
        *("train.window_frames=16", "train.batch=2", "train.sample_every=0"),
    )
    Table3(variants=("full",), steps=2).run(session)
    assert "- cross-attention: left out by --variants" in table(run)
    before = _made(run, "full")
    Table3(steps=2).run(session)
    figures = measured(run / "evaluation/csg405")
    assert {name for name, found in figures.items() if found["psnr_db"] > 0} == {
        f"table 3 ({name})" for name in VARIANTS
    }
    assert "Rows that were not made" not in table(run) and _made(run, "full") == before, "what is made stays made"
    for name, ablated in VARIANTS.items():
        folder = run / "training" / f"table3-{name.replace(' ', '-')}"
        assert json.loads((folder / "trained_on.json").read_text())["settings"]["ablate"] == ablated
        assert [path.name for path in (folder / "checkpoints").glob("step-*")] == ["step-000000002"]


def _with_features(run: Path, number: int, who: str) -> dict[str, Any]:
    heard = logmel(played(who).wave, FRAMES).astype(np.float16)
    return row_of(run, number, who, audio_features=heard, audio_features_of="logmel768")


def _made(run: Path, name: str) -> dict[Path, int]:
    """When each file of a variant's weights and videos was written."""
    videos = (run / "evaluation/csg405").glob("ours-skeleton-*/videos/**/*.mp4")
    weights = (run / f"training/table3-{name}/checkpoints").rglob("*.safetensors")
    return {path: path.stat().st_mtime_ns for path in (*videos, *weights) if "full" in str(path)}
