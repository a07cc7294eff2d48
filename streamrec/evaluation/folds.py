"""Rating predictors by cross-validation: what they say of ratings that they did not see.

In: Feedback, and for each fold a model that was trained on all others. Out: the ratings foretold. One that
the model cannot foretell is taken to be the mean of its training ratings, and which these are is told.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import FloatArray, IntArray, OnStep
from streamrec.errors import ConfigError, DatasetError
from streamrec.feedback import Feedback
from streamrec.recommender import Recommender, Visitor

__all__ = ["Foretold", "fold_places", "folds", "foretell", "predict"]

_VISITORS_A_STEP: Final = 64


class Foretold(NamedTuple):
    """Ratings that a model had not seen, (n,) each, in the order of the feedback."""

    expected: NDArray[np.float64]
    """What it said; where it could not tell, the mean of its training ratings."""
    unscored: NDArray[np.bool_]
    """Where it could not tell."""


def folds(feedback: Feedback, n_folds: int, seed: int) -> Iterator[tuple[Feedback, Feedback]]:
    """For each fold what to train on, and what to foretell. Raises as fold_places."""
    for held_out in fold_places(len(feedback), n_folds, seed):
        rest = np.ones(len(feedback), bool)
        rest[held_out] = False
        yield feedback.take(rest), feedback.take(held_out)


def foretell(model: Recommender, train: Feedback, test: Feedback, on_step: OnStep | None = None) -> Foretold:
    """The ratings of the test that a model of the others expects."""
    expected = predict(model, test, on_step).astype(np.float64)
    unscored = np.isnan(expected)
    expected[unscored] = train.values.mean(dtype=np.float64)
    return Foretold(expected, unscored)


def fold_places(n: int, n_folds: int, seed: int) -> Iterator[IntArray]:
    """For each fold the places held out, drawn at random; sizes differ by one at most."""
    if n_folds < 2:
        raise ConfigError(f"{n_folds} folds: at least two are needed, one to train on and one to foretell")
    if n < n_folds:
        raise DatasetError(f"{n} ratings cannot be cut into {n_folds} folds")
    order = np.random.default_rng(seed).permutation(n)
    yield from np.array_split(order, n_folds)


def predict(model: Recommender, feedback: Feedback, on_step: OnStep | None = None) -> FloatArray:
    """The rating that a model expects of each interaction, (n,); NaN where it cannot tell."""
    predicted = np.full(len(feedback), np.nan, np.float32)
    order = np.argsort(feedback.users, kind="stable")
    of_users = np.split(order, np.flatnonzero(np.diff(feedback.users[order])) + 1)
    for n, places in enumerate(of_users if len(feedback) else ()):
        if on_step is not None and n % _VISITORS_A_STEP == 0:
            on_step(n, len(of_users), float("nan"))
        visitor = Visitor(feedback.user_ids[feedback.users[places[0]]])
        items = [feedback.item_ids[index] for index in feedback.items[places].tolist()]
        if not feedback.contexts:
            predicted[places] = model.score(visitor, items)
            continue
        for place, item_id in zip(places.tolist(), items, strict=True):
            context = {name: labels[place] for name, labels in feedback.contexts.items()}
            predicted[place] = model.score(visitor._replace(context=context), [item_id])[0]
    return predicted
