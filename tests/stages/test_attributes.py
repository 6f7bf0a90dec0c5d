"""Attributes and speakers as stages: puppets who are said to be something, and samples of which little can be said."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pipeline.engine.runner import Options, Skipped, run_stage
from pipeline.engine.unit import Unit
from pipeline.nets.footage import KEY, WrongFootage
from pipeline.registry.models import Registry
from pipeline.tables.kinds import KINDS
from pipeline.tables.store import Store
from pipeline.theatre.facenets import build_face_nets
from pipeline.theatre.said import SAID
from pipeline.theatre.takes import ADA, BEN, GIA
from stages.attributes import Attributes
from stages.attributes.worker import AttributesWorker
from stages.speakers import Speakers
from tests.pipeline.nets.face.deepface_here import write_nets
from tests.stages import fake_run
from tests.stages.faces_on_film import THEATRE, Nets, ready, sample

COLUMNS = [field.name for field in KINDS["attributes"].columns]


@pytest.fixture(scope="session")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Nets:
    made = build_face_nets(tmp_path_factory.mktemp("nets"))
    return Nets(**{f"theatre_{name}": path for name, path in made.items()})


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Nets:
    """Nets of random weights that may see anything: named as DeepFace's are in the registry."""
    made = write_nets(tmp_path_factory.mktemp("others"))

    for path in made.values():
        model = onnx.load(path)
        kept = [entry for entry in model.metadata_props if entry.key != KEY]
        del model.metadata_props[:]
        model.metadata_props.extend(kept)
        onnx.save(model, path)
    return Nets(**{f"deepface_{name}": path for name, path in made.items()})


def told(worker: AttributesWorker, row: dict[str, Any], footage: str | None = "theatre") -> dict[str, Any]:
    [found] = worker.process(Unit(row["person_id"], {"samples": [row], "videos": [{"footage": footage}]}))
    assert set(found) <= set(COLUMNS)
    return found


@pytest.mark.parametrize(("look", "room", "unit"), [(ADA, "study", 212), (BEN, "stage", 180), (GIA, "class", 230)])
def test_puppets_are_what_they_are_said_to_be(tmp_path: Path, theatre: Nets, look: Any, room: str, unit: float) -> None:
    found = told(ready(tmp_path, theatre, **THEATRE), sample(tmp_path, "v/0+30#0", look, room, unit))
    said = SAID[look]
    assert (found["gender"], found["ethnicity"], found["emotion"]) == (said.gender, said.ethnicity, said.emotion)
    assert found["age_years"] == pytest.approx(said.age_years, abs=0.01) and found["age_spread_years"] < 0.01
    assert found["gender_agreement"] == found["ethnicity_agreement"] == found["emotion_agreement"] == 1
    assert found["attribute_frames"] == 5 and found["identity_agreement"] > 0.999
    assert np.linalg.norm(found["identity"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("spoiled", ["side", "back", "unseen", "low scores"])
def test_without_a_frontal_frame_everything_is_null(tmp_path: Path, theatre: Nets, spoiled: str) -> None:
    row = sample(tmp_path, "v/0+30#0", ADA, facing={"side": 70.0, "back": 180.0}.get(spoiled, 0.0))
    if spoiled == "unseen":
        row["keypoints"] = np.full_like(row["keypoints"], np.nan)
    if spoiled == "low scores":
        row["scores"] = np.full_like(row["scores"], 0.2)
    found = told(ready(tmp_path, theatre, **THEATRE), row)
    assert found == {"person_id": "v/0+30#0", "clip_id": "v/0+30", "video_id": "v", "attribute_frames": 0}


@pytest.mark.parametrize(("shift", "frames"), [(-100, 5), (-205, 5), (-280, 0)])
def test_a_face_at_the_edge_is_looked_at_while_its_points_are_inside(
    tmp_path: Path, theatre: Nets, shift: float, frames: int
) -> None:
    row = sample(tmp_path, "v/0+30#0", ADA)
    moved = row["keypoints"].reshape(30, 133, 2) + np.float32([shift, 0])
    found = told(ready(tmp_path, theatre, **THEATRE), {**row, "keypoints": moved.reshape(30, -1)})
    assert found["attribute_frames"] == frames


def test_a_clip_that_ends_early_is_looked_at_as_far_as_it_goes(tmp_path: Path, theatre: Nets) -> None:
    row = sample(tmp_path, "v/0+30#0", ADA)
    twice = {name: np.concatenate([row[name], row[name]]) for name in ("keypoints", "scores")}
    found = told(ready(tmp_path, theatre, **THEATRE), {**row, **twice, "frames": 60})
    assert 2 <= found["attribute_frames"] <= 3 and found["gender"] == "female"


def test_what_has_no_net_is_null(tmp_path: Path, theatre: Nets) -> None:
    row = sample(tmp_path, "v/0+30#0", ADA)
    some = Nets(theatre_age=theatre.paths["theatre_age"])
    found = told(ready(tmp_path, some, **THEATRE), row)
    assert {name for name in COLUMNS if found.get(name) is not None} == {
        *("person_id", "clip_id", "video_id", "attribute_frames", "age_years", "age_spread_years")
    }
    off = {**THEATRE, "gender": (), "identity": ()}
    assert Attributes(**off).optional_model_names() == (THEATRE["age"], THEATRE["ethnicity"], THEATRE["emotion"])
    found = told(ready(tmp_path, theatre, **off), row)
    assert found["age_years"] and "gender" not in found and "identity" not in found


def test_theatre_nets_refuse_people(tmp_path: Path, theatre: Nets) -> None:
    worker, row = ready(tmp_path, theatre, **THEATRE), sample(tmp_path, "v/0+30#0", ADA)
    with pytest.raises(WrongFootage, match="theatre_gender works on theatre footage only, and this is real footage"):
        told(worker, row, None)


def test_other_nets_see_anything(tmp_path: Path, others: Nets) -> None:
    found = told(ready(tmp_path, others), sample(tmp_path, "v/0+30#0", ADA), None)
    assert all(found[name] is not None for name in COLUMNS)
    assert 0 < found["gender_agreement"] <= 1 and 0 <= found["age_years"] <= 100


def test_deepface_itself_says_the_same(tmp_path: Path, others: Nets) -> None:
    try:
        worker = ready(tmp_path, others, backend="deepface")
    except ImportError as error:
        pytest.skip(str(error))
    row = sample(tmp_path, "v/0+30#0", ADA)
    theirs, ours = told(worker, row, None), told(ready(tmp_path, others), row, None)
    assert set(theirs) == set(ours)
    words, numbers = ("gender", "ethnicity", "emotion"), ("identity", "identity_agreement", "attribute_frames")
    assert [theirs[name] for name in words] == [ours[name] for name in words]
    for name in (*numbers, *(f"{word}_agreement" for word in words)):
        np.testing.assert_allclose(theirs[name], ours[name], atol=1e-3)
    assert ours["age_years"] - 1 < theirs["age_years"] <= ours["age_years"]  # it tells whole years


def test_the_back_end_is_a_setting_that_counts_where_it_is_chosen() -> None:
    assert "backend" not in Attributes().result_settings()
    chosen = Attributes(backend="deepface")
    assert chosen.result_settings()["backend"] == "deepface"
    assert Attributes().optional_model_names()[-1] == ("deepface_identity", "mobilefacenet")
    assert chosen.optional_model_names()[-1] == ("deepface_identity",)  # it cannot run the other
    assert Attributes(backend="deepface", identity=()).optional_model_names() == chosen.optional_model_names()[:-1]
    with pytest.raises(ValueError, match="DeepFace's own nets: identity names mobilefacenet"):
        Attributes(backend="deepface", identity=("mobilefacenet",))


# The whole run


def planted(run: Path, looks: dict[str, Any]) -> Store:
    """A run whose kept samples show these looks: video number -> look, room."""
    store = Store(run)
    with fake_run.together(store):
        for number, (look, room) in enumerate(looks.values()):
            fake_run.add_video(store, number, footage="theatre")
            fake_run.add_person(store, number)
            row = sample(run, fake_run.person_id(number), look, room, 200 + 10 * number)
            fake_run.add(store, "samples", [{**row, "crop_box": [0, 0, 1, 1]}])
    return Store(run)


@pytest.fixture
def cast(tmp_path: Path) -> Store:
    looks = {"a": (ADA, "study"), "b": (BEN, "stage"), "c": (ADA, "lounge"), "d": (GIA, "class"), "e": (ADA, "news")}
    return planted(tmp_path / "run", looks)


@pytest.mark.slow
def test_the_same_puppet_in_other_videos_is_one_speaker(cast: Store, tmp_path: Path) -> None:
    registry, options = Registry(cache=tmp_path / "cache"), Options(workers=0)
    run_stage(Attributes(**THEATRE), cast.run, registry, options)
    run_stage(Speakers(), cast.run, registry, options)
    rows = Store(cast.run).read("speakers").to_pylist()
    assert [row["speaker_samples"] for row in rows] == [3, 1, 3, 1, 3]
    speakers = [row["speaker"] for row in rows]
    assert speakers[0] == speakers[2] == speakers[4] and len(set(speakers)) == 3
    again = run_stage(Speakers(), cast.run, registry, options)
    assert again.pending == 0


def test_without_any_net_the_stage_is_skipped_and_says_how_to_get_them(cast: Store, tmp_path: Path) -> None:
    with pytest.raises(Skipped, match="attributes: none of its nets is here: csg405 models fetch deepface_gender"):
        run_stage(Attributes(identity=("deepface_identity",)), cast.run, Registry(cache=tmp_path), Options(workers=0))


def test_a_net_that_comes_later_makes_everything_pending(cast: Store, tmp_path: Path) -> None:
    registry, options = Registry(cache=tmp_path / "cache"), Options(workers=0)
    first = Attributes(**{**THEATRE, "emotion": ("deepface_emotion",)})
    assert run_stage(first, cast.run, registry, options).pending == 5
    rows = Store(cast.run).read("attributes").to_pylist()
    assert all(row["emotion"] is None and row["gender"] for row in rows)
    assert run_stage(first, cast.run, registry, options).pending == 0
    write_nets(tmp_path / "given")
    registry = Registry(tmp_path / "given", tmp_path / "cache")
    assert run_stage(first, cast.run, registry, options).pending == 0, "a file whose hash nobody knows is not used"
    registry.pin("deepface_emotion")
    assert run_stage(first, cast.run, registry, options).pending == 5
    assert all(row["emotion"] and row["gender"] for row in Store(cast.run).read("attributes").to_pylist())
