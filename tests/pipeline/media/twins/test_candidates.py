"""The index of candidates against what comparing everything with everything finds."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.media.twins.candidates import BIN, MIN_VOTES, candidates

Found = dict[tuple[int, int], dict[int, int]]


def random(seed: int, lengths: list[int], values: int) -> list[NDArray[np.uint32]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, values, length).astype(np.uint32) for length in lengths]


def found(prints: list[NDArray[np.uint32]], at_once: int = 1 << 25) -> Found:
    return {
        (pair.a, pair.b): dict(zip(pair.offsets.tolist(), pair.votes.tolist(), strict=True))
        for pair in candidates(prints, at_once)
    }


def every(prints: list[NDArray[np.uint32]]) -> Found:
    """The same by comparing each item with each."""
    pairs: Found = {}
    for a, first in enumerate(prints):
        for b in range(a + 1, len(prints)):
            here, there = np.nonzero(first[:, None] == prints[b][None, :])
            bins = (there - here) // BIN
            votes = {int(one): int((bins == one).sum()) for one in np.unique(bins)}
            near = {one: votes[one] + max(votes.get(one - 1, 0), votes.get(one + 1, 0)) for one in votes}
            kept = {one * BIN: votes[one] for one in votes if near[one] >= MIN_VOTES}
            if kept:
                pairs[a, b] = kept
    return pairs


@pytest.mark.parametrize("seed", range(30))
def test_it_finds_what_comparing_everything_finds_in_any_number_of_passes(seed: int) -> None:
    # few enough equal items that none has more than the index pairs it with; neighbours differ
    prints = random(seed, [40, 0, 25, 60, 33], 400)
    clean = [items[np.diff(items, prepend=np.uint32(401)) != 0] for items in prints]
    assert found(clean) == every(clean)
    assert found(clean, at_once=17) == found(clean)


def test_a_planted_copy_is_found_among_many() -> None:
    prints = random(1, [500] * 60, 1 << 32)
    prints[50] = np.concatenate([prints[7][200:300], prints[50][:100]])
    assert found(prints) == {(7, 50): {-200: 100}}


def test_copies_beyond_the_next_few_hang_together_by_a_chain() -> None:
    one = random(2, [100], 1 << 32)[0]
    pairs = found([one] * 40)
    assert {(n, n + 1) for n in range(39)} <= set(pairs)
    assert len(pairs) < 40 * 9


def test_nothing_is_found_where_there_is_nothing() -> None:
    assert found([]) == found([np.zeros(0, np.uint32)] * 3) == found(random(3, [50], 9)) == {}
    assert found([np.full(100, 7, np.uint32)] * 2) == {}  # silence
