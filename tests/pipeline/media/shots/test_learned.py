"""A net beside the rules: it adds shots, and changes none that the rules found."""

import numpy as np
import pytest

from pipeline.media.shots.finder import ShotFinder
from pipeline.media.shots.footage import Footage
from tests.pipeline.media.shots.scenes import HEIGHT, WIDTH, Picture, shot


class Told:
    """A net that was told what to find: runs of pictures that end a shot, and of mixed ones."""

    def __init__(self, cut: tuple[int, ...] = (), mixed: tuple[int, ...] = (), share: float = 0.9) -> None:
        self.cut, self.mixed, self.share, self.seen = cut, mixed, share, 0

    def see(self, rgb: Picture) -> None:
        self.seen += 1

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        found = np.zeros((2, self.seen), np.float32)
        found[0, list(self.cut)] = found[1, list(self.mixed)] = self.share
        return found[0], found[1]


def found(pictures: list[Picture], net: Told | None, repeated: tuple[int, ...] = ()) -> Footage:
    finder = ShotFinder((WIDTH, HEIGHT), net=net)
    for number, picture in enumerate(pictures):
        finder.feed(number, picture, number in repeated)
    return finder.finish()


def one() -> list[Picture]:
    return list(shot(1, 100))


def test_a_cut_is_added_after_the_picture_that_ends_the_shot() -> None:
    assert found(one(), None).shots == [(0, 100)]
    assert found(one(), Told(cut=(39,))).shots == [(0, 40), (40, 100)]
    assert found(one(), Told(cut=(39,), mixed=(39,))).cuts == [40]


def test_a_gradual_transition_is_left_out_whole() -> None:
    net = Told(cut=(44, 45), mixed=tuple(range(40, 52)))
    assert found(one(), net).shots == [(0, 40), (52, 100)]


def test_what_is_mixed_and_ends_no_shot_is_no_cut_nor_what_is_unlikely() -> None:
    assert found(one(), Told(mixed=tuple(range(40, 52)))).shots == [(0, 100)]
    assert found(one(), Told(cut=(39,), share=0.4)).shots == [(0, 100)]


@pytest.mark.parametrize("at", [49, 47, 55, 38])
def test_where_a_rule_found_a_cut_the_net_changes_nothing(at: int) -> None:
    pictures = [*shot(1, 50), *shot(2, 50)]
    assert found(pictures, None).shots == [(0, 50), (50, 100)]
    assert found(pictures, Told(cut=(at,), mixed=tuple(range(at - 3, at + 3)))).shots == [(0, 50), (50, 100)]


def test_it_sees_no_picture_that_the_reader_repeats() -> None:
    net = Told(cut=(29,))
    pictures = [picture for picture in shot(1, 60) for _ in (0, 1)]
    footage = found(pictures, net, repeated=tuple(range(1, 120, 2)))
    assert net.seen == 60 and footage.shots == [(0, 60), (60, 120)]


def test_a_film_without_pictures() -> None:
    assert found([], Told()).shots == []
