"""Sync-C and Sync-D of puppets; that they are what the stage stores is tested with the stage."""

import numpy as np
import pytest

from pipeline.metrics.sync import sync
from pipeline.nets.session import open_session
from pipeline.nets.syncnet import SyncNet
from pipeline.theatre.lipnet import build_lip_net
from tests.pipeline.metrics.puppets import played

SECONDS = 4.0


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> SyncNet:
    return SyncNet(open_session(build_lip_net(tmp_path_factory.mktemp("nets") / "lips.onnx"), threads=1), batch=16)


@pytest.mark.slow
def test_own_sound_fits_and_another_does_not(net: SyncNet) -> None:
    pictures, points, scores, wave = played("talk-1", SECONDS)
    own = sync(net, iter(pictures), points, scores, wave)
    other = sync(net, pictures, points, scores, played("talk-2", SECONDS)[3])
    assert own and other and own.offset == 0
    assert own.confidence > other.confidence + 1 and own.distance < other.distance - 1
    late = sync(net, pictures, points, scores, np.pad(wave, (4 * 640, 0)))
    assert late and late.offset == -4


def test_where_nothing_can_be_said(net: SyncNet) -> None:
    pictures, points, scores, wave = played("talk-1", SECONDS)
    hidden = scores * (np.arange(len(scores)) < 10)[:, None]
    for frames, seen, settings in (
        (len(scores), hidden, {}),
        (len(scores), scores, {"min_px": 5000.0}),
        (5, scores, {}),
        (0, scores, {}),
    ):
        assert sync(net, pictures[:frames], points[:frames], seen[:frames], wave, **settings) is None
    now_and_then = scores * (np.arange(len(scores)) % 3 > 0)[:, None]
    assert sync(net, pictures, points, now_and_then, wave) is None, "no five pictures running show the face"
    with pytest.raises(ValueError, match="shorter"):
        sync(net, pictures[:-1], points, scores, wave)


def test_missing_sound_is_silence(net: SyncNet) -> None:
    pictures, points, scores, wave = played("talk-1", SECONDS)
    half = wave[: len(wave) // 2]
    padded = np.pad(half, (0, len(wave) - len(half)))
    assert sync(net, pictures, points, scores, half) == sync(net, pictures, points, scores, padded)
    assert sync(net, pictures, points, scores, np.concatenate([wave, wave])) == sync(
        net, pictures, points, scores, wave
    )
