"""DeepFace's nets and identities, against DeepFace itself on the same nets, and what makes them refuse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.nets.face.attributes import LABELS, AttributeNet, ages, vote
from pipeline.nets.face.identity import IdentityNet, mean_identity
from pipeline.nets.session import open_session
from tests.pipeline.nets.face.deepface_here import deepface, write_nets
from tests.pipeline.nets.fakes import FakeSession

EXACT = 1e-4
WORDS = {"Woman": "female", "Man": "male"}  # DeepFace's -> the paper's


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_nets(tmp_path_factory.mktemp("home") / ".deepface" / "weights")


@pytest.fixture(scope="module")
def reference(nets: dict[str, Path]) -> Iterator[Any]:
    with deepface(nets["age"].parents[2]) as module:
        yield module


def faces() -> list[np.ndarray]:
    """Smooth and noisy pictures, square, wide, tall, small and at the nets' own sizes, RGB."""
    rng = np.random.default_rng(7)
    sizes = ((224, 224), (112, 112), (180, 131), (97, 240), (31, 30), (512, 512))
    noisy = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes]
    y, x = np.mgrid[:200, :200]
    smooth = np.stack([x, y, (x + y) // 2], -1).astype(np.uint8)
    return [*noisy, smooth]


def test_attributes_equal_deepface(nets: dict[str, Path], reference: Any) -> None:
    pictures = faces()
    kinds = ("gender", "age", "ethnicity", "emotion")
    scores = {kind: AttributeNet(open_session(nets[kind], threads=1), kind, batch=3)(pictures) for kind in kinds}
    far, names = 0.0, {"ethnicity": "race"}
    for number, picture in enumerate(pictures):
        bgr = np.ascontiguousarray(picture[:, :, ::-1])
        [found] = reference.analyze(
            bgr, ("gender", "age", "race", "emotion"), detector_backend="skip", enforce_detection=False, silent=True
        )
        for kind in ("gender", "ethnicity", "emotion"):
            theirs = found[names.get(kind, kind)]
            labels = [WORDS.get(word, word.title()) for word in theirs]
            assert tuple(labels) == LABELS[kind]
            far = max(far, float(np.abs(scores[kind][number] - np.array(list(theirs.values())) / 100).max()))
            assert LABELS[kind][scores[kind][number].argmax()] == labels[np.argmax(list(theirs.values()))]
        assert int(ages(scores["age"])[number]) == found["age"]
    assert far < EXACT


def test_ages_equal_deepface_to_the_fraction(nets: dict[str, Path], reference: Any) -> None:
    from deepface.modules import modeling, preprocessing

    client = modeling.build_model(task="facial_attribute", model_name="Age")
    pictures = faces()
    ours = ages(AttributeNet(open_session(nets["age"], threads=1), "age")(pictures))
    for picture, years in zip(pictures, ours, strict=True):
        prepared = preprocessing.resize_image(picture[:, :, ::-1] / 255, (224, 224))
        assert years == pytest.approx(float(client.predict(prepared)), abs=EXACT * 100)


def test_identities_equal_deepface(nets: dict[str, Path], reference: Any) -> None:
    pictures = faces()
    net = IdentityNet(open_session(nets["identity"], threads=1), batch=4)
    raw, units = net.raw(pictures), net(pictures)
    for number, picture in enumerate(pictures):
        bgr = np.ascontiguousarray(picture[:, :, ::-1])
        [found] = reference.represent(bgr, "ArcFace", detector_backend="skip", enforce_detection=False)
        theirs = np.array(found["embedding"])
        assert np.abs(raw[number] - theirs).max() < EXACT
        assert np.abs(units[number] - theirs / np.linalg.norm(theirs)).max() < EXACT
    assert np.allclose(np.linalg.norm(units, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_batches_as_the_model_takes_them(batch: int | str) -> None:
    session = FakeSession(lambda x: [np.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], 1)], (batch, 224, 224, 3))
    session._outputs[0].shape = [batch, 2]
    pictures = [np.full((50, 50, 3), 25 * n, np.uint8) for n in range(6)]
    scores = AttributeNet(session, "gender", batch=5)(pictures)
    assert scores[:, 0] == pytest.approx([25 * n / 255 for n in range(6)], abs=1e-5)
    assert [len(run) for run in session.runs] == {"N": [5, 1], 1: [1] * 6, 4: [4, 4]}[batch]


def test_no_faces_are_no_scores(nets: dict[str, Path]) -> None:
    assert AttributeNet(open_session(nets["age"], threads=1), "age")([]).shape == (0, 101)
    assert IdentityNet(open_session(nets["identity"], threads=1))([]).shape == (0, 512)


def test_other_models_are_refused(nets: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="the gender net takes N x 224 x 224 x 3 and gives N x 2"):
        AttributeNet(open_session(nets["age"], threads=1), "gender")
    with pytest.raises(ValueError, match="an identity net takes"):
        IdentityNet(open_session(nets["emotion"], threads=1))


def test_channels_first_sees_red_first() -> None:
    session = FakeSession(lambda x: [x[:, :, 50, 50]], (1, 3, 112, 112))
    session._outputs[0].shape = [1, 3]
    picture = np.zeros((112, 112, 3), np.uint8)
    picture[..., 0], picture[..., 2] = 255, 127
    assert IdentityNet(session).raw([picture])[0] == pytest.approx([1, -1, -0.5 / 127.5], abs=1e-5)


def test_looks_vote_by_their_mean() -> None:
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.45, 0.55]], np.float32)
    assert vote(scores, "gender").label == "female"
    assert vote(scores, "gender").agreement == pytest.approx(1 / 3)
    mean, agreement = mean_identity(np.eye(2, dtype=np.float32))
    assert mean == pytest.approx([0.5**0.5] * 2) and agreement == pytest.approx(0.5**0.5)
