"""Which person a manifest's crop means, among people whose boxes are given."""

import numpy as np

from pipeline.skeleton.manifest_match import match_crops


def still(*box: float, frames: int = 10) -> np.ndarray:
    return np.tile(np.array(box, np.float32), (frames, 1))


SPEAKER, PASSER, LISTENER = still(300, 100, 700, 700), still(320, 300, 360, 400), still(650, 0, 1280, 720)
CROP = [280.0, 80.0, 720.0, 520.0]


def test_the_largest_area_in_the_crop_wins_not_the_largest_share_nor_the_largest_person() -> None:
    matches = match_crops([PASSER, SPEAKER, LISTENER], [CROP])
    assert [m.clips_person for m in matches] == [False, True, False]
    assert [m.box for m in matches] == [(280, 80, 720, 520)] * 3
    passer, speaker, listener = (m.overlap for m in matches)
    assert passer == 1.0  # all of somebody small lies in the crop
    assert speaker == np.float64(400 * 420 / (400 * 600)) and listener == np.float64(70 * 440 / (630 * 720))


def test_somebody_seen_for_a_moment_counts_for_that_moment() -> None:
    brief = still(280, 80, 720, 520)
    brief[2:] = np.nan
    assert [m.clips_person for m in match_crops([brief, SPEAKER], [CROP])] == [False, True]


def test_nobody_in_the_crop_is_nobody() -> None:
    matches = match_crops([LISTENER, PASSER], [[0, 0, 200, 200]])
    assert [(m.clips_person, m.overlap) for m in matches] == [(False, 0.0)] * 2


def test_without_a_crop_the_largest_is_meant() -> None:
    matches = match_crops([PASSER, LISTENER, SPEAKER], [])
    assert [m.clips_person for m in matches] == [False, True, False]
    assert all(m.overlap is None and m.box is None for m in matches)
    unseen = np.full((10, 4), np.nan)
    assert [m.clips_person for m in match_crops([unseen], [])] == [False]


def test_two_crops_mean_two_persons_each_with_its_own() -> None:
    matches = match_crops([LISTENER, PASSER, SPEAKER], [CROP, [600.0, 0.0, 1320.0, 720.0]])
    assert [(m.clips_person, m.box) for m in matches] == [
        (True, (600, 0, 1320, 720)),
        (False, (280, 80, 720, 520)),
        (True, (280, 80, 720, 520)),
    ]
    matches = match_crops([SPEAKER], [CROP, [300.0, 100.0, 700.0, 500.0]])  # a crop whose person was not found
    assert [m.clips_person for m in matches] == [True]
