"""Splitting visitors or items by context: the label under which each is rated most differently.

Enters: ratings with contexts. Leaves: for whom ratings under some label differ by more than chance from the
rest, which label that is.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import FloatArray, IntArray
from streamrec.feedback import Feedback
from streamrec.recommender import Recommender

__all__ = ["Split", "observed", "splits"]


class Split(NamedTuple):
    """What splits a visitor or an item: ratings under a label are the inner half."""

    name: str
    """Of the context."""
    label: str
    share: float
    """Of the ratings that are under the label."""

    def is_inside(self, context: Mapping[str, str], labels: Mapping[str, Sequence[str]]) -> bool | None:
        """Which half a context chooses; None where it is not told, or none of the labels there were."""
        if context.get(self.name) not in labels[self.name]:
            return None
        return context[self.name] == self.label


def splits(
    feedback: Feedback, column_of: IntArray, ids: Sequence[str], t: float, ratings: int
) -> dict[str, Split]:
    """What splits visitors or items best, by id, where |t| is above `t`.

    column_of: (n,) their indices. ratings: that each half has to have.
    """
    best: dict[str, Split] = {}
    highest = np.full(len(ids), t)
    everything = _moments(column_of, feedback.values, len(highest))
    for name, column in feedback.contexts.items():
        under = np.array(column)
        for label in dict.fromkeys(column):
            chosen = under == label
            inside = _moments(column_of[chosen], feedback.values[chosen], len(highest))
            found = _welch(inside, everything - inside, ratings)
            for each in np.flatnonzero(found > highest).tolist():
                best[ids[each]] = Split(name, label, float(inside[0, each] / everything[0, each]))
            highest = np.maximum(highest, found)
    return best


def observed(feedback: Feedback, model: Recommender) -> Feedback:
    """Ratings in several contexts, as a recommender that is not told these learns most of them.

    A pair has all its ratings where a recommender takes them; where the last alone would count, their mean.
    """
    return feedback if takes_repeats(model) else feedback.with_means()


def takes_repeats(*models: Recommender) -> bool:
    """Whether one of them wants several ratings of a pair as they are; each says so by an attribute."""
    return any(getattr(model, "takes_repeats", False) for model in models)


def _moments(items: IntArray, values: FloatArray, n: int) -> NDArray[np.float64]:
    """Number, sum and sum of squares of the ratings of each, (3, n)."""
    exact = values.astype(np.float64)
    return np.array([np.bincount(items, weights, minlength=n) for weights in (exact**0, exact, exact**2)])


def _welch(one: NDArray[np.float64], other: NDArray[np.float64], least: int) -> NDArray[np.float64]:
    """|t| of the difference of means, (n,); 0 where one has fewer ratings than `least`.

    Ratings that are all the same are taken to vary by a tenth, so that no chance looks like certainty.
    """
    errors, means = [], []
    for n, total, squares in (one, other):
        times = np.maximum(n, 2)
        means.append(total / times)
        errors.append(np.maximum((squares - times * means[-1] ** 2) / (times - 1), 0.01) / times)
    t: NDArray[np.float64] = np.abs(means[0] - means[1]) / np.sqrt(errors[0] + errors[1])
    return np.where((one[0] >= least) & (other[0] >= least), t, 0.0)
