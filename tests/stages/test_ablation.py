"""Planted truth: after minutes of training the mouth follows the voice of speakers never seen, and limbs keep their length."""

import json
from typing import Any

import pytest

from pipeline.engine.session import Session
from stages.ablation import Ablation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CROSSED_STEPS = 600  # at which the full model's mouth already follows


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Scores of each variant, trained with the settings of `make ablation`."""
    run = tmp_path_factory.mktemp("ablation")
    session = Session("folder", str(run), "", "", "", "", ())
    Ablation(variants=("full",), seeds=1).run(session)
    full = json.loads((run / "ablation" / "ablation.json").read_text())["rows"]
    Ablation(variants=("cross-attention",), seeds=1, steps=CROSSED_STEPS).run(session)
    crossed = json.loads((run / "ablation" / "ablation.json").read_text())["rows"]
    return {row["variant"]: row for row in (*full, *crossed)}


def test_the_mouth_follows_the_voice_of_speakers_never_seen(scores: dict[str, dict[str, Any]]) -> None:
    assert scores["full"]["mouth_correlation"] >= 0.9


def test_limbs_keep_the_length_of_the_reference(scores: dict[str, dict[str, Any]]) -> None:
    assert all(scores["full"][f"{limb}_error_percent"] <= 5 for limb in ("upper_arm", "forearm", "shoulders"))


def test_with_cross_attention_synchrony_drops(scores: dict[str, dict[str, Any]]) -> None:
    assert scores["cross-attention"]["mouth_correlation"] < scores["full"]["mouth_correlation"] - 0.1
