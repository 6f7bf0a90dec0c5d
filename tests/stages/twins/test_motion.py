"""Motion: what became of a film is found with its speed, offset and mirror; nobody else's film is."""

from collections.abc import Callable

import numpy as np
import pytest

from stages.twins.motion import Film, Meeting, Shared, meetings, shared
from stages.twins.moving import Moving
from tests.stages.twins import gestures
from tests.stages.twins.gestures import FPS, coded, rows

MOST = 0.3  # unlikeness


def film(pictures: gestures.Film, cuts: tuple[int, ...] = ()) -> Film:
    return Film(Moving.of(rows(pictures, "v", cuts)))


def found(a: Film, b: Film, most: float = MOST) -> tuple[Shared, Shared] | None:
    return shared(a, b, meetings(a, b), most)


@pytest.fixture(scope="module")
def talk() -> gestures.Film:
    return gestures.gestures(1, 24)


CHANGES: dict[str, Callable[[gestures.Film], gestures.Film]] = {
    "as it is": lambda pictures: pictures,
    "coded": coded,
    "mirrored": lambda pictures: coded(pictures[:, :, ::-1]),
    "cropped": lambda pictures: pictures[:, 2:-2, 3:-3],
    "with a banner": lambda pictures: np.concatenate([pictures[:, :58], np.full_like(pictures[:, 58:], 90)], 1),
    "darker": lambda pictures: (0.8 * pictures).astype(np.uint8),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_became_of_a_film_is_found(talk: gestures.Film, name: str) -> None:
    both = found(film(talk), film(CHANGES[name](talk)))
    assert both is not None
    for one in both:
        assert one.mirrored == (name == "mirrored")
        assert one.match.seconds == pytest.approx(24, abs=0.5)
        assert (one.match.speed, one.match.offset_seconds) == (1.0, pytest.approx(0.0, abs=0.05))


@pytest.mark.parametrize("speed", [0.96, 0.97, 0.99, 1.01, 1.025, 1.04])
def test_another_speed_is_found_and_measured_both_ways(talk: gestures.Film, speed: float) -> None:
    fast = film(coded(gestures.gestures(1, 24, speed=speed)))
    both = found(film(talk), fast)
    assert both is not None
    here, there = (one.match for one in both)
    assert there.speed == pytest.approx(speed, abs=0.004) and here.speed == pytest.approx(1 / speed, abs=0.004)
    assert here.seconds > 20 and abs(here.offset_seconds) < 0.15 and abs(there.offset_seconds) < 0.15


@pytest.mark.parametrize(("first", "end"), [(0, 8), (5, 13), (14, 24)])
def test_a_part_is_found_where_it_lies(talk: gestures.Film, first: int, end: int) -> None:
    part = film(coded(talk[first * FPS : end * FPS]))
    both = found(part, film(talk))
    assert both is not None
    here, there = (one.match for one in both)
    assert here.offset_seconds == pytest.approx(first, abs=0.1) and there.offset_seconds == pytest.approx(
        -first, abs=0.1
    )
    assert here.seconds == pytest.approx(end - first, abs=0.5)
    assert there.spans.ravel() == pytest.approx([first, end], abs=0.5)


def test_other_talks_of_the_same_studio_are_not_found() -> None:
    films = [film(gestures.gestures(seed, 20)) for seed in range(12)]
    assert all(one.moving.evidence.any() for one in films)
    pairs = [(a, b) for at, a in enumerate(films) for b in films[at + 1 :]]
    assert not any(found(a, b, 0.4) for a, b in pairs)


def test_halves_of_one_talk_are_not_found(talk: gestures.Film) -> None:
    assert found(film(talk[: 12 * FPS]), film(talk[12 * FPS :]), 0.4) is None


def test_stills_loops_and_key_frames_are_no_evidence(talk: gestures.Film) -> None:
    still = np.repeat(talk[:1], 20 * FPS, 0)
    loop = np.concatenate([talk[: 2 * FPS]] * 10)
    pulsing = coded(still)  # as key frames every four seconds change it
    for first in range(0, len(pulsing), 4 * FPS):
        pulsing[first : first + 4 * FPS] = pulsing[first]
    for pictures in (still, coded(still), loop, pulsing, np.zeros_like(still)):
        assert not film(pictures).moving.evidence.any()
        assert found(film(pictures), film(pictures)) is None


def test_nothing_is_compared_across_a_cut(talk: gestures.Film) -> None:
    cuts = tuple(range(4 * FPS, len(talk), 4 * FPS))  # no shot of five seconds
    assert not film(talk, cuts).moving.evidence.any()
    both = found(film(talk, (12 * FPS,)), film(talk))
    assert both is not None
    assert both[0].match.seconds == pytest.approx(24, abs=0.5)


def test_a_film_too_short_or_without_motion_is_compared_with_nothing(talk: gestures.Film) -> None:
    short, none = film(talk[:60]), Film(Moving.of([]))
    for one in (short, none):
        for other in (one, film(talk)):
            assert meetings(one, other) == [] and shared(one, other, [Meeting(1, 0)], MOST) is None
            assert shared(other, one, [Meeting(1, 0)], MOST) is None
