"""What is worth comparing: all that `candidates` of the two alone would yield, and little else."""

import numpy as np

from pipeline.media.twins.candidates import candidates
from pipeline.media.twins.shared import sharing


def test_no_pair_that_would_be_compared_is_passed_over() -> None:
    rng = np.random.default_rng(0)
    prints = {
        f"v{n:02}": rng.integers(0, 1 << 32, int(size), dtype=np.uint32)
        for n, size in enumerate(rng.integers(0, 90, 40))
    }
    jingle = rng.integers(0, 1 << 32, 12, dtype=np.uint32)
    for number in range(0, 40, 2):  # far more than `candidates` pairs an item with, were they looked at together
        at = int(rng.integers(0, len(prints[f"v{number:02}"]) + 1))
        prints[f"v{number:02}"] = np.insert(prints[f"v{number:02}"], at, jingle)
    asked = {name: prints[name] for name in ("v00", "v01", "v02")}
    found = sharing(asked, prints)
    for name in asked:
        wanted = {other for other in prints if other != name and list(candidates([prints[name], prints[other]]))}
        assert wanted <= set(found[name]) - {name}
        assert (len(wanted) == 19) is (name != "v01") and len(set(found[name]) - {name} - wanted) < 3


def test_nothing_asked_for_and_nothing_there_are_alike_to_nothing() -> None:
    none = np.zeros(0, np.uint32)
    assert sharing({}, {"a": none}) == {} and sharing({"b": none}, {"a": none}) == {"b": []}
    assert sharing({"b": np.arange(5, dtype=np.uint32)}, {"a": none}) == {"b": []}
