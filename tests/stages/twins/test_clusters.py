"""Clusters, and names that stay."""

import numpy as np
import pytest

from stages.twins.clusters import clusters, names


@pytest.mark.parametrize("seed", range(50))
def test_clusters_are_the_components_of_the_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    links = [(f"v{a}", f"v{b}") for a, b in rng.integers(0, 30, (rng.integers(0, 25), 2)) if a != b]
    reach = {one: {one} for pair in links for one in pair}
    for _ in reach:
        for a, b in links:
            reach[a] = reach[b] = reach[a] | reach[b]
    found = clusters(links)
    assert sorted(map(tuple, found)) == sorted({tuple(sorted(together)) for together in reach.values()})
    assert found == clusters(reversed(links))


def test_a_newcomer_moves_no_name_even_where_it_comes_first() -> None:
    before = [["b", "c"], ["f", "g"]]
    known = dict(zip("bcfg", [name for name in names(before, {}) for _ in range(2)], strict=True))
    after = names([["a", "b", "c"], ["d", "e"], ["f", "g"]], known)
    assert (after[0], after[2]) == (known["b"], known["f"]) and after[1] not in known.values()


def test_of_two_that_join_the_larger_keeps_its_name() -> None:
    known = {"a": "t1", "b": "t1", "c": "t2", "d": "t2", "e": "t2"}
    assert names([["a", "b", "c", "d", "e"]], known) == ["t2"]


def test_of_one_that_falls_apart_the_largest_part_keeps_its_name() -> None:
    known = dict.fromkeys("abcde", "t1")
    first, second = names([["a", "b"], ["c", "d", "e"]], known)
    assert second == "t1" and first != "t1"


def test_names_differ_also_where_the_usual_one_is_taken() -> None:
    [name] = names([["a", "b"]], {})
    again = names([["a", "b"], ["x", "y"]], {"x": name, "y": name})
    assert again[1] == name and again[0] != name
