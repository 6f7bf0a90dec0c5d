"""Audio features of kept samples: once a clip, in float16, named, and what a missing package or net means."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base import install
from pipeline.engine import runner
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.audio import to_flac
from pipeline.nets.sound.wav2vec import WIDTH, logmel
from pipeline.registry.models import Registry
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.store import Store
from stages.audio_features import STAND_IN, AudioFeatures
from stages.audio_features.worker import AudioFeaturesWorker

VIDEO = "file:0000000000000000"


def sample(first: int, frames: int, person: int = 0, wave: np.ndarray | None = None) -> dict[str, Any]:
    clip = f"{VIDEO}/{first}+{frames}"
    audio = None if wave is None else to_flac(wave)
    return {"person_id": f"{clip}#{person}", "clip_id": clip, "video_id": VIDEO, "frames": frames, "audio": audio}


def noise(seed: int, frames: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.2, 0.2, frames * 640).astype(np.float32)


def features(worker: AudioFeaturesWorker, *samples: dict[str, Any]) -> list[dict[str, Any]]:
    return list(worker.process(Unit(VIDEO, {"samples": list(samples)})))


def test_the_stand_in_of_clips_people_and_silence() -> None:
    worker = AudioFeatures(features=STAND_IN).worker(Context(Path()))
    long, short = noise(0, 150), noise(1, 130)
    rows = features(
        worker, sample(0, 150, 0, long), sample(0, 150, 1, long), sample(200, 130, 0, short), sample(400, 140)
    )
    assert pack_rows(KINDS["audio_features"], VIDEO, rows).num_rows == 4
    assert [row["audio_features_of"] for row in rows] == [STAND_IN] * 4
    assert rows[0]["audio_features"].shape == (150, WIDTH) and rows[0]["audio_features"].dtype == np.float16
    assert np.array_equal(rows[0]["audio_features"], rows[1]["audio_features"])
    assert np.abs(rows[2]["audio_features"] - logmel(short, 130)).mean() < 0.005  # 16 bits of sound and of number
    assert rows[3]["audio_features"] is None


def test_people_of_one_clip_whose_sound_was_mended_differently() -> None:
    worker = AudioFeatures(features=STAND_IN).worker(Context(Path()))
    one, other = features(worker, sample(0, 130, 0, noise(0, 130)), sample(0, 130, 1, noise(1, 130)))
    assert not np.array_equal(one["audio_features"], other["audio_features"])


class Net:
    """Stands for wav2vec: a frame's own number, and a note of what came together."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def features(self, waves: np.ndarray, layer: int) -> np.ndarray:
        self.shapes.append(waves.shape)
        count = (waves.shape[1] - 400) // 320 + 1
        return np.repeat(np.arange(count, dtype=np.float32)[None, :, None], WIDTH, axis=2).repeat(len(waves), axis=0)


def test_clips_of_one_length_go_together() -> None:
    net = Net()
    worker = AudioFeaturesWorker(AudioFeatures(batch=2), net)  # type: ignore[arg-type]
    rows = features(
        worker, *(sample(1000 * k, 130 + 10 * (k == 2), 0, noise(k, 130 + 10 * (k == 2))) for k in range(4))
    )
    assert net.shapes == [(2, 130 * 640), (1, 130 * 640), (1, 140 * 640)]
    assert {row["audio_features_of"] for row in rows} == {"wav2vec2-base-960h/12"}
    for row in rows:  # picture n stands at frame 2 n of wav2vec, less what that one's window reaches ahead
        np.testing.assert_allclose(row["audio_features"][10:100:10, 5], 2 * np.arange(10, 100, 10) - 0.625, atol=0.1)


def test_the_releases_grid_has_a_label_and_windows_of_its_own() -> None:
    class Alone(Net):
        def states(self, waves: np.ndarray, layer: int) -> np.ndarray:
            return self.features(waves, layer)

    net = Alone()
    settings = AudioFeatures(features="wav2vec2_release", batch=2)
    rows = features(
        AudioFeaturesWorker(settings, net),  # type: ignore[arg-type]
        sample(0, 300, 0, noise(0, 300)),
        sample(500, 130, 0, noise(1, 130)),
    )
    assert net.shapes == [(2, 160_000), (1, 160_000)]
    assert {row["audio_features_of"] for row in rows} == {"wav2vec2-base-960h/12/release"}
    assert rows[0]["audio_features"][:, 9].tolist() == [2 * n for n in (*range(250), *range(50))]
    assert rows[1]["audio_features"].shape == (130, WIDTH) and rows[1]["audio_features"].dtype == np.float16
    assert settings.model_names() == (("wav2vec2",),) and "transformers" in settings.needed_modules()


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(cache=tmp_path, download=False)
    monkeypatch.setattr(runner, "importable", lambda name: name != "transformers")
    with pytest.raises(runner.Skipped, match=re.escape(f"no transformers: {install.with_extra('train')}")):
        runner.run_stage(AudioFeatures(), tmp_path, registry)
    monkeypatch.setattr(runner, "importable", lambda name: True)
    with pytest.raises(runner.Skipped, match="csg405 models fetch wav2vec2"):
        runner.run_stage(AudioFeatures(), tmp_path, registry)
    monkeypatch.setattr(runner, "importable", lambda name: False)
    summary = runner.run_stage(AudioFeatures(features=STAND_IN), tmp_path, registry, store=Store(tmp_path))
    assert summary.units == 0  # the stand-in needs neither
