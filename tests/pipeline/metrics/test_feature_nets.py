"""The nets of FID and FVD: both forms see the same, and what is no such net is refused."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.metrics.feature_net import BadFeatures, is_torchscript
from pipeline.metrics.i3d import I3D, clips_of
from pipeline.metrics.inception import Inception, resized
from pipeline.nets.session import ModelRefused
from pipeline.registry.models import load_entries
from tests.pipeline.metrics.feature_nets import I3DLike, InceptionLike, as_onnx, script, torch

PICTURE, CLIP = ("N", 3, 299, 299), ("N", 3, "T", 224, 224)
Kind = tuple[Callable[[Path], Any], Any, tuple[Any, ...], int, tuple[int, ...]]
INCEPTION: Kind = (Inception, InceptionLike, PICTURE, 2048, (60, 44, 3))
KINDS: list[Kind] = [INCEPTION, (I3D, I3DLike, CLIP, 400, (16, 40, 30, 3))]


def inputs(shape: tuple[int, ...], count: int = 5, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8))


@pytest.mark.parametrize(("net", "like", "takes", "width", "shape"), KINDS)
def test_both_forms_give_the_same(tmp_path: Path, net: Any, like: Any, takes: Any, width: int, shape: Any) -> None:
    scripted = net(script(tmp_path / "net.pt", like, width), batch=2)
    graph = net(as_onnx(tmp_path / "net.onnx", takes, width), batch=3, threads=1)
    larger = (*shape[:-3], 320, 400, 3)
    seen = [*inputs(shape), *inputs(larger, 1)]  # another size begins another batch
    one, other = list(scripted(seen)), list(graph(iter(seen)))
    assert [len(batch) for batch in one] == [2, 2, 1, 1] and [len(batch) for batch in other] == [3, 2, 1]
    np.testing.assert_allclose(np.concatenate(one), np.concatenate(other), atol=1e-4)
    assert np.concatenate(one).shape == (6, width) and np.ptp(np.concatenate(one)[:, :3]) > 0.01
    assert list(scripted([])) == []
    by_twos = net(as_onnx(tmp_path / "fixed.onnx", (2, *takes[1:]), width), batch=7)
    np.testing.assert_allclose(np.concatenate(list(by_twos(seen))), np.concatenate(other), atol=1e-5)


def test_pictures_are_resized_as_tensorflow_1_does() -> None:
    """Pixel i looks at i x W / side, so that the first pixel stays and the last looks half a pixel too far to the left."""
    picture = np.repeat(np.arange(0, 200, 20, dtype=np.uint8)[None, :, None], 10, 0).repeat(3, 2)
    np.testing.assert_allclose(resized(picture, 20)[4, :, 1], [*np.arange(0, 190, 10), 180], atol=1e-4)
    same = inputs((299, 299, 3), 1)[0]
    np.testing.assert_array_equal(resized(same), same)


@pytest.mark.parametrize(("net", "like", "takes", "width", "shape"), KINDS)
def test_features_of_another_width_and_nan(
    tmp_path: Path, net: Any, like: Any, takes: Any, width: int, shape: Any
) -> None:
    makers = {"pt": lambda *a: script(tmp_path / "net.pt", like, *a)}
    makers["onnx"] = lambda *a: as_onnx(tmp_path / "net.onnx", takes, *a)
    for make in makers.values():
        with pytest.raises(BadFeatures, match=rf"gives {width} numbers .* gave \(1, 7\)"):
            next(net(make(7))(inputs(shape, 1)))
        with pytest.raises(BadFeatures, match="not finite"):
            next(net(make(width, float("nan")))(inputs(shape, 1)))


@pytest.mark.parametrize(("net", "like", "takes", "width", "shape"), KINDS)
def test_other_files_are_refused(tmp_path: Path, net: Any, like: Any, takes: Any, width: int, shape: Any) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "run",)

    bad = tmp_path / "bad.pt"
    for write in (
        lambda: bad.write_bytes(pickle.dumps(Evil())),
        lambda: torch.save({"weight": torch.ones(3)}, bad),
        lambda: torch.save(Evil(), bad),
        lambda: bad.write_bytes(b""),
        lambda: bad.write_bytes(script(tmp_path / "net.pt", like, width).read_bytes()[:-3000]),
        lambda: as_onnx(bad, ("N", 3, 64, 64), width),
    ):
        write()
        with pytest.raises(ModelRefused):
            net(bad)
    assert not (tmp_path / "run").exists(), "nothing that a file says was run"
    with pytest.raises(FileNotFoundError):
        net(tmp_path / "none.pt")


def test_a_torchscript_whose_code_is_broken_is_refused(tmp_path: Path) -> None:
    import zipfile

    good = script(tmp_path / "net.pt", InceptionLike, 2048)
    assert is_torchscript(good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(tmp_path / "bad.pt", "w") as target:
        for item in source.infolist():
            content = source.read(item)
            target.writestr(item, b"def nonsense(" if item.filename.endswith(".py") else content)
    with pytest.raises(ModelRefused, match="cannot be loaded"):
        Inception(tmp_path / "bad.pt")


def test_what_is_no_picture_and_no_clip(tmp_path: Path) -> None:
    inception = Inception(as_onnx(tmp_path / "a.onnx", PICTURE, 2048))
    i3d = I3D(as_onnx(tmp_path / "b.onnx", CLIP, 400))
    for wrong in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(ValueError, match="RGB pictures"):
            list(inception([wrong]))
    for wrong in (np.zeros((8, 5, 5, 3), np.uint8), np.zeros((16, 5, 5, 3)), np.zeros((5, 5, 3), np.uint8)):
        with pytest.raises(ValueError, match="9 frames or more"):
            list(i3d([wrong]))


def test_a_net_of_fixed_length_says_so(tmp_path: Path) -> None:
    i3d = I3D(as_onnx(tmp_path / "net.onnx", ("N", 3, 16, 224, 224), 400))
    assert next(i3d(inputs((16, 20, 20, 3), 1))).shape == (1, 400)
    with pytest.raises(ValueError, match="clips of 16 frames, not of 17"):
        next(i3d(inputs((17, 20, 20, 3), 1)))


@pytest.mark.parametrize(
    ("length", "stride", "starts"), [(16, 16, [0, 16]), (16, 8, [0, 8, 16, 24]), (4, 15, [0, 15, 30]), (41, 1, [])]
)
def test_windows_of_a_video(length: int, stride: int, starts: list[int]) -> None:
    pictures = np.arange(40, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    found = list(clips_of(iter(pictures), length, stride))
    assert [int(clip[0, 0, 0, 0]) for clip in found] == starts
    for clip in found:
        assert len(clip) == length and (np.diff(clip[:, 0, 0, 0].astype(int)) == 1).all()
    with pytest.raises(ValueError, match="at least one frame"):
        next(clips_of(pictures, 16, 0))


def test_the_registry_knows_where_they_come_from() -> None:
    for name, size in (("inception", 95_607_719), ("i3d", 51_235_320)):
        entry = load_entries()[name]
        assert entry.url.startswith("https://") and entry.bytes == size and len(entry.sha256) == 64
