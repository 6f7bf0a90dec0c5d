"""DeepFace as a back-end: what it says of our faces with given weights, beside our own sessions of the same."""

import builtins
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base import install
from pipeline.nets.face.attributes import AttributeNet, ages
from pipeline.nets.face.deepface import ACTIONS, DeepFaceReference
from pipeline.nets.face.identity import IdentityNet
from pipeline.nets.session import ModelRefused, open_session
from tests.pipeline.nets.face.deepface_here import write_nets

SAME = 1e-3


def reference(weights: dict[str, Path]) -> DeepFaceReference:
    """DeepFace with these weights; skips where it, or what it imports, is not installed."""
    try:
        return DeepFaceReference(weights)
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_nets(tmp_path_factory.mktemp("nets"))


def faces(seed: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    noisy = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((224, 224), (112, 112))]
    y, x = np.mgrid[:224, :224]
    return [*noisy, np.stack([x, y, (x + y) // 2], -1).astype(np.uint8)]


def ours(weights: dict[str, Path], kind: Any) -> np.ndarray:
    return AttributeNet(open_session(weights[kind], threads=1), kind)(faces())


def test_it_says_what_our_sessions_say(nets: dict[str, Path]) -> None:
    theirs, pictures = reference(nets), faces()
    scores, years = theirs.analyze(pictures)
    assert set(scores) == set(ACTIONS.values()) and years is not None
    for kind, found in scores.items():
        np.testing.assert_allclose(found, ours(nets, kind), atol=SAME)
        assert np.ptp(found, axis=0).max() > 10 * SAME, "nets that say the same of every face prove nothing"
    exact = ages(ours(nets, "age"))
    assert years.tolist() == np.floor(exact).tolist()
    vectors = theirs.represent(pictures)
    assert vectors is not None and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, IdentityNet(open_session(nets["identity"], threads=1))(pictures), atol=SAME)


def test_two_sets_of_weights_do_not_mix(nets: dict[str, Path], tmp_path: Path) -> None:
    others = write_nets(tmp_path, seed=7)
    one, other = reference(nets), reference(others)
    for weights, theirs in ((nets, one), (others, other), (nets, one)):
        np.testing.assert_allclose(theirs.analyze(faces())[0]["emotion"], ours(weights, "emotion"), atol=SAME)
    assert np.abs(ours(nets, "emotion") - ours(others, "emotion")).max() > 10 * SAME


def test_what_has_no_weights_is_not_asked_for(nets: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = reference({"gender": nets["gender"]})
    weight_utils = pytest.importorskip("deepface.commons.weight_utils")
    monkeypatch.setattr(weight_utils.gdown, "download", lambda *a, **k: pytest.fail("it downloads"))
    scores, years = theirs.analyze(faces())
    assert set(scores) == {"gender"} and years is None and theirs.represent(faces()) is None
    alone, _ = reference({"age": nets["age"]}).analyze(faces())
    assert alone == {}
    assert reference({"identity": nets["identity"]}).analyze(faces()) == ({}, None)


def test_the_environment_is_left_as_it_was(nets: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPFACE_HOME", "/elsewhere")
    monkeypatch.delenv("DEEPFACE_ONNX_PROVIDERS", raising=False)
    reference({"gender": nets["gender"]})
    assert os.environ["DEEPFACE_HOME"] == "/elsewhere" and "DEEPFACE_ONNX_PROVIDERS" not in os.environ


def test_weights_are_looked_at_before_they_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "gender.onnx").write_bytes(b"no net")
    with pytest.raises(ModelRefused, match="not an ONNX model"):
        DeepFaceReference({"gender": tmp_path / "gender.onnx"})


def test_without_the_package_it_says_what_to_install(nets: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "deepface":
            raise ModuleNotFoundError(f"No module named {name!r}", name="deepface")
        return real(name, *rest, **more)

    for name in [name for name in sys.modules if name.partition(".")[0] == "deepface"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        ImportError, match=re.escape(f"the backend deepface needs deepface: {install.with_extra('attributes')}")
    ):
        DeepFaceReference({"gender": nets["gender"]})
