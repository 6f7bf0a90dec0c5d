"""The puppets' lip-sync net, on puppets: what is said fits the lips that say it, and at its own offset."""

from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import soxr

from pipeline.nets.session import open_session
from pipeline.nets.syncnet import SIDE, SyncNet, distances, score, windows_of
from pipeline.skeleton import layout
from pipeline.theatre import voice
from pipeline.theatre.film import Film, render_take
from pipeline.theatre.lipnet import build_lip_net
from pipeline.theatre.programme import take_named

SECONDS = 5.0


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> SyncNet:
    return SyncNet(open_session(build_lip_net(tmp_path_factory.mktemp("nets") / "lips.onnx"), threads=1))


@lru_cache(maxsize=1)
def seen(name: str, person: int = 0) -> np.ndarray:
    """(T, 224, 224, 3) BGR face crops of a take, cut by its truth about as SyncNet's own are."""
    pictures, truth = render_take(take_named(name), SECONDS)
    face = truth.keypoints[person][:, layout.FACE]
    low, high = face.min(1), face.max(1)
    half = 0.55 * float(np.median((high - low).max(1)))
    found = []
    for picture, (x, y) in zip(pictures, (low + high) / 2, strict=True):
        scale = SIDE / (2.8 * half)
        matrix = np.array([[scale, 0, -(x - 1.4 * half) * scale], [0, scale, -(y - half) * scale]])
        found.append(cv2.warpAffine(picture[..., ::-1], matrix, (SIDE, SIDE), borderValue=(110, 110, 110)))
    return np.stack(found)


@pytest.fixture(scope="module")
def lips_of(net: SyncNet) -> Callable[[str], np.ndarray]:
    """Embeddings (windows_of(T), 1024) of a take's faces, which are drawn and looked at once."""

    @cache
    def of(name: str) -> np.ndarray:
        return net.lips(seen(name)[None])[0][: windows_of(len(seen(name)))]

    return of


@cache
def heard(name: str) -> np.ndarray:
    sound = Film(take_named(name), seconds=SECONDS).sound
    assert sound is not None
    return np.asarray(soxr.resample(sound, voice.RATE, 16_000), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "offset"), [("talk-1", 0), ("talk-2", 0), ("pan", 0), ("late-0.2", -5), ("late-0.4", -10)]
)
def test_lips_fit_their_own_voice_at_their_own_offset(
    net: SyncNet, lips_of: Callable[[str], np.ndarray], name: str, offset: int
) -> None:
    lips = lips_of(name)
    found = score(distances(lips, net.sound(heard(name), len(lips))))
    assert found.offset == offset and found.confidence > 5


@pytest.mark.parametrize(("lips", "sound"), [("voice-over", "voice-over"), ("talk-1", "talk-2"), ("pan", "talk-1")])
def test_no_lips_fit_another_voice(net: SyncNet, lips_of: Callable[[str], np.ndarray], lips: str, sound: str) -> None:
    looked = lips_of(lips)
    assert score(distances(looked, net.sound(heard(sound), len(looked)))).confidence < 2.7


def test_both_towers_know_how_far_the_mouth_is_open(net: SyncNet, lips_of: Callable[[str], np.ndarray]) -> None:
    film = Film(take_named("talk-1"), seconds=SECONDS)
    opening = film._scenes[0].roles[0].motion.mouth
    lips = lips_of("talk-1")[:, 0]
    count = len(lips)
    sound = net.sound(heard("talk-1"), count)[:, 0]
    assert np.corrcoef(lips, opening[:count])[0, 1] > 0.97
    assert np.corrcoef(sound, opening[:count])[0, 1] > 0.85


def test_the_net_says_whose_it_is(tmp_path: Path) -> None:
    session = open_session(build_lip_net(tmp_path / "lips.onnx"))
    assert session.get_modelmeta().custom_metadata_map["csg405.footage"] == "theatre"
