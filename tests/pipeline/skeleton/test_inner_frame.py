"""The picture within the picture that a person is in, and the crop that stays inside its border."""

import numpy as np
import pytest

from pipeline.base.units import Box
from pipeline.skeleton import layout
from pipeline.skeleton.crop import Framing, crop_box, crop_box_within
from pipeline.skeleton.inner_frame import around_person, beyond_share
from tests.pipeline.skeleton.people import person

FRAMES = [(0, 0, 500, 720), (520, 0, 1280, 720), (520, 60, 900, 700), (600, 200, 640, 240)]


def test_the_smallest_frame_that_holds_nose_and_shoulders_is_the_persons() -> None:
    assert around_person(FRAMES, *person(x=700)) == (520, 60, 900, 700)
    assert around_person(FRAMES, *person(x=250)) == (0, 0, 500, 720)
    assert around_person(FRAMES, *person(x=510)) is None  # before the border: it is none of theirs
    assert around_person(np.array(FRAMES), *person(x=700)) == (520, 60, 900, 700)  # as tables give them


def test_nobody_has_a_frame_where_there_is_none_or_nothing_is_seen() -> None:
    keypoints, scores = person()
    assert around_person([], keypoints, scores) is None
    assert around_person(FRAMES, keypoints, scores * 0.1) is None
    assert around_person(FRAMES, keypoints[:0], scores[:0]) is None


def test_a_glance_over_the_border_changes_nothing() -> None:
    keypoints, scores = person(50, x=700)
    keypoints[:10] -= [300, 0]
    assert around_person(FRAMES, keypoints, scores) == (520, 60, 900, 700)


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((600, 100, 800, 300), 0),
        ((470, 100, 670, 300), 0.25),
        ((470, 10, 670, 210), 1 - 0.75**2),
        ((0, 0, 100, 100), 1),
    ],
)
def test_the_share_of_a_crop_beyond_the_border(box: Box, share: float) -> None:
    assert beyond_share(box, (520, 60, 900, 700)) == pytest.approx(share)


def test_a_crop_is_moved_and_made_narrower_rather_than_laid_across_the_border() -> None:
    keypoints, scores = person(x=700, y=300)
    free = crop_box(keypoints, scores, 1280, 720)
    for inner in ((free[0] + 9, 0, 1280, 720), (0, 0, free[2] - 9, 720), (0, free[1] + 5, 1280, free[3] - 5)):
        box = crop_box_within(inner, keypoints, scores)
        assert box is not None and beyond_share(box, inner) == 0 < beyond_share(free, inner)
        seen = keypoints[:, : layout.RIGHT_HIP + 1]
        assert (seen >= box[:2]).all() and (seen < box[2:]).all()


def test_who_does_not_fit_into_the_frame_has_no_crop_inside() -> None:
    keypoints, scores = person(x=700, y=300)
    assert crop_box_within((640, 0, 760, 720), keypoints, scores) is None


def test_a_frame_that_is_the_whole_picture_changes_nothing() -> None:
    keypoints, scores = person(x=700, y=300)
    for framing in (Framing(), Framing(margin=0.3)):
        whole = crop_box_within((0, 0, 1280, 720), keypoints, scores, framing)
        assert whole == crop_box(keypoints, scores, 1280, 720, framing)
