"""CSIM of puppets, whose net tells them apart."""

import numpy as np
import pytest

from pipeline.metrics.identity import csim, face_vector
from pipeline.nets.face.identity import IdentityNet
from pipeline.nets.session import open_session
from pipeline.theatre.facenets import build_face_nets
from tests.pipeline.metrics.puppets import played


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> IdentityNet:
    return IdentityNet(open_session(build_face_nets(tmp_path_factory.mktemp("nets"))["identity"], threads=1), batch=4)


def reference(net: IdentityNet, name: str) -> np.ndarray:
    pictures, points, scores, _ = played(name)
    found = face_vector(net, pictures[0], points[0], scores[0])
    assert found is not None and np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
    return found


def test_one_person_is_alike_and_another_is_not(net: IdentityNet) -> None:
    pictures, points, scores, _ = played("talk-1")
    own = csim(net, reference(net, "talk-1"), iter(pictures), points, scores)
    other = csim(net, reference(net, "talk-2"), pictures, points, scores)
    assert own and other and own.value > 0.95 and other.value < 0.5
    assert (own.frames, own.without_face) == (len(pictures), 0)


def test_it_is_the_mean_cosine(net: IdentityNet) -> None:
    pictures, points, scores, _ = played("talk-1")
    vectors = [face_vector(net, *frame) for frame in zip(pictures, points, scores, strict=True)]
    other = np.random.default_rng(0).standard_normal(net.width).astype(np.float32)
    found = csim(net, other / np.linalg.norm(other), pictures, points, scores)
    assert found and found.value == pytest.approx(
        float(np.mean([vector @ other for vector in vectors if vector is not None])) / np.linalg.norm(other), abs=1e-5
    )


def test_frames_without_a_face_are_left_out_and_counted(net: IdentityNet) -> None:
    pictures, points, scores, _ = played("talk-1")
    first = reference(net, "talk-1")
    some, away, dot = scores.copy(), points.copy(), points.copy()
    some[10:] = 0.1
    away[:5] -= [1000, 0]  # its points are outside the picture
    away[5, 60] = np.nan
    dot[:] = 100
    found = csim(net, first, pictures, points, some)
    assert found and (found.frames, found.without_face) == (10, len(pictures) - 10)
    found = csim(net, first, pictures, away, scores)
    assert found and found.without_face == 6 and found.value > 0.95
    for nobody in (points - [0, 5000], np.full_like(points, np.nan), dot):
        assert csim(net, first, pictures, nobody, scores) is None
        assert face_vector(net, pictures[0], nobody[0], scores[0]) is None
    with pytest.raises(ValueError, match="longer than"):
        csim(net, first, pictures[:-1], points, scores)
