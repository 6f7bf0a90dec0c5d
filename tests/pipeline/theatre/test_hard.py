"""The hard programme: declared whole, and its takes are what they say, in memory and as files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.base.reasons import Reason
from pipeline.media.probe import probe
from pipeline.theatre import PROGRAMMES, Film, take_named
from pipeline.theatre.coding import write_film
from pipeline.theatre.takes import Take

HARD = PROGRAMMES["hard"]
KINDS = {
    "a dissolve": lambda take: take.blend == "dissolve",
    "a wipe": lambda take: take.blend == "wipe",
    "a still under zoom": lambda take: take.shots[0].frozen and take.shots[0].camera == "push",
    "HDR": lambda take: take.transfer == "pq",
    "a restarted clock": lambda take: take.restarts,
    "a 12-fps camera": lambda take: take.camera_fps == 12,
    "a swapped identity": lambda take: take.shots[0].actors[0].becomes is not None,
}


def brief(name: str, seconds: float = 0.4) -> Take:
    """A take whose shots last so long each."""
    take = take_named(name)
    shots = tuple(
        replace(shot, seconds=seconds, actors=tuple(replace(a, speaks=None) for a in shot.actors))
        for shot in take.shots
    )
    return replace(take, shots=shots, blend_seconds=0.2 if take.blend else 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_one_take_of_each_kind(kind: str) -> None:
    assert sum(map(KINDS[kind], HARD)) == 1


def test_each_take_has_its_verdict() -> None:
    names = [take.name for takes in PROGRAMMES.values() for take in takes]
    assert len(set(names)) == len(names) and len(HARD) == len(KINDS)
    assert sum(take.seconds for take in HARD) < 70
    for take in HARD:
        assert (take.verdict == "drop") == bool(take.reasons)
        for code in take.reasons | take.may:
            Reason.of(code)


@pytest.mark.parametrize("name", ["dissolve", "wipe"])
def test_a_blend_goes_from_one_shot_to_the_other(name: str) -> None:
    take = brief(name)
    film = Film(take)
    assert film.frames == 15 and take.blends == ((5, 10),) and take.cuts == ()
    before, mixed, after = (film.picture(k).astype(int) for k in (5, 7, 10))
    assert np.abs(before - Film(replace(take, shots=take.shots[:1])).picture(5)).max() == 0
    share = np.isclose(mixed, after, atol=0).all(-1).mean() if name == "wipe" else 0.4
    assert share == pytest.approx(0.4, abs=0.15)
    truth = film.truth()
    assert truth.shot.tolist() == [0, 1]
    assert np.isfinite(truth.keypoints[:, :, 0, 0]).sum(1).tolist() == [10, 10]


def test_a_slow_camera_shows_a_picture_until_the_next() -> None:
    film = Film(take_named("slow-camera"), seconds=1.0)
    points = film.truth().keypoints[0, :, 0]
    moved = np.abs(np.diff(points, axis=0)).max(-1) > 0
    assert moved.sum() == 11  # of 24 steps: 13 repeat
    assert np.array_equal(film.picture(1), film.picture(0)) and not np.array_equal(film.picture(3), film.picture(0))


def test_a_photograph_does_not_move_under_the_zoom() -> None:
    truth = Film(take_named("photo-zoom"), seconds=2.0).truth()
    points = truth.keypoints[0] - truth.keypoints[0, :, :1]
    np.testing.assert_allclose(points[-1], points[0] * truth.unit[0, -1] / truth.unit[0, 0], rtol=1e-6)
    assert truth.unit[0, -1] > 1.05 * truth.unit[0, 0]


def test_the_swapped_puppet_keeps_its_clothes_and_its_place() -> None:
    take = take_named("swapped")
    actor = take.shots[0].actors[0]
    first, then = actor.look, actor.becomes
    assert then is not None and (first.top, first.bottom) == (then.top, then.bottom)
    assert (first.skin, first.hair) != (then.skin, then.hair)


def test_files_say_what_was_done_to_them(tmp_path: Path) -> None:
    write_film(Film(brief("hdr")), tmp_path / "hdr.mp4")
    write_film(Film(brief("restarted", 1.0)), tmp_path / "restarted.ts")
    hdr, joined = probe(tmp_path / "hdr.mp4"), probe(tmp_path / "restarted.ts")
    assert (hdr.transfer, hdr.bit_depth, hdr.grid_frames) == ("smpte2084", 10, 10)
    assert joined.grid_frames == pytest.approx(50, abs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hdr.mp4", "restarted.ts"]
