"""Mutated films end in a result with a reason, never in a crash of ours, and are never taken for more than they hold."""

from pathlib import Path

import pytest

from tests.trials.films import MUTATIONS, crawl_mutated, mutated

COUNT, SEED = 60, 13


@pytest.mark.slow
def test_sixty_mutated_films(tmp_path: Path) -> None:
    tried = crawl_mutated(tmp_path, COUNT, SEED)
    assert not tried.untold
    assert not tried.bugs
    assert not tried.wrong
    assert not tried.time_scales
    accepted = sum(count for name, count in tried.outcomes.items() if name.startswith("videos ok"))
    assert 10 <= accepted < COUNT, tried.outcomes  # neither all refused nor all taken


def test_a_seed_gives_the_same_films_and_every_way_has_its_turn() -> None:
    films = {"a.mp4": bytes(range(256)) * 64}
    first, again = list(mutated(60, 1, films)), list(mutated(60, 1, films))
    assert first == again and first != list(mutated(60, 2, films))
    assert all(any(way.__name__ in name for name, _ in first) for way in MUTATIONS)
    assert all(content != films["a.mp4"] for _, content in first)
