"""Metrics of ranked lists, one value a query; the mean over queries is the caller's to take.

A query asks for some relevant items. In: their ranks, (Q, R) for Q queries, inf for what is not
in the list and for padding, and how many they are, (Q,) or one number for all. Where each query has
one relevant item, as with the next click of a session, (Q,) ranks alone are enough.

With one relevant item the hit rate is the recall, and average precision is the reciprocal rank.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamrec.evaluation.ranks import FloatRanks

__all__ = [
    "auc",
    "f1_at_k",
    "hit_rate_at_k",
    "mae",
    "map_at_k",
    "mar_at_k",
    "mrr_at_k",
    "ndcg_at_k",
    "precision_at_k",
    "recall_at_k",
    "require_k",
    "rmse",
]

Values = NDArray[np.float64]


def recall_at_k(ranks: FloatRanks, k: int, relevant: ArrayLike = 1) -> Values:
    """Share of the relevant items within the first k.

    ranks: 1-based, (Q,) or (Q, R), inf if absent; relevant: how many there are, (Q,) or one number.
    Returns (Q,). Raises ValueError if k or one of `relevant` is below 1, or ranks has another shape.
    Source: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, chapter 8.
    """
    return _sum(_hits(ranks, k)) / _counts(relevant)


def precision_at_k(ranks: FloatRanks, k: int) -> Values:
    """Share of the first k that is relevant; a shorter list counts as filled up. See recall_at_k.

    Source: as recall_at_k.
    """
    return _sum(_hits(ranks, k)) / k


def f1_at_k(ranks: FloatRanks, k: int, relevant: ArrayLike = 1) -> Values:
    """Harmonic mean of precision and recall, 0 without a hit. See recall_at_k.

    Source: van Rijsbergen, Information Retrieval, 1979, chapter 7.
    """
    # 2PR / (P + R), with P = hits / k and R = hits / relevant.
    return 2 * _sum(_hits(ranks, k)) / (k + _counts(relevant))


def hit_rate_at_k(ranks: FloatRanks, k: int) -> Values:
    """1 if any relevant item is within the first k, else 0. See recall_at_k.

    Source: Deshpande and Karypis, Item-based top-N recommendation algorithms, TOIS 22, 2004.
    """
    return (_sum(_hits(ranks, k)) > 0).astype(np.float64)


def mrr_at_k(ranks: FloatRanks, k: int) -> Values:
    """Reciprocal rank of the first relevant item, 0 beyond k. See recall_at_k.

    Source: Voorhees, TREC-8 QA track, 1999.
    """
    require_k(k)
    first = _table(ranks).min(axis=1, initial=np.inf)
    return np.where(first <= k, 1 / first, 0.0)


def ndcg_at_k(ranks: FloatRanks, k: int, relevant: ArrayLike = 1) -> Values:
    """Normalised discounted cumulative gain, an item being relevant or not. See recall_at_k.

    The gain at rank r is 1 / log2(1 + r); the ideal list has min(relevant, k) items in front.
    Source: Järvelin and Kekäläinen, TOIS 20, 2002.
    """
    gains = _sum(np.where(_hits(ranks, k), 1 / np.log2(1 + _table(ranks)), 0.0))
    ideal = np.cumsum(1 / np.log2(1 + np.arange(1, k + 1)))
    values: Values = gains / ideal[np.minimum(_counts(relevant), k) - 1]
    return values


def map_at_k(ranks: FloatRanks, k: int, relevant: ArrayLike = 1) -> Values:
    """Average precision: the mean over the relevant items of the precision at their ranks, 0 beyond k.

    Divided by all relevant items, as by trec_eval, not by min(relevant, k). See recall_at_k.
    Source: Buckley and Voorhees, Evaluating evaluation measure stability, SIGIR 2000.
    """
    require_k(k)
    in_order = np.sort(_table(ranks), axis=1)
    found = np.arange(1, in_order.shape[1] + 1)
    return _sum(np.where(in_order <= k, found / in_order, 0.0)) / _counts(relevant)


def mar_at_k(ranks: FloatRanks, k: int, relevant: ArrayLike = 1) -> Values:
    """Average recall: the mean of recall_at_1 to recall_at_k. See recall_at_k.

    No paper defines it for lists. Source of the idea: the average recall of Hosang et al., What makes for
    effective detection proposals?, TPAMI 38, 2016, whose mean is over thresholds in place of lengths.
    """
    # An item of rank r is within k - ⌈r⌉ + 1 of the k lists.
    hits = _hits(ranks, k)
    lists = np.where(hits, k + 1 - np.ceil(_table(ranks)), 0.0)
    return _sum(lists) / (k * _counts(relevant))


def auc(ranks: FloatRanks, n_items: int, relevant: ArrayLike = 1) -> Values:
    """Area under the ROC curve: how probably a relevant item stands before one that is not.

    ranks: in the whole catalogue of n_items, by the tie rule `mean`: an equal score counts one half.
    A relevant item without a rank counts as the last. NaN where every item is relevant. Otherwise as
    recall_at_k.
    Source: Hanley and McNeil, Radiology 143, 1982.
    """
    table = np.sort(_table(ranks), axis=1)
    counts = np.broadcast_to(_counts(relevant), len(ranks))[:, None]
    if (counts > table.shape[1]).any():
        raise ValueError(
            f"{counts.max()} relevant items but ranks for {table.shape[1]}; give inf for the others"
        )
    nth = np.arange(1, table.shape[1] + 1)
    others = n_items - counts
    # The nth of the relevant items has n - 1 of them before it; without a rank, all the others too.
    before = np.where(np.isinf(table), others, table - nth)
    pairs = (counts * others)[:, 0]
    beaten = np.clip(pairs - _sum(np.where(nth <= counts, before, 0)), 0, pairs)
    shares: Values = np.divide(beaten, pairs, out=np.full(len(table), np.nan), where=pairs > 0)
    return shares


def rmse(predicted: ArrayLike, actual: ArrayLike) -> float:
    """Root of the mean squared error of ratings; NaN without any. Raises ValueError if shapes differ."""
    errors = _errors(predicted, actual)
    return float(np.sqrt(np.mean(errors**2))) if errors.size else float("nan")


def mae(predicted: ArrayLike, actual: ArrayLike) -> float:
    """Mean absolute error of ratings; NaN without any. Raises ValueError if shapes differ."""
    errors = _errors(predicted, actual)
    return float(np.mean(np.abs(errors))) if errors.size else float("nan")


def require_k(k: int) -> None:
    """Raises ValueError if k is below 1."""
    if k < 1:
        raise ValueError(f"k is {k}; it has to be 1 or more")


def _hits(ranks: FloatRanks, k: int) -> NDArray[np.bool_]:
    require_k(k)
    return _table(ranks) <= k


def _table(ranks: FloatRanks) -> FloatRanks:
    if ranks.ndim not in (1, 2):
        raise ValueError(f"ranks have the shape {ranks.shape}; expected (Q,) or (Q, R)")
    return ranks[:, None] if ranks.ndim == 1 else ranks


def _sum(table: NDArray[np.float64] | NDArray[np.bool_]) -> Values:
    sums: Values = table.sum(axis=1, dtype=np.float64)
    return sums


def _counts(relevant: ArrayLike) -> NDArray[np.int64]:
    counts = np.asarray(relevant, dtype=np.int64)
    if (counts < 1).any():
        raise ValueError("a query has no relevant item; leave it out, nothing can be found for it")
    return counts


def _errors(predicted: ArrayLike, actual: ArrayLike) -> Values:
    shapes = np.shape(predicted), np.shape(actual)
    if shapes[0] != shapes[1]:
        raise ValueError(f"predictions have the shape {shapes[0]}, ratings {shapes[1]}; give one for each")
    errors: Values = np.subtract(predicted, actual, dtype=np.float64)
    return errors
