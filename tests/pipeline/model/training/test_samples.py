"""Measures of generated validation clips, in the notes of a run."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from pipeline.model.audio_to_skeleton import AudioToSkeleton, Motion
from pipeline.model.training.cache import Cache, open_cache
from pipeline.model.training.metrics import METRICS
from pipeline.model.training.samples import Generated, cases_of, measured
from pipeline.skeleton.local import to_local
from tests.pipeline.model.training.small import fit, losses, shard_rows, write_shards

NAMES = ("generated_mouth_to_sound", "true_mouth_to_sound", "generated_limb_error_percent", "generated_jitter")


@pytest.fixture(scope="module")
def held_out(shards: Path) -> Cache:
    return open_cache(shards, "validation", shards.parent / "cache")


def test_the_truth_measures_as_the_truth_and_what_is_off_by_how_much(shards: Path, held_out: Cache) -> None:
    for case in cases_of(held_out, shards, [0, 1]):
        true = case.true.astype(float)
        assert case.wave is not None and len(case.wave) == 640 * len(true) == 640 * len(case.audio)
        own = measured(case, true)
        assert own["generated_mouth_to_sound"] == own["true_mouth_to_sound"] > 0.9
        assert (own["generated_limb_error_percent"], own["generated_jitter"]) == (0, 1)
        larger = measured(case, true * 1.2)
        assert larger["generated_limb_error_percent"] == pytest.approx(20)
        assert larger["generated_jitter"] == pytest.approx(1.2)
        turned = measured(case, true[::-1])
        assert turned["generated_mouth_to_sound"] < 0.5


def test_each_clip_is_generated_from_its_own_sound_and_reference(
    shards: Path, held_out: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that knows the truth by the sound scores as the truth."""
    found = Generated(held_out, shards, 9)
    assert len(found.cases) == len(held_out) == 2, "no more than there are"
    known = {case.audio.tobytes(): case for case in found.cases}

    def generate(self: AudioToSkeleton, audio: np.ndarray, reference: object, **ways: object) -> Motion:
        case = known[audio.tobytes()]
        assert case.reference is reference and ways["sampler"] == "ddim"
        local, neck = to_local(case.true)
        return Motion(local, neck, np.ones(133, np.float32))

    monkeypatch.setattr(AudioToSkeleton, "generate", generate)
    from pipeline.model.dit import NetSettings

    model = AudioToSkeleton.new(NetSettings(size="tiny", window_frames=40), "logmel768")
    measures = found.measures(model)
    assert measures["generated_mouth_to_sound"] == pytest.approx(measures["true_mouth_to_sound"], abs=1e-4)
    assert measures["generated_limb_error_percent"] < 0.1 and measures["generated_jitter"] == pytest.approx(1, abs=1e-2)


def test_a_run_notes_them_where_it_is_told_to_and_goes_on_without_sound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = shard_rows(3, 5.0)
    shards = write_shards(tmp_path / "shards", {"train": rows[:2], "validation": [{**rows[2], "audio": None}]})
    with caplog.at_level(logging.WARNING):
        fit(shards, tmp_path / "run", steps=5, generate_every=2, validate_every=9)
    for name in ("generated_limb_error_percent", "generated_jitter"):
        found = losses(tmp_path / "run", name)
        assert list(found) == [2, 4, 5] and all(np.isfinite(value) and value > 0 for value in found.values())
    assert not losses(tmp_path / "run", "generated_mouth_to_sound")
    assert "generated clips: generated_mouth_to_sound, true_mouth_to_sound" in caplog.text
    fit(shards, tmp_path / "none", steps=2)
    assert not any(name in line for name in NAMES for line in map(json.loads, (tmp_path / "none" / METRICS).open()))
