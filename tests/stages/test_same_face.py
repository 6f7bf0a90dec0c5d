"""One person throughout, or two in one track: puppets on film, told apart by their own net."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.engine.runner import Skipped, run_stage
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.video import write_clip
from pipeline.nets.footage import WrongFootage
from pipeline.registry.models import Registry
from pipeline.tables.kinds import KINDS
from pipeline.tables.store import Store
from pipeline.theatre.cast import Look
from pipeline.theatre.facenets import build_face_nets
from pipeline.theatre.takes import ADA, BEN, GIA
from stages.judge import Judge
from stages.same_face import SameFace
from tests.stages import fake_run
from tests.stages.faces_on_film import FRAMES, SIDE, played

LEAD = 10  # frames of the video before the clip


class Nets:
    """Stands in for the registry: the puppets' identity net, with this limit."""

    def __init__(self, folder: Path, limit: float | None = 0.9) -> None:
        self.path, self.limit = build_face_nets(folder)["identity"], limit

    def optional(self, names: tuple[str, ...]) -> SimpleNamespace:
        return SimpleNamespace(name=names[0], path=self.path, entry=SimpleNamespace(same_person=self.limit))


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nets")


def unit(run: Path, *looks: Look, footage: str = "theatre") -> Unit:
    """A clip in which one track shows these puppets one after the other."""
    shown = [played(look, "study", 212, 0) for look in looks]
    pictures = [*shown[0][0][:LEAD], *(picture for parts, _ in shown for picture in parts)]
    points = np.concatenate([own for _, own in shown])
    write_clip(run / "film.mp4", iter(pictures), None, size=(SIDE, SIDE), crf=18, preset="veryfast", threads=1)
    ids = {"person_id": "v/10+30#0", "clip_id": "v/10+30", "video_id": "v"}
    scores = np.where(np.isnan(points).any(-1), 0, 0.9).astype(np.float32)
    person = {**ids, "frames": len(points), "width": SIDE, "height": SIDE, "keypoints": points, "scores": scores}
    clip = {"first_frame": LEAD, "frames": len(points)}
    return Unit("v/10+30", {"persons": [person], "clips": [clip], "videos": [{"path": "film.mp4", "footage": footage}]})


def told(run: Path, nets: Any, of: Unit, **settings: Any) -> dict[str, Any]:
    worker = SameFace(net=("theatre_identity",), **settings).worker(Context(run, models=nets))
    [row] = worker.process(of)
    assert set(row) <= set(KINDS["same_faces"].schema.names)
    return row


def verdict(row: dict[str, Any]) -> dict[str, Any]:
    """What judge says where nothing else speaks against the person."""
    off = {name: None for name in Judge.model_fields if name.startswith(("min_", "max_"))}
    judge = Judge(**{**off, "min_face_agreement_margin": 0.0, "require_audio": False, "require_measured": ()})
    ids = {name: row[name] for name in ("person_id", "clip_id", "video_id")}
    [found] = judge.worker(Context(Path())).process(Unit("all", {"persons": [ids], "same_faces": [row]}))
    return found


@pytest.mark.parametrize("look", [ADA, BEN, GIA])
def test_one_puppet_is_one_person(tmp_path: Path, nets: Path, look: Look) -> None:
    found = told(tmp_path, Nets(nets), unit(tmp_path, look))
    assert found["face_moments"] == 8
    assert found["face_agreement"] > 0.99
    assert found["face_agreement_margin"] == pytest.approx(found["face_agreement"] - 0.9)
    assert verdict(found)["keep"]


@pytest.mark.parametrize("looks", [(ADA, BEN), (BEN, GIA), (GIA, ADA)])
def test_two_puppets_in_one_track_are_dropped(tmp_path: Path, nets: Path, looks: tuple[Look, Look]) -> None:
    found = told(tmp_path, Nets(nets), unit(tmp_path, *looks))
    assert found["face_agreement"] < 0.85
    assert verdict(found)["reasons"] == ["not_one_face"]


def test_where_the_net_has_no_limit_or_shows_no_face_nothing_is_judged(tmp_path: Path, nets: Path) -> None:
    film = unit(tmp_path, ADA, BEN)
    found = told(tmp_path, Nets(nets, None), film)
    assert found["face_agreement"] < 0.85 and found["face_agreement_margin"] is None
    assert verdict(found)["keep"] and verdict(found)["unmeasured"] == ["face_agreement_margin"]
    [person] = film.rows("persons")
    person["scores"] = np.full_like(person["scores"], 0.1)
    found = told(tmp_path, Nets(nets), film)
    assert found["face_moments"] == 0 and found.get("face_agreement") is None
    assert verdict(found)["unmeasured"] == ["face_agreement_margin"]


def test_a_clip_that_ends_early_is_looked_at_as_far_as_it_goes(tmp_path: Path, nets: Path) -> None:
    film = unit(tmp_path, ADA)
    [person] = film.rows("persons")
    for name in ("keypoints", "scores"):
        person[name] = np.concatenate([person[name]] * 2)
    person["frames"] *= 2
    assert 2 <= told(tmp_path, Nets(nets), film)["face_moments"] < 8


def test_the_puppets_net_refuses_people(tmp_path: Path, nets: Path) -> None:
    with pytest.raises(WrongFootage, match="theatre_identity works on theatre footage only"):
        told(tmp_path, Nets(nets), unit(tmp_path, ADA, footage=""))


def test_without_any_net_the_stage_is_skipped_with_the_way_to_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    fake_run.add_video(store, 1)
    fake_run.add_clip(store, 1, 0, FRAMES)
    models = Registry(tmp_path / "none", cache=tmp_path / "cache", download=False)
    with pytest.raises(Skipped, match="mobilefacenet"):
        run_stage(SameFace(), store.run, models=models)


def test_the_limits_of_the_registry() -> None:
    limits = {name: entry.same_person for name, entry in Registry().entries.items() if entry.same_person is not None}
    assert limits == {"mobilefacenet": 0.86, "theatre_identity": 0.9}
