"""Who is who, on planted vectors: counts, chains, ties, order, and what cannot be grouped."""

import numpy as np
import pytest

from stages.speakers import LIKENESS as BY_WIDTH
from stages.speakers.clusters import cluster, names
from tests.stages.speakers.planted_identities import agreement, plant

LIKENESS = BY_WIDTH[512]


@pytest.mark.slow
@pytest.mark.parametrize(("people", "likeness"), [(500, 0.7), (500, 0.5), (2000, (0.35, 0.85))])
def test_everybody_is_found(people: int, likeness: float | tuple[float, float]) -> None:
    vectors, owners = plant(people, 8, likeness)
    found = cluster(vectors, LIKENESS)
    precision, recall = agreement(found, owners)
    assert abs(found.max() + 1 - people) <= 0.02 * people
    assert precision > 0.999 and recall > 0.99


def test_narrow_vectors_of_a_small_net() -> None:
    vectors, owners = plant(300, 8, 0.7, width=128)
    assert agreement(cluster(vectors, LIKENESS), owners) == (1.0, 1.0)


def test_a_chain_of_look_alikes_does_not_merge() -> None:
    """Thirty people, each much like the next (0.8), less like the one after: all links are strong, the ends are strangers."""
    axes, people = np.eye(32), [np.eye(32)[0]]
    for step in range(1, 30):
        people.append(0.8 * people[-1] + 0.6 * axes[step])
    wide = np.repeat(people, 2, axis=0) + np.random.default_rng(1).normal(0, 0.005, (60, 32))
    found = cluster(wide, 0.7)
    assert (found[::2] == found[1::2]).all(), "the two pictures of each are one person"
    sizes = np.bincount(found)
    assert sizes.max() <= 6, "three look-alikes whose mean is high enough, never the chain"
    ends = wide[found == found[0]] @ wide[found == found[-1]].T
    assert ends.max() < 0.1


def test_somebody_with_more_samples_than_neighbours_is_one() -> None:
    rng = np.random.default_rng(2)
    star, owners = plant(50, 4, 0.6)
    many = plant(1, 400, 0.6, seed=3)[0]
    order = rng.permutation(len(star) + len(many))
    vectors = np.concatenate([star, many])[order]
    true = np.concatenate([owners, np.full(len(many), 50)])[order]
    found = cluster(vectors, LIKENESS, neighbours=5)
    assert agreement(found, true) == (1.0, 1.0)


def test_copies_of_one_vector_are_one() -> None:
    assert cluster(np.ones((300, 8)), LIKENESS, neighbours=4).tolist() == [0] * 300


def test_order_changes_nothing_but_numbers() -> None:
    vectors, _ = plant(200, 5, (0.3, 0.8))
    order = np.random.default_rng(4).permutation(len(vectors))
    first, again = cluster(vectors, LIKENESS), cluster(vectors[order], LIKENESS)
    assert agreement(again, first[order]) == (1.0, 1.0)
    assert (cluster(vectors, LIKENESS) == first).all()
    ids = [f"v{number:04d}" for number in range(len(vectors))]
    assert [names(again, [ids[i] for i in order])[place] for place in np.argsort(order)] == names(first, ids)


def test_few() -> None:
    assert cluster(np.zeros((0, 512)), LIKENESS).tolist() == []
    assert cluster(np.ones((1, 512)), LIKENESS).tolist() == [0]
    assert cluster(np.eye(3), LIKENESS).tolist() == [0, 1, 2]
    assert cluster(np.eye(2)[[1, 0, 1]], LIKENESS).tolist() == [0, 1, 0]
    assert names([], []) == []


def test_length_does_not_matter() -> None:
    vectors, _ = plant(20, 5, 0.6)
    long = vectors * np.random.default_rng(5).uniform(0.1, 50, (100, 1))
    assert (cluster(long, LIKENESS) == cluster(vectors, LIKENESS)).all()


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_vector_without_direction_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="zero or not finite"):
        cluster(np.vstack([np.ones(4), np.full(4, value)]), LIKENESS)


def test_names_stay_while_the_first_member_stays() -> None:
    assert names([0, 0, 1], ["b", "a", "c"]) == names([1, 0], ["a", "c"])[:1] * 2 + names([0], ["c"])
