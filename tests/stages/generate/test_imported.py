"""A generation by the authors' weights: their audio grid is computed for the voice, whatever features a clip's row holds."""

from pathlib import Path

import numpy as np
import pytest

from tests.stages.generate.studio import Place, somebody
from tests.stages.imported import imported, listening

pytestmark = pytest.mark.usefixtures("one_thread", "unfilmed")


@pytest.fixture(scope="module")
def authors(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    return imported(tmp_path_factory.mktemp("authors"))


def test_a_voice_of_any_length_is_heard_in_windows_of_ten_seconds(
    place: Place, authors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = listening(monkeypatch)
    reference = place.npz(somebody(place.made))
    found = place.generate(model=authors, audio=place.wav(10.4), skeleton=reference, sampler_steps=1)
    assert found["keypoints"].shape == (260, 133, 2) and heard == [(1, 160_000), (1, 160_000)]
    assert found["about"]["audio_features_of"] == "wav2vec2-base-960h/12/release"
    assert found["about"]["net"]["arch"] == "release" and found["about"]["settings"]["guidance"] == 3.5
    feet = list(range(13, 23))
    assert np.isnan(found["keypoints"][:, feet]).all() and not found["scores"][:, feet].any()
    assert np.isfinite(np.delete(found["keypoints"], feet, 1)).all()


def test_a_clip_with_other_features_is_heard_anew(place: Place, authors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = listening(monkeypatch)
    assert place.generate(model=authors, sampler_steps=1)["local"].shape == (150, 133, 2)
    assert heard == [(1, 160_000)]
