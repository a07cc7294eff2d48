"""Top-n recommenders by what visitors did last: is it in the lists made of what they did before?

In: Feedback, and a recommender. Out: metrics of lists of everything that a visitor has not had in training.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import FloatArray, IntArray
from streamrec.errors import ConfigError, DatasetError
from streamrec.evaluation.beyond import average_popularity, catalogue_coverage, novelty
from streamrec.evaluation.metrics import ndcg_at_k, recall_at_k
from streamrec.evaluation.ranks import top
from streamrec.feedback import Feedback
from streamrec.recommender import Recommender, Visitor

__all__ = ["Lists", "Parts", "last_of_each", "measure_lists", "recommended"]


class Parts(NamedTuple):
    """What to train on, and what to be judged by."""

    train: Feedback
    test: Feedback


class Lists(NamedTuple):
    """What lists came to, means over the visitors."""

    ndcg_at_10: float
    recall_at_20: float
    coverage_at_20: float
    """Share of the training items that are in any list of 20."""
    novelty_at_20: float
    """Bits: how unlikely an item of the lists is among training interactions."""
    popularity_at_20: float
    """Training interactions of an item of the lists."""
    visitors: int


def last_of_each(feedback: Feedback, share: float = 0.2) -> Parts:
    """Each visitor's last interactions held out: a share, rounded down, so of few perhaps none.

    Of one time, what is last in the feedback's order. Raises ConfigError or DatasetError if a part is empty.
    """
    if not 0 < share < 1:
        raise ConfigError(f"a share of {share:g} to hold out; it has to be between 0 and 1, 0.2 for instance")
    order = np.argsort(feedback.users, kind="stable")
    counts = np.bincount(feedback.users, minlength=len(feedback.user_ids))
    place_of = np.arange(len(feedback)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = counts - np.floor(counts * share).astype(np.int64)
    is_test = np.zeros(len(feedback), bool)
    is_test[order] = place_of >= np.repeat(kept, counts)
    if not is_test.any():
        raise DatasetError(
            f"no visitor has the {int(np.ceil(1 / share))} interactions that holding one out takes"
        )
    return Parts(feedback.take(~is_test), feedback.take(is_test))


def recommended(scores: FloatArray, seen: IntArray, k: int) -> IntArray:
    """The k best, best first, ties by index, (m,) with m ≤ k: what was seen or has no score is left out."""
    known = np.where(np.isfinite(scores), scores, np.nan)
    known[seen] = np.nan
    best = top(known, k)
    return best[best >= 0]


def measure_lists(model: Recommender, parts: Parts, k: int = 20) -> Lists:
    """Lists of k for every visitor of the test part. model: trained on the other."""
    train, test = parts
    index = {item_id: place for place, item_id in enumerate(model.items)}
    seen_by = _by_user(train, index)
    wanted_by = _by_user(test, index, keep_unknown=True)
    tops = np.full((len(wanted_by), k), -1, np.int64)
    most = max(len(wanted) for wanted in wanted_by.values())
    ranks = np.full((len(wanted_by), most), np.inf)
    relevant = np.zeros(len(wanted_by), np.int64)
    for row, (user_id, wanted) in enumerate(wanted_by.items()):
        top = recommended(model.score(Visitor(user_id)), seen_by.get(user_id, np.empty(0, np.int64)), k)
        tops[row, : len(top)] = top
        place = {item: rank for rank, item in enumerate(top.tolist(), 1)}
        ranks[row, : len(wanted)] = [place.get(item, np.inf) for item in wanted.tolist()]
        relevant[row] = len(wanted)
    clicks = _popularity(train, index)
    return Lists(
        float(ndcg_at_k(ranks, 10, relevant).mean()),
        float(recall_at_k(ranks, k, relevant).mean()),
        catalogue_coverage(tops, len(model.items)),
        float(np.nanmean(novelty(tops, clicks))),
        float(np.nanmean(average_popularity(tops, clicks))),
        len(wanted_by),
    )


def _by_user(feedback: Feedback, index: dict[str, int], *, keep_unknown: bool = False) -> dict[str, IntArray]:
    """Distinct items of each visitor by the model's index; unknown ones as -1, -2 and so on, or left out."""
    found: dict[str, dict[str, None]] = {user_id: {} for user_id in feedback.user_ids}
    for user, item in zip(feedback.users.tolist(), feedback.items.tolist(), strict=True):
        found[feedback.user_ids[user]][feedback.item_ids[item]] = None
    return {
        user_id: np.array(
            [
                index.get(item_id, -1 - n)
                for n, item_id in enumerate(items)
                if keep_unknown or item_id in index
            ],
            np.int64,
        )
        for user_id, items in found.items()
    }


def _popularity(feedback: Feedback, index: dict[str, int]) -> IntArray:
    counts: NDArray[np.int64] = np.zeros(len(index), np.int64)
    n = np.bincount(feedback.items, minlength=len(feedback.item_ids))
    for item_id, times in zip(feedback.item_ids, n.tolist(), strict=True):
        if item_id in index:
            counts[index[item_id]] = times
    return counts
