"""Items of a large catalogue in clusters, for a search that looks into the most promising ones only.

In: output weights and biases. Out: clusters of at most `CAPACITY` items each, and by which weights and bias
a cluster is scored like an item.

Lloyd's k-means in two levels, cells first and clusters within each: an item is compared with two hundred
centroids twice, not with seventeen thousand. It is written out here because the libraries that training
has anyway do not bound the size of a cluster. The bias is one more dimension, in which every state is 1: what
then lies close together scores alike.
"""

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrec.contracts import OnStep

__all__ = ["CAPACITY", "FILLED", "NOBODY", "Clusters", "clusters"]

CAPACITY: Final = 64
"""Items in a cluster at most."""
NOBODY: Final = -1
"""In place of an item where a cluster has fewer."""
FILLED: Final = 0.9
"""Share of the places that are taken, about: with all of them, items end up in clusters far from them."""
_ROUNDS: Final = 8
_SAMPLE: Final = 200
"""Items for each cell that cells are found by."""
_SPREAD: Final = 4.0
"""How far above its mean the best of a cluster may score, in root mean square distances of its items: the
best items, not the mean ones, are what a cluster is looked into for."""
_AT_ONCE: Final = 8192

Array = NDArray[Any]


class Clusters(NamedTuple):
    """C clusters of items."""

    members: Array
    """Indices of items, int32 (C, CAPACITY), `NOBODY` behind them."""
    weights: Array
    """float32 (C, H); with `bias` scored like an item, to tell in which clusters the best items are."""
    bias: Array
    """float32 (C,)"""


def clusters(items: Array, bias: Array, on_step: OnStep | None = None) -> Clusters:
    """items: (N, H); bias: (N,). on_step: told how many items are in clusters, out of how many.

    The same for the same numbers, on one thread of the same processor.
    """
    points = torch.from_numpy(np.column_stack([items, bias]).astype(np.float32))
    members, centroids, spread = [], [], []
    done = 0
    for cell in _cells(points):
        for cluster in _within(points[cell]):
            own = cell[cluster]
            mean = points[own].mean(0)
            members.append(np.pad(own.numpy(), (0, CAPACITY - len(own)), constant_values=NOBODY))
            centroids.append(mean.numpy())
            spread.append((points[own] - mean).square().sum(1).mean().sqrt().item())
        done += len(cell)
        if on_step is not None:
            on_step(done, len(points), math.nan)
    found = np.stack(centroids)
    return Clusters(
        np.stack(members).astype(np.int32),
        found[:, :-1],
        (found[:, -1] + _SPREAD * np.array(spread)).astype(np.float32),
    )


def _cells(points: Tensor) -> Iterator[Tensor]:
    """Indices of the points of each cell: as many cells as clusters in one, about."""
    n = math.isqrt(_needed(len(points)))
    drawn = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[: _SAMPLE * n]
    nearest = _nearest(points, _centroids(points[drawn], n))
    return (cell for each in range(n) if len(cell := torch.nonzero(nearest == each)[:, 0]))


def _within(points: Tensor) -> Iterator[Tensor]:
    """Indices of the points of each cluster of a cell."""
    n = _needed(len(points))
    centroids = _centroids(points, n)
    placed = _placed(_closeness(points, centroids).numpy())
    # Once more by the means of what has found a place.
    means = _means(points, torch.from_numpy(placed), centroids)
    placed = _placed(_closeness(points, means).numpy())
    return (torch.from_numpy(own) for each in range(n) if len(own := np.flatnonzero(placed == each)))


def _needed(n_points: int) -> int:
    return math.ceil(n_points / (FILLED * CAPACITY))


def _centroids(points: Tensor, n: int) -> Tensor:
    """Lloyd's, from every so many-th point on; (n, D)."""
    found = points[:: max(1, len(points) // n)][:n].clone()
    for _ in range(_ROUNDS):
        found = _means(points, _nearest(points, found), found)
    return found


def _means(points: Tensor, of: Tensor, before: Tensor) -> Tensor:
    """The mean of every centroid's points; where there are none, it stays what it was."""
    sums = torch.zeros_like(before).index_add_(0, of, points)
    counts = torch.bincount(of, minlength=len(before))[:, None]
    return torch.where(counts > 0, sums / counts.clamp(min=1), before)


def _closeness(points: Tensor, centroids: Tensor) -> Tensor:
    """(N, n): the larger, the smaller the Euclidean distance."""
    return torch.addmm(centroids.square().sum(1) / -2, points, centroids.T)


def _nearest(points: Tensor, centroids: Tensor) -> Tensor:
    parts = (points[first : first + _AT_ONCE] for first in range(0, len(points), _AT_ONCE))
    return torch.cat([_closeness(some, centroids).argmax(1) for some in parts])


def _placed(closeness: Array) -> Array:
    """For each point the number of its cluster, (N,): the closest, as long as there is room.

    Where more want to be than can, those stay who would lose most by their next choice; the others ask there.
    """
    n_points, n = closeness.shape
    choices = np.argsort(-closeness, axis=1, kind="stable")
    room = np.full(n, CAPACITY)
    placed = np.full(n_points, NOBODY)
    left, choice = np.arange(n_points), np.zeros(n_points, np.int64)
    while len(left):
        while (full := room[choices[left, choice[left]]] == 0).any():
            choice[left[full]] += 1
        wanted = choices[left, choice[left]]
        second = choices[left, np.minimum(choice[left] + 1, n - 1)]
        loss = closeness[left, wanted] - closeness[left, second]
        order = np.lexsort((-loss, wanted))
        left, wanted = left[order], wanted[order]
        takes = np.arange(len(left)) - np.searchsorted(wanted, wanted) < room[wanted]
        placed[left[takes]] = wanted[takes]
        room -= np.bincount(wanted[takes], minlength=n)
        left = left[~takes]
    return placed
