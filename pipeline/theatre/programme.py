"""The theatre's programmes: the demo's, and the hard one that the tests crawl."""

from pipeline.theatre.hard import HARD
from pipeline.theatre.takes import TAKES, Take

PROGRAMMES: dict[str, tuple[Take, ...]] = {"demo": TAKES, "hard": HARD}


def take_named(name: str) -> Take:
    """The take of that name, of whatever programme; KeyError when there is none."""
    for takes in PROGRAMMES.values():
        for take in takes:
            if take.name == name:
                return take
    raise KeyError(name)
