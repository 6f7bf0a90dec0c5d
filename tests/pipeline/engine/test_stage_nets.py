"""Optional nets, as commands that only look see them; how they run is tested with the runner."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.engine.dry_run import outlook
from pipeline.engine.stage import Context
from pipeline.engine.stage_nets import net_hashes
from pipeline.registry.models import MissingModel, Registry
from pipeline.tables.store import Store
from stages.annotate import Annotate
from stages.attributes import Attributes


def notes(stage: Attributes, registry: Registry, run: Path) -> str:
    profile = SimpleNamespace(stage=lambda name: stage)
    [found] = outlook(profile, ["attributes"], registry, Store(run))  # type: ignore[arg-type]
    return found.note


def test_a_dry_run_tells_what_is_done_without_and_what_is_built(tmp_path: Path) -> None:
    registry = Registry(cache=tmp_path / "nets")
    stage = Attributes(gender=("deepface_gender",), age=("theatre_age",), ethnicity=(), emotion=(), identity=())
    said = notes(stage, registry, tmp_path)
    assert "would do without deepface_gender: csg405 models fetch deepface_gender" in said
    assert "theatre_age would be built first" in said and not (tmp_path / "nets").exists()


def test_nothing_is_fetched_that_nobody_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registry, "_download", lambda *_: pytest.fail("it was fetched"))
    with pytest.raises(MissingModel, match="fetch deepface_gender"):
        net_hashes(Attributes(identity=()), Registry(cache=tmp_path))


def test_optional_nets_stand_in_their_own_order(tmp_path: Path) -> None:
    registry = Registry(cache=tmp_path)
    stage = Attributes(gender=("theatre_gender",), age=("deepface_age",), emotion=("theatre_emotion",), ethnicity=())
    gender, age, emotion, identity = net_hashes(stage, registry)
    assert len(gender) == len(emotion) == 64 and gender != emotion and age == identity == ""
    off = stage.model_copy(update={"gender": (), "age": (), "emotion": (), "identity": ()})
    assert net_hashes(off, registry) == []


def test_a_worker_that_needs_nets_is_not_opened_without_a_registry(tmp_path: Path) -> None:
    registry = Registry(cache=tmp_path)
    assert Context(tmp_path, models=registry).nets is registry
    with pytest.raises(RuntimeError, match="no model registry"):
        Annotate().worker(Context(tmp_path))
