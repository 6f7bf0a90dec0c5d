"""Clusters of face embeddings: nearest neighbours, then average linkage, so that chains of look-alikes do not merge.

Each vector is linked to its nearest neighbours (faiss, exact: embeddings of different people have no structure that an
approximate index could use). Linked clusters merge, the most alike first, for as long as the mean cosine between all members
of the one and all of the other reaches a threshold. Of unit vectors that mean is a product of two sums, so no pair is ever
looked at twice; mutually most alike clusters merge at once, which with average linkage gives what merging one pair at a time
would. Groups larger than their neighbours' lists are joined by a second pass over the clusters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import faiss
import numpy as np
from numpy.typing import ArrayLike

from pipeline.base.arrays import Floats32, Ints

NEIGHBOURS = 32
_PAIRS = 8192  # whose vectors are held at once
_QUERIES = 4096  # searched for at once
_LOOKS = 8  # at clusters; two do but for the very largest


@dataclass
class _Clusters:
    """Clusters as they grow.

    Attributes:
        label: (n,) the cluster of each vector, 0..m-1.
        sums: (m, d) sum of each one's vectors.
        sizes: (m,) its vectors.
    """

    label: Ints
    sums: Floats32
    sizes: Ints

    def likeness(self, pairs: Ints) -> Floats32:
        """(p,) mean cosine between the members of the clusters of each pair (p, 2)."""
        products = np.empty(len(pairs), np.float32)
        for at in range(0, len(pairs), _PAIRS):
            a, b = pairs[at : at + _PAIRS].T
            products[at : at + _PAIRS] = np.einsum("ij,ij->i", self.sums[a], self.sums[b])
        return np.asarray(products / (self.sizes[pairs[:, 0]] * self.sizes[pairs[:, 1]]), np.float32)

    def merge(self, pairs: Ints) -> Ints:
        """Join the pairs (p, 2), in which no cluster stands twice; returns (m,) the new number of each old cluster."""
        into = np.arange(len(self.sizes))
        into[pairs.max(1)] = pairs.min(1)
        np.add.at(self.sums, pairs.min(1), self.sums[pairs.max(1)])
        np.add.at(self.sizes, pairs.min(1), self.sizes[pairs.max(1)])
        kept, number = np.unique(into, return_inverse=True)
        self.sums, self.sizes, self.label = self.sums[kept], self.sizes[kept], number[self.label]
        return np.asarray(number)


def cluster(vectors: ArrayLike, min_likeness: float, neighbours: int = NEIGHBOURS, threads: int = 0) -> Ints:
    """Group vectors of the same person.

    Args:
        vectors: (n, d) embeddings; they are brought to unit length.
        min_likeness: mean cosine, 0..1, down to which two groups are one person.
        neighbours: looked at of each vector.
        threads: of the search; 0 for as many as there are cores.

    Returns:
        (n,) the group of each, numbered in the order of their first vectors. The same vectors in the same order give the same
        groups; another order differs only where likenesses tie.

    Raises:
        ValueError: not a matrix, or a vector that is zero or not finite.
    """
    units = _units(vectors)
    if not len(units):
        return np.zeros(0, np.int64)
    if threads:
        faiss.omp_set_num_threads(threads)
    one = np.ones(len(units), np.int64)
    clusters = _Clusters(np.arange(len(units)), units.copy(), one)
    for _ in range(_LOOKS):
        before = len(clusters.sizes)
        pairs = _linked(_units(clusters.sums) if before < len(units) else units, min_likeness, neighbours)
        _agglomerate(clusters, pairs, min_likeness)
        if len(clusters.sizes) in (1, before):
            break
    return _numbered(clusters.label)


def names(labels: ArrayLike, ids: Sequence[str]) -> list[str]:
    """A name for the group of each id: a hash of the group's smallest id, so that it stays while that one is in it.

    Args:
        labels: (n,) groups.
        ids: (n,) what is grouped.
    """
    first: dict[int, str] = {}
    groups = [int(label) for label in np.asarray(labels)]
    for label, one in zip(groups, ids, strict=True):
        first[label] = min(one, first.get(label, one))
    return ["s" + blake2b(first[label].encode(), digest_size=6).hexdigest() for label in groups]


def _units(vectors: ArrayLike) -> Floats32:
    matrix = np.ascontiguousarray(vectors, np.float32)
    if matrix.ndim != 2:
        raise ValueError(f"embeddings are a matrix, not an array of shape {matrix.shape}")
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise ValueError("an embedding is zero or not finite")
    return np.asarray(matrix / lengths, np.float32)


def _linked(units: Floats32, min_likeness: float, neighbours: int) -> Ints:
    """(p, 2) pairs a < b, at least as alike as asked, of which b is among the nearest to a of those that come after it.

    A mean reaches a threshold only if some pair does, so no merger is lost by leaving out the rest. To look only at what comes
    after halves the work.
    """
    pairs = [np.zeros((0, 2), np.int64)]
    for at in range(0, len(units), _QUERIES):
        queries, after = units[at : at + _QUERIES], units[at:]
        count = min(neighbours + 1, len(after))  # the nearest of each is itself
        likeness, nearest = faiss.knn(queries, after, count, metric=faiss.METRIC_INNER_PRODUCT)
        row, column = np.nonzero((likeness >= min_likeness) & (nearest >= 0))
        pairs.append(np.stack([row, nearest[row, column]], 1) + at)
    return _distinct(np.concatenate(pairs))


def _agglomerate(clusters: _Clusters, pairs: Ints, min_likeness: float) -> None:
    """Merge mutually most alike clusters until no linked pair is alike enough."""
    alike = clusters.likeness(pairs)
    while len(pairs):
        wanted = alike >= min_likeness
        if not wanted.any():
            return
        chosen = _mutual(pairs[wanted], alike[wanted], len(clusters.sizes))
        grown = np.zeros(len(clusters.sizes), bool)
        grown[chosen.ravel()] = True
        stale = grown[pairs].any(1)
        number = clusters.merge(chosen)
        moved = _distinct(number[pairs[stale]])
        still = np.sort(number[pairs[~stale]], axis=1)
        alike = np.concatenate([alike[~stale], clusters.likeness(moved)])
        pairs = np.concatenate([still, moved])


def _mutual(pairs: Ints, alike: Floats32, count: int) -> Ints:
    """Mutual nearest pairs (p, 2); ties go to the lower indices."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -alike))
    rank = np.empty(len(pairs), np.int64)
    rank[order] = np.arange(len(pairs))
    best = np.full(count, len(pairs), np.int64)
    np.minimum.at(best, pairs[:, 0], rank)
    np.minimum.at(best, pairs[:, 1], rank)
    return np.asarray(pairs[(best[pairs[:, 0]] == rank) & (best[pairs[:, 1]] == rank)])


def _distinct(pairs: Ints) -> Ints:
    """Pairs (p, 2) with the smaller number first, each once, none of a number with itself."""
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    if not len(pairs):
        return pairs
    base = int(pairs.max()) + 1
    codes = np.unique(pairs[:, 0] * base + pairs[:, 1])
    return np.stack([codes // base, codes % base], 1)


def _numbered(label: Ints) -> Ints:
    """Labels renumbered by first appearance."""
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse])
