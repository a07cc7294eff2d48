"""What lists are like apart from being right: how varied, how novel, and whom they serve.

In: `tops`, (Q, k) indices of the items recommended, -1 where a list is shorter, and what training
saw of the items. Out: one number, or one for each list, NaN where the list is too short for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import IntArray, Session

__all__ = [
    "average_popularity",
    "catalogue_coverage",
    "exposure_by_group",
    "gini",
    "intra_list_diversity",
    "item_clicks",
    "largest_gap",
    "long_tail",
    "long_tail_share",
    "mean_of_lists",
    "means_by_group",
    "novelty",
    "popularity_bands",
    "session_incidence",
]

Values = NDArray[np.float64]

_HEAD: Final = 0.8
_SUMS_AT_ONCE: Final = 2_000_000
"""Sums of cosines, one for each list and item, held in memory at a time: at most 24 MB of them."""


def item_clicks(sessions: Sequence[Session], items: Sequence[str]) -> IntArray:
    """Clicks on each of the items, (N,)."""
    rows, _ = _click_places(sessions, items)
    return np.bincount(rows, minlength=len(items))


def session_incidence(sessions: Sequence[Session], items: Sequence[str]) -> Any:
    """Which item occurs in which session: a scipy.sparse.csr_array of ones, (N, S)."""
    from scipy import sparse

    rows, columns = _click_places(sessions, items)
    incidence = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(items), len(sessions)))
    incidence.data[:] = 1  # however often it was clicked
    return incidence


def catalogue_coverage(tops: IntArray, n_items: int) -> float:
    """Share of the n_items that are in any list.

    Source: Ge, Delgado-Battenfeld and Jannach, Beyond accuracy, RecSys 2010.
    """
    return float(np.count_nonzero(_times_listed(tops, n_items)) / n_items)


def gini(tops: IntArray, n_items: int) -> float:
    """Gini coefficient of how often each of the n_items is in a list, those never listed included.

    0: all equally often; (n_items - 1) / n_items: always the same one. NaN if all lists are empty.
    Source: Fleder and Hosanagar, Management Science 55, 2009.
    """
    times = np.sort(_times_listed(tops, n_items))
    if not times[-1]:
        return float("nan")
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float(weights @ times / (n_items * times.sum()))


def intra_list_diversity(tops: IntArray, incidence: Any) -> Values:
    """Mean over the pairs of a list of 1 - the cosine of the sessions that the two items occur in; (Q,).

    incidence: as made by session_incidence. An item without sessions is like no other. NaN for a list of
    less than two items.
    Source: Ziegler et al., WWW 2005, with the cosine over sessions in place of topics.
    """
    from scipy import sparse

    n_items = incidence.shape[0]
    lengths = np.sqrt(incidence.sum(axis=1))
    unit = sparse.diags_array(np.divide(1, lengths, out=np.zeros(n_items), where=lengths > 0)) @ incidence
    cosines = unit @ unit.T
    rows, places = np.nonzero(tops >= 0)
    lists = sparse.csr_array((np.ones(len(rows)), (rows, tops[rows, places])), shape=(len(tops), n_items))
    at_once = max(1, _SUMS_AT_ONCE // n_items)
    parts = (lists[first : first + at_once] for first in range(0, len(tops), at_once))
    # Each item of a list with each: every pair twice, and every item with itself.
    sums = np.concatenate([(part @ cosines).multiply(part).sum(axis=1) for part in parts])
    of_pairs = sums - lists @ cosines.diagonal()
    n = lists.sum(axis=1)
    diversity: Values = 1 - np.divide(of_pairs, n * (n - 1), out=np.full(len(tops), np.nan), where=n > 1)
    return diversity


def novelty(tops: IntArray, clicks: IntArray) -> Values:
    """Mean self-information of a list's items, -log2 of their share of the training clicks, in bits; (Q,).

    clicks: (N,) in training; an item without one counts as clicked once.
    Source: Zhou et al., PNAS 107, 2010.
    """
    return _mean_where(-np.log2(np.maximum(clicks, 1) / clicks.sum())[tops], tops >= 0)


def average_popularity(tops: IntArray, clicks: IntArray) -> Values:
    """Mean number of training clicks of a list's items; (Q,). clicks: (N,).

    Source: Yin et al., Challenging the long tail recommendation, VLDB 2012.
    """
    return _mean_where(clicks[tops], tops >= 0)


def long_tail(clicks: IntArray, head: float = _HEAD) -> NDArray[np.bool_]:
    """Which items are outside the smallest set of the most clicked that holds a share `head` of the clicks.

    clicks: (N,). Returns (N,); of equally clicked items the lower index is nearer to the head.
    """
    order = np.argsort(-clicks, kind="stable")
    held_before = np.cumsum(clicks[order]) - clicks[order]
    tail = np.empty(len(clicks), np.bool_)
    tail[order] = held_before >= head * clicks.sum()
    return tail


def popularity_bands(clicks: IntArray, n_bands: int) -> IntArray:
    """The band of each item, 0 with the most clicked: bands hold about equal shares of the clicks.

    clicks: (N,). Returns (N,); of equally clicked items the lower index is in the lower band.
    """
    order = np.argsort(-clicks, kind="stable")
    held_before = np.cumsum(clicks[order]) - clicks[order]
    bands = np.empty(len(clicks), np.int64)
    bands[order] = np.minimum(n_bands - 1, held_before * n_bands // max(1, int(clicks.sum())))
    return bands


def long_tail_share(tops: IntArray, tail: NDArray[np.bool_]) -> Values:
    """Share of a list's items that are in the long tail; (Q,).

    Source: Abdollahpouri, Burke and Mobasher, Managing popularity bias, FLAIRS 2019.
    """
    return _mean_where(tail[tops].astype(np.float64), tops >= 0)


def exposure_by_group(tops: IntArray, groups: Sequence[str]) -> dict[str, float]:
    """Share of all attention that each group of items gets, by name.

    groups: of each of the N items. A place r of a list gets 1 / log2(1 + r) of attention. NaN if all
    lists are empty.
    Source: Singh and Joachims, Fairness of exposure in rankings, KDD 2018.
    """
    names, group_of = np.unique(np.array(groups), return_inverse=True)
    attention = np.broadcast_to(1 / np.log2(2 + np.arange(tops.shape[1])), tops.shape)
    listed = tops >= 0
    sums = np.bincount(group_of[tops[listed]], weights=attention[listed], minlength=len(names))
    return dict(zip(names.tolist(), (sums / (sums.sum() or np.nan)).tolist(), strict=True))


def means_by_group(values: Values, groups: Sequence[str]) -> dict[str, float]:
    """Mean of a metric over the clicks of each group of sessions, by name.

    values: (Q,); groups: of the session of each click, Q.
    """
    names, group_of = np.unique(np.array(groups), return_inverse=True)
    means = np.bincount(group_of, weights=values) / np.bincount(group_of)
    return dict(zip(names.tolist(), means.tolist(), strict=True))


def largest_gap(means: Mapping[str, float]) -> float:
    """Largest difference between two groups; 0 where there is one group only."""
    return max(means.values()) - min(means.values())


def mean_of_lists(values: Values) -> float:
    """Mean over the lists that have a value; NaN if none has."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")


def _click_places(sessions: Sequence[Session], items: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Item and session of each click on one of the items."""
    index = {item_id: n for n, item_id in enumerate(items)}
    rows = np.fromiter((index.get(item_id, -1) for each in sessions for item_id in each.items), np.int64)
    lengths = np.fromiter((len(each.items) for each in sessions), np.int64)
    columns = np.repeat(np.arange(len(sessions)), lengths)
    return rows[rows >= 0], columns[rows >= 0]


def _times_listed(tops: IntArray, n_items: int) -> IntArray:
    return np.bincount(tops[tops >= 0], minlength=n_items)


def _mean_where(values: NDArray[Any], mask: NDArray[np.bool_]) -> Values:
    """Mean of each row over the places of the mask; NaN where there are none."""
    counts = mask.sum(axis=1)
    sums = np.where(mask, values, 0).sum(axis=1)
    means: Values = np.divide(sums, counts, out=np.full(len(mask), np.nan), where=counts > 0)
    return means
