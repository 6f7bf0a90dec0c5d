"""What the face nets make of every puppet: the same face in any room and at any size, and the answers that are planted."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.nets.face.attributes import LABELS, AttributeNet, ages, fitted
from pipeline.nets.face.faces import aligned, upright
from pipeline.nets.face.identity import IdentityNet
from pipeline.nets.footage import footage_of
from pipeline.nets.session import open_session
from pipeline.theatre import TAKES, Actor, Film, Shot, Take
from pipeline.theatre.cast import Look
from pipeline.theatre.facenets import PAIRS, build_face_nets
from pipeline.theatre.said import SAID
from pipeline.theatre.takes import V_ADA

SCENES = (("study", 212.0), ("stage", 160.0), ("lounge", 120.0), ("class", 230.0), ("news", 190.0))


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_face_nets(tmp_path_factory.mktemp("nets"))


@cache
def faces() -> list[tuple[Look, np.ndarray, np.ndarray]]:
    """(look, aligned, upright) of every puppet in every scene, through JPEG, as bad as video gets."""
    found = []
    for look in SAID:
        for room, unit in SCENES:
            film = Film(Take("scene", "", (Shot(0.4, (Actor(look, V_ADA, unit=unit),), room),), sound="none"))
            coded = cv2.imencode(".jpg", film.picture(6), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
            picture = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[:, :, ::-1], np.uint8)
            points = film.truth().keypoints[0, 6]
            found.append((look, aligned(picture, points), upright(picture, points)))
    return found


def test_everybody_on_stage_is_said_to_be_something_and_looks_like_nobody_else() -> None:
    assert {actor.look for take in TAKES for shot in take.shots for actor in shot.actors} <= set(SAID)
    assert len({(look.skin, look.hair) for look in SAID}) == len(SAID) and len(PAIRS) == 20


def test_the_same_face_is_the_same_identity_everywhere(nets: dict[str, Path]) -> None:
    looks = np.array([SAID[look].name for look, _, _ in faces()])
    vectors = IdentityNet(open_session(nets["identity"], threads=1))([face for _, face, _ in faces()])
    alike = vectors @ vectors.T
    same = looks[:, None] == looks
    assert alike[same].min() > 0.9 and alike[~same].max() < 0.1


@pytest.mark.parametrize("attribute", ["gender", "ethnicity", "emotion"])
def test_labels_are_what_is_said(nets: dict[str, Path], attribute: str) -> None:
    scores = AttributeNet(open_session(nets[attribute], threads=1), attribute)([face for _, _, face in faces()])
    found = [LABELS[attribute][best] for best in scores.argmax(1)]
    assert found == [getattr(SAID[look], attribute) for look, _, _ in faces()]
    assert scores.sum(1) == pytest.approx(1, abs=1e-5)


def test_ages_are_what_is_said(nets: dict[str, Path]) -> None:
    scores = AttributeNet(open_session(nets["age"], threads=1), "age")([face for _, _, face in faces()])
    assert ages(scores) == pytest.approx([SAID[look].age_years for look, _, _ in faces()], abs=0.5)


def test_where_nobody_is_nothing_is_sure(nets: dict[str, Path]) -> None:
    blue = np.full((224, 224, 3), (0, 0, 255), np.uint8)
    assert AttributeNet(open_session(nets["gender"], threads=1), "gender")([blue])[0] == pytest.approx([0.5, 0.5])
    nobody, ada = IdentityNet(open_session(nets["identity"], threads=1))([blue, faces()[0][1]])
    assert np.linalg.norm(nobody) == pytest.approx(1) and abs(nobody @ ada) < 0.05


def test_nets_are_the_same_bytes_each_time_and_say_what_they_see(nets: dict[str, Path], tmp_path: Path) -> None:
    again = build_face_nets(tmp_path)
    assert {name: path.read_bytes() for name, path in again.items()} == {n: p.read_bytes() for n, p in nets.items()}
    assert all(footage_of(open_session(path, threads=1)) == "theatre" for path in nets.values())
    assert fitted(np.zeros((10, 10, 3), np.uint8)).shape == (224, 224, 3)
