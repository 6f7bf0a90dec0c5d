"""Where a track becomes somebody else, and what makes nobody else: planted looks, and pictures painted about planted skeletons."""

import numpy as np
import pytest

from pipeline.nets.pose.one_person import Looks, changes, colour_jumps, colours_of, guests, size_jumps, sizes_of
from pipeline.skeleton import layout
from pipeline.skeleton.layout import K

N = 100
LEFT, RIGHT = (200, 80, 60), (60, 90, 190)  # what two people wear
SKINS = (235, 190, 160), (120, 80, 60)


def picture_of(wear: tuple[int, int, int], skin: tuple[int, int, int], light: float = 1.0) -> np.ndarray:
    """A person at (200, 150): a head and a chest of these colours before a grey wall."""
    picture = np.full((300, 400, 3), 128, np.uint8)
    picture[150:, 120:280] = wear
    picture[60:150, 165:235] = skin
    noise = np.random.default_rng(0).normal(0, 4, picture.shape)
    return np.clip(light * (picture + noise), 0, 255).astype(np.uint8)


def body(scale: float = 1.0) -> np.ndarray:
    """(133, 2) of that person: jaw, brows and shoulders."""
    points = np.full((K, 2), (200.0, 110.0), np.float32)
    turn = np.linspace(0, np.pi, 17)
    points[layout.JAW] = np.stack([200 - 35 * np.cos(turn), 105 + 45 * np.sin(turn)], 1)
    points[layout.RIGHT_BROW.start : layout.LEFT_BROW.stop, 1] = 80
    points[[layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]] = (280, 170), (120, 170)
    return scale * points


BODY = body()
BOX = np.array([100, 40, 300, 300], np.float32)
ONE = colours_of(picture_of(LEFT, SKINS[0]), BOX, BODY)
OTHER = colours_of(picture_of(RIGHT, SKINS[1]), BOX, BODY)


def looks(weights: np.ndarray, head: np.ndarray | None = None, shoulders: np.ndarray | None = None) -> Looks:
    """Sightings of one person, of whom another takes so much; sizes of 50 and 120 px times what is given."""
    ones = np.ones(len(weights))
    sizes = np.stack([50 * (ones if head is None else head), 120 * (ones if shoulders is None else shoulders)], 1)
    mixed = (1 - weights)[:, None, None] * ONE + weights[:, None, None] * OTHER
    faces = np.stack([200 * ones, 105 * ones, sizes[:, 0]], 1)
    return Looks(sizes, mixed.astype(np.float32), faces)


def step(*borders: int) -> np.ndarray:
    """0 and 1 in turn, changing at each border."""
    return (np.searchsorted(borders, np.arange(N), "right") % 2).astype(float)


SAME = np.zeros(N)


def test_a_cut_is_found_at_its_picture() -> None:
    assert changes(looks(step(50))) == [50]
    assert changes(looks(step(33, 70))) == [33, 70]


@pytest.mark.parametrize("pictures", [13, 25])
def test_a_dissolve_is_parted_in_its_middle(pictures: int) -> None:
    weights = np.clip((np.arange(N) - 50 + pictures / 2) / pictures, 0, 1)
    [at] = changes(looks(weights))
    assert abs(at - 50) <= 3


def test_another_head_and_other_shoulders_in_the_same_clothes() -> None:
    assert changes(looks(SAME, 1 + 0.6 * step(50), 1 + 0.6 * step(50))) == [50]


@pytest.mark.parametrize(
    ("weights", "head", "shoulders", "what"),
    [
        (SAME, SAME + 1, SAME + 1, "nothing"),
        (step(50, 60), SAME + 1, SAME + 1, "a flash, or a hand before the face"),
        (SAME, 1 + step(50, 58), 1 + step(50, 58), "a slip of the net"),
        (SAME, np.linspace(1, 2.5, N), np.linspace(1, 2.5, N), "a zoom"),
        (SAME, 1 + np.clip((np.arange(N) - 45) / 15, 0, 1), 1 + np.clip((np.arange(N) - 45) / 15, 0, 1), "a lean"),
        (SAME, SAME + 1, 1 - 0.7 * step(50), "a turn of the body"),
        (SAME, 1 - 0.5 * step(50), SAME + 1, "a turn of the head"),
        (step(90), SAME + 1, SAME + 1, "too little of what comes after"),
    ],
)
def test_one_person_stays_one(weights: np.ndarray, head: np.ndarray, shoulders: np.ndarray, what: str) -> None:
    made = looks(weights, head, shoulders)
    print(what, *(round(float(np.nanmax(colour_jumps(made, gap))), 2) for gap in (0, 13, 25)))
    assert changes(made) == [], what
    assert not guests(made).any(), what


@pytest.mark.parametrize("count", [0, 1, 5, 6, 30])
def test_any_number_of_sightings(count: int) -> None:
    assert changes(looks(np.zeros(count))) == []
    unseen = Looks(
        np.full((count, 2), np.nan), np.full((count, *ONE.shape), np.nan, np.float32), np.full((count, 3), np.nan)
    )
    assert changes(unseen) == []
    assert np.isnan(colour_jumps(unseen)).all() and np.isnan(size_jumps(unseen)).all()


def test_light_makes_nobody_else_and_clothes_do() -> None:
    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(1 - np.sqrt(a[:2] * b[:2]).sum(1).mean())

    dark = colours_of(picture_of(LEFT, SKINS[0], light=0.4), BOX, BODY)
    print(f"another light {distance(ONE, dark):.3f}, another person {distance(ONE, OTHER):.3f}")
    assert distance(ONE, dark) < 0.1 < 0.5 < distance(ONE, OTHER)


def test_without_a_face_the_box_is_looked_at() -> None:
    nowhere = np.full((K, 2), np.nan, np.float32)
    found = colours_of(picture_of(LEFT, SKINS[0]), BOX, nowhere)
    assert np.isnan(found[:2]).all() and found[2].sum() == pytest.approx(1)
    outside = colours_of(picture_of(LEFT, SKINS[0]), BOX - 1000, nowhere)
    assert np.isnan(outside).all()


def test_sizes_of_a_planted_skeleton() -> None:
    sizes = sizes_of(np.stack([BODY, body(2), np.full((K, 2), np.nan, np.float32)]))
    np.testing.assert_allclose(sizes[:2], [[70, 160], [140, 320]], rtol=1e-5)
    assert np.isnan(sizes[2]).all()


def test_who_walks_past_is_a_guest() -> None:
    made = looks(step(50, 59))
    made.faces[50:59, 0] += 12 * (np.arange(9) - 4)
    made.faces[50:59, 2] *= 1.3
    assert np.flatnonzero(guests(made)).tolist() == list(range(50, 59)) and changes(made) == []
