"""Thresholds as fields: found, ordered, compared, and refused where they contradict themselves."""

from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from pipeline.base.reasons import Reason
from pipeline.engine.lookup import settings_class
from pipeline.engine.thresholds import Threshold, at_least, at_most, excess, thresholds


class Some(BaseModel):
    max_voices: int | None = at_most("voices", None, Reason.OVERLAPPED_SPEECH, "different voices", "overlaps")
    other: int = 3
    max_yaw_degrees: float | None = at_most("yaw_degrees", 50.0, Reason.SIDE_VIEW, "turn, degrees")
    min_wrists_share: float | None = at_least("wrists_share", 0.5, Reason.UPPER_BODY_INCOMPLETE, "of both wrists")
    min_seen_share: float | None = at_least("seen_share", 0.9, Reason.UPPER_BODY_INCOMPLETE, "of the person")


def test_a_threshold_is_a_setting_with_a_default_and_a_description() -> None:
    assert list(Some.model_fields) == ["max_voices", "other", "max_yaw_degrees", "min_wrists_share", "min_seen_share"]
    assert Some().model_dump() == {
        "max_voices": None, "other": 3, "max_yaw_degrees": 50.0, "min_wrists_share": 0.5, "min_seen_share": 0.9,
    }  # fmt: skip
    assert Some.model_fields["max_yaw_degrees"].description == "turn, degrees"


def test_they_stand_in_the_order_of_their_reasons_then_of_the_fields() -> None:
    found = thresholds(Some)
    assert [one.setting for one in found] == ["min_wrists_share", "min_seen_share", "max_yaw_degrees", "max_voices"]
    assert found[2] == Threshold("max", "yaw_degrees", Reason.SIDE_VIEW, "pose_measures", 50.0)
    assert [one.unit for one in found] == ["share", "share", "deg", ""]
    assert [one.sign for one in found] == ["<", "<", ">", ">"]


@pytest.mark.parametrize(
    ("at", "expected"), [(at_least, [True, False, False, False]), (at_most, [False, False, True, False])]
)
def test_what_equals_the_limit_or_is_not_known_passes(at: Any, expected: list[bool]) -> None:
    class One(BaseModel):
        min_jitter: float | None = at_least("jitter", 2.0, Reason.JITTERY, "")
        max_jitter: float | None = at_most("jitter", 2.0, Reason.JITTERY, "")

    [threshold] = [one for one in thresholds(One) if (one.side == "min") == (at is at_least)]
    assert threshold.fails(np.array([1.0, 2.0, 3.0, np.nan]), 2.0).tolist() == expected


def test_a_measure_that_no_table_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="'beauty', which is no column of pose_measures"):
        at_least("beauty", 0.5, Reason.JITTERY, "")
    with pytest.raises(ValueError, match="no column of overlaps"):
        at_least("jitter", 0.5, Reason.JITTERY, "", "overlaps")


def test_a_setting_that_is_not_called_as_its_threshold_is_refused() -> None:
    class Wrong(BaseModel):
        max_jitter: float | None = at_least("jitter", 0.5, Reason.JITTERY, "")

    with pytest.raises(ValueError, match="max_jitter holds a threshold that is called min_jitter"):
        thresholds(Wrong)


def test_details_say_how_far_beyond_a_limit_a_value_lies() -> None:
    for check in thresholds(settings_class("judge")):
        assert excess(check.words(1.5, 2)) == 0.25
        assert excess(check.words(-1e-7, -0.5)) == pytest.approx(1)
    assert excess("overlap_share 0.7594 share > 0.02") == pytest.approx(36.97)
    assert excess("face_agreement_margin -0.2 cosine < 0") == 0.2, "a limit of 0 counts as 1"
    assert excess("upper_body_share 0.7 share < 0.8 (nose seen in 84%); wrists_share 0.1 share < 0.5") == pytest.approx(
        0.8
    )
    assert excess("has_audio false") == float("inf")
