"""Ranks and lists out of the scores of a whole catalogue, under a stated tie rule."""

from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import FloatArray, IntArray

__all__ = ["FloatRanks", "Ties", "rank", "rank_bounds", "settled", "top"]

FloatRanks = NDArray[np.float64]
"""1-based; inf is not in the list at all. Halves occur where ties have their mean rank."""

Ties = Literal["conservative", "optimistic", "mean"]
"""What equal scores make of a rank.

conservative: one more than the number of other items that score at least as high.
optimistic: one more than the number of items that score higher.
mean: the middle of the two.
"""


_Ranks = TypeVar("_Ranks", float, FloatRanks)


def rank(scores: FloatArray, target: int, ties: Ties = "conservative") -> float:
    """1-based rank of the item at index `target` among all items; see rank_bounds."""
    return settled(*rank_bounds(scores, target), ties)


def rank_bounds(scores: FloatArray, target: int) -> tuple[float, float]:
    """The best and the worst 1-based rank of the item at index `target` that equal scores allow.

    scores: (N,), NaN for items that cannot be scored; those never stand before it. Both are inf if it
    is one of them, or if target is -1: an item that the model does not know.
    """
    if target < 0 or np.isnan(scores[target]):
        return np.inf, np.inf
    # The item itself is among those of the worst.
    best = 1 + np.count_nonzero(scores > scores[target])
    return float(best), float(np.count_nonzero(scores >= scores[target]))


def settled(best: _Ranks, worst: _Ranks, ties: Ties) -> _Ranks:
    """The ranks between these bounds that the rule says."""
    if ties == "mean":
        return (best + worst) / 2
    return worst if ties == "conservative" else best


def top(scores: FloatArray, k: int) -> IntArray:
    """Indices of the k best items, best first, ties by lower index; (k,), -1 where there are no more.

    scores: (N,), NaN for items that cannot be scored.
    """
    keys = -scores  # so that the best come first, and NaN last
    last = np.partition(keys, k - 1)[k - 1] if k < len(keys) else np.nan
    if np.isnan(last):
        best = np.flatnonzero(~np.isnan(keys))
    else:
        better = np.flatnonzero(keys < last)
        best = np.concatenate([better, np.flatnonzero(keys == last)[: k - len(better)]])
    found = np.full(k, -1, np.int64)
    found[: len(best)] = best[np.argsort(keys[best], kind="stable")]
    return found
