"""Face vectors whose owners are known."""

import numpy as np

from pipeline.base.arrays import Floats32, Ints


def plant(
    people: int, clips: int, likeness: float | tuple[float, float], width: int = 512, seed: int = 405
) -> tuple[Floats32, Ints]:
    """(people x clips, width) vectors in random order, and whose each is.

    Args:
        people, clips: how many, and of each.
        likeness: the cosine of two vectors of one person, in the mean; or the range of their quality: a vector's square of the
            cosine to the person's own, drawn evenly, whose geometric mean for two vectors is their likeness.
        width: of the vectors; the cosine of different people's is 0 +- width ** -0.5.
        seed: of everything random.
    """
    rng = np.random.default_rng(seed)
    low, high = (likeness, likeness) if isinstance(likeness, int | float) else likeness
    owners = np.repeat(np.arange(people), clips)
    quality = rng.uniform(low, high, (len(owners), 1)).astype(np.float32)
    own = _units(rng.standard_normal((people, width), dtype=np.float32))[owners]
    own *= np.sqrt(quality)
    noise = _units(rng.standard_normal((len(owners), width), dtype=np.float32))
    noise *= np.sqrt(1 - quality)
    order = rng.permutation(len(owners))
    return (own + noise)[order], owners[order]


def agreement(found: Ints, true: Ints) -> tuple[float, float]:
    """Of the pairs found together, the share that belongs together; and of those, the share that was found."""
    both = _pairs(np.stack([found, true], 1))
    return both / max(_pairs(found), 1), both / max(_pairs(true), 1)


def _pairs(labels: Ints) -> int:
    counts = np.unique(labels, return_counts=True, axis=0)[1]
    return int((counts * (counts - 1) // 2).sum())


def _units(vectors: Floats32) -> Floats32:
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
