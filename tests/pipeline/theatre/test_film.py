"""Takes in memory: truth on the grid, cuts, rates, determinism, sound."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from pipeline.base.reasons import Reason
from pipeline.theatre import TAKES, Film, render_take, take_named
from pipeline.theatre.film import on_grid, source_times


def test_the_programme_is_consistent() -> None:
    assert len({take.name for take in TAKES}) == len(TAKES)
    assert sum(take.verdict == "keep" for take in TAKES) >= 6
    for take in TAKES:
        assert (take.verdict == "drop") == bool(take.reasons)
        for code in take.reasons | take.may:
            Reason.of(code)


def test_same_seed_same_truth_and_picture() -> None:
    take = take_named("talk-1")
    a, b, other = Film(take, 1, 1.0), Film(take, 1, 1.0), Film(take, 2, 1.0)
    assert np.array_equal(a.truth().keypoints, b.truth().keypoints)
    assert np.array_equal(a.picture(11), b.picture(11))
    assert not np.allclose(a.truth().keypoints, other.truth().keypoints)


def test_a_shortened_take_begins_like_the_whole_one() -> None:
    take = take_named("talk-1")
    whole, part = Film(take).truth().keypoints, Film(take, seconds=1.0).truth().keypoints
    assert np.allclose(whole[:, :25], part)


def test_the_grid_shows_the_last_picture_before_the_half_step() -> None:
    times = [Fraction(0), Fraction(19, 1000), Fraction(59, 1000), Fraction(60, 1000), Fraction(141, 1000)]
    assert on_grid(times, 5).tolist() == [1, 2, 3, 3, 4]
    assert on_grid([Fraction(k, 25) for k in range(9)], 9).tolist() == list(range(9))


def test_variable_rate_ends_where_it_says_and_skips_no_grid_picture() -> None:
    times = source_times(take_named("talk-vfr"), 405, 6.4)
    steps = {b - a for a, b in pairwise(times)}
    assert len(steps) > 2
    assert times[-1] + (times[-1] - times[-2]) == Fraction(64, 10)


def test_cuts_and_whips() -> None:
    take = take_named("shots")
    film = Film(take)
    assert take.cuts == (148, 291)
    change = [np.abs(film.picture(k).astype(int) - film.picture(k - 1)).mean() for k in (147, 148, 149)]
    assert change[1] > 20 * max(change[0], change[2])
    assert take_named("whip").whips == ((148, 157),)
    truth = film.truth()
    assert np.isnan(truth.keypoints[0, 148:]).all()
    assert np.isfinite(truth.keypoints[1, 148:291]).all()


def test_who_is_seen_from_where() -> None:
    side, back, front = (Film(take_named(name), seconds=0.4).truth() for name in ("side", "back", "talk-1"))
    assert front.visible[0, :, :13].all()
    assert not back.visible[0, :, 23:91].any()
    assert (back.keypoints[0, :, 5, 0] < back.keypoints[0, :, 6, 0]).all()  # left and right change places
    assert (front.keypoints[0, :, 5, 0] > front.keypoints[0, :, 6, 0]).all()
    width = np.abs(side.keypoints[0, :, 5, 0] - side.keypoints[0, :, 6, 0])
    assert (width < 0.6 * side.unit[0]).all()
    assert not side.visible[0, :, 3].any()  # the far ear


def test_hands_out_of_the_picture_are_not_visible() -> None:
    visible = Film(take_named("hands-out"), seconds=3.0).truth().visible[0]
    assert visible[:, 91:].mean() < 0.2
    assert visible[:, 5:13].mean() > 0.95


def test_sound_tracks() -> None:
    assert Film(take_named("mute"), seconds=1.0).sound is None
    silent = Film(take_named("silent"), seconds=1.0).sound
    assert silent is not None and not silent.any()


def test_the_mouth_follows_the_sound() -> None:
    film = Film(take_named("talk-1"), seconds=5.0)
    keypoints = film.truth().keypoints[0]
    gap = np.linalg.norm(keypoints[:, 89] - keypoints[:, 85], axis=1)
    sound = film.sound
    assert sound is not None
    loud = np.array([np.abs(sound[n * 1920 : (n + 1) * 1920]).mean() for n in range(len(gap))])
    assert np.corrcoef(gap, loud)[0, 1] > 0.7


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_render_take(scale: float) -> None:
    pictures, truth = render_take(take_named("talk-30"), seconds=0.2, scale=scale)
    assert pictures.shape == (5, round(720 * scale), round(1280 * scale), 3)
    assert truth.keypoints.shape == (1, 5, 133, 2)
    x, y = np.round(truth.keypoints[0, 2, 5]).astype(int)
    assert np.abs(pictures[2, y, x].astype(int) - (120, 210, 0)).max() < 12  # the left shoulder's patch, in RGB
