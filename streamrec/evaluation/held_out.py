"""Top-n recommenders by what visitors did last: is it in the lists made of what they did before?

In: Feedback, and a recommender. Out: lists of what a visitor has not had in training, and where in them is
what it had next.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import FloatArray, IntArray, OnStep
from streamrec.errors import ConfigError, DatasetError
from streamrec.evaluation.ranks import top
from streamrec.feedback import Feedback, Knowledge
from streamrec.recommender import Recommender, Visitor

__all__ = ["MadeLists", "Parts", "last_of_each", "make_lists", "recommended", "unaware"]

_LISTS_A_STEP: Final = 64


class Parts(NamedTuple):
    """What to train on, and what to be judged by."""

    train: Feedback
    test: Feedback


class MadeLists(NamedTuple):
    """Lists, and where in them is what visitors had next; V visitors, N items of the catalogue."""

    visitor_ids: Sequence[str]
    ranks: NDArray[np.float64]
    """(V, R) of the items held out that are new to the visitor, from 1; inf if not in the list, and for
    padding."""
    relevant: IntArray
    """(V,) how many these are. An item that nobody had in training is one of them."""
    tops: IntArray
    """(V, k) places in the catalogue, -1 where a list is shorter."""
    clicks: IntArray
    """(N,) training interactions of each item of the catalogue: the items of training, and what the model
    knows beyond them."""


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


def unaware(knowledge: Knowledge, held_out: Feedback) -> Knowledge:
    """What may be known before: without the tags that visitors gave what is held out, which tell of it."""
    places = zip(held_out.users.tolist(), held_out.items.tolist(), strict=True)
    pairs = {(held_out.user_ids[user], held_out.item_ids[item]) for user, item in places}
    tags = [each for each in knowledge.tags if (each.user_id, each.item_id) not in pairs]
    return knowledge._replace(tags=tags)


def recommended(scores: FloatArray, seen: IntArray, k: int) -> IntArray:
    """The k best, best first, ties by index, (m,) with m ≤ k: what was seen or has no score is left out."""
    known = np.where(np.isfinite(scores), scores, np.nan)
    known[seen] = np.nan
    best = top(known, k)
    return best[best >= 0]


def make_lists(model: Recommender, parts: Parts, k: int = 20, on_step: OnStep | None = None) -> MadeLists:
    """Lists of k for every visitor of the test part. model: trained on the other.

    What a visitor had in training is left out of its lists, so that it is not looked for either. Raises
    DatasetError if nothing is left to look for.
    """
    train, test = parts
    # Not the model's own items: figures of models that know more or fewer of them have to be comparable.
    catalogue = {
        item_id: place for place, item_id in enumerate(dict.fromkeys([*train.item_ids, *model.items]))
    }
    places = np.array([catalogue[item_id] for item_id in model.items], np.int64)
    own = np.full(len(catalogue), -1, np.int64)
    own[places] = np.arange(len(places))
    seen_by = _by_user(train, catalogue)
    none = np.empty(0, np.int64)
    wanted_by = {
        user_id: left
        for user_id, wanted in _by_user(test, catalogue).items()
        if len(left := wanted[~np.isin(wanted, seen_by.get(user_id, none))])
    }
    if not wanted_by:
        raise DatasetError("every visitor had all its held-out items before: there is nothing to look for")
    tops = np.full((len(wanted_by), k), -1, np.int64)
    ranks = np.full((len(wanted_by), max(map(len, wanted_by.values()))), np.inf)
    for row, (user_id, wanted) in enumerate(wanted_by.items()):
        seen = own[seen_by.get(user_id, none)]
        top = places[recommended(model.score(Visitor(user_id)), seen[seen >= 0], k)]
        tops[row, : len(top)] = top
        place = {item: rank for rank, item in enumerate(top.tolist(), 1)}
        ranks[row, : len(wanted)] = [place.get(item, np.inf) for item in wanted.tolist()]
        if on_step is not None and ((row + 1) % _LISTS_A_STEP == 0 or row + 1 == len(wanted_by)):
            on_step(row + 1, len(wanted_by), float("nan"))
    relevant = np.array([len(wanted) for wanted in wanted_by.values()], np.int64)
    clicks = np.zeros(len(catalogue), np.int64)
    clicks[: len(train.item_ids)] = np.bincount(train.items, minlength=len(train.item_ids))
    return MadeLists(list(wanted_by), ranks, relevant, tops, clicks)


def _by_user(feedback: Feedback, catalogue: Mapping[str, int]) -> dict[str, IntArray]:
    """Distinct items of each visitor by their places in the catalogue; others as -1, -2 and so on."""
    found: dict[str, dict[str, None]] = {user_id: {} for user_id in feedback.user_ids}
    for user, item in zip(feedback.users.tolist(), feedback.items.tolist(), strict=True):
        found[feedback.user_ids[user]][feedback.item_ids[item]] = None
    return {
        user_id: np.array([catalogue.get(item_id, -1 - n) for n, item_id in enumerate(items)], np.int64)
        for user_id, items in found.items()
    }
