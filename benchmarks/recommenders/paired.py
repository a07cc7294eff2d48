"""The same model twice on the same folds: with what it may know beside ratings, and without.

Each split foretells every rating once, so that of each there is a pair of errors. Visitors are what differs
at random: the standard error is over them, not over their ratings, which share a visitor's ways.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.recommenders.rows import Entry, Judged, entry, mark, new_table
from streamrec.contracts import TrainOptions
from streamrec.evaluation.folds import fold_places, foretell
from streamrec.feedback import Feedback, Knowledge
from streamrec.models import recommender

__all__ = ["Errors", "Gain", "Question", "errors_of", "gain", "judge_gains"]

Floats = NDArray[np.float64]
_N_FOLDS: Final = 5


class Question(NamedTuple):
    """What to know, and of whom to ask whether it helps."""

    data: str
    known: str
    """In a word."""
    models: Collection[str]
    required: Collection[str]
    """Models that have to be better, of the first of `visitors`."""
    visitors: Mapping[str, int | None]
    """Of whom errors are told: those with fewer ratings in training, or None for all."""
    n_splits: int


class Errors(NamedTuple):
    """Of each split and rating, (splits, n)."""

    errors: Floats
    """What was foretold less what was said."""
    trained_on: NDArray[np.int64]
    """How many ratings of the visitor were in the training."""


class Gain(NamedTuple):
    """By how much errors differ."""

    ratings: int
    """Distinct ones."""
    rmse_with: float
    rmse_without: float
    standard_error: float
    """Of the difference of the two."""

    @property
    def rmse(self) -> float:
        """Above 0 if what is known helps."""
        return self.rmse_without - self.rmse_with


def judge_gains(
    question: Question,
    known: tuple[Feedback, Knowledge],
    unknown: tuple[Feedback, Knowledge],
    on_step: Callable[[int, int], object],
) -> Judged:
    """Errors of each model on ratings that are the same in both, with what is known and without."""
    data, what, models, required, visitors, n_splits = question
    steps, done = 2 * len(models) * n_splits * _N_FOLDS, 0

    def step() -> None:
        nonlocal done
        done += 1
        on_step(done, steps)

    entries: list[Entry] = []
    table = new_table(
        f"{data}: RMSE of ratings foretold with {what} and without, {n_splits} times five folds",
        *("ratings", "with", "without", "gain", "its error", ""),
        caption="The standard error of the gain is over visitors.",
    )
    for name in models:
        sides = [errors_of(name, *side, n_splits, step) for side in (known, unknown)]
        for place, (who, below) in enumerate(visitors.items()):
            found = gain(*sides, known[0].users, below)
            row = entry(
                name,
                data,
                f"rmse, {who}",
                found.rmse_with,
                reference=found.rmse_without,
                holds=found.rmse > 0,
                required=place == 0 and name in required,
                claim=f"better with {what} than",
                more={"gain": found.rmse, "standard_error": found.standard_error},
            )
            entries.append(row)
            cells = (found.rmse_with, found.rmse_without, found.standard_error)
            with_it, without, error = (f"{each:.4f}" for each in cells)
            told = f"{found.rmse:+.4f}"
            table.add_row(f"{name}, {who}", f"{found.ratings:,}", with_it, without, told, error, mark(row))
    return Judged(entries, [table])


def errors_of(
    name: str, feedback: Feedback, knowledge: Knowledge, n_splits: int, on_fold: Callable[[], object]
) -> Errors:
    """Every rating by a model that has not seen it, once a split. on_fold: called after each fold."""
    found = Errors(np.empty((n_splits, len(feedback))), np.zeros((n_splits, len(feedback)), np.int64))
    for split, held_out in _folds(len(feedback), n_splits):
        rest = np.ones(len(feedback), bool)
        rest[held_out] = False
        train = feedback.take(rest)
        model = recommender(name)
        model.train(train, knowledge, TrainOptions(seed=split))
        # As `take` has them.
        places = np.sort(held_out)
        expected, _ = foretell(model, train, feedback.take(places))
        found.errors[split, places] = expected - feedback.values[places]
        ratings_of = np.bincount(feedback.users[rest], minlength=len(feedback.user_ids))
        found.trained_on[split, places] = ratings_of[feedback.users[places]]
        on_fold()
    return found


def gain(known: Errors, unknown: Errors, users: NDArray[np.int64], below: int | None = None) -> Gain:
    """What knowing more changes; of visitors with fewer than `below` ratings in the training, if given.

    users: (n,) who gave the ratings. NaN where there are no such ratings.
    """
    chosen = np.ones(known.errors.shape, bool) if below is None else known.trained_on < below
    squares, others = (np.where(chosen, each.errors**2, 0.0) for each in (known, unknown))
    n = chosen.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rmse, other = (float(np.sqrt(each.sum() / n.sum())) for each in (squares, others))
        difference = (others - squares).sum(axis=0)
        # A ratio of sums over visitors; of a ratio's mean they are what is left of each.
        left = difference - difference.sum() / n.sum() * n
        of_visitors = np.bincount(users, left)[np.bincount(users, n) > 0]
        error = np.sqrt((of_visitors**2).sum() * len(of_visitors) / (len(of_visitors) - 1)) / n.sum()
        # a² - b² = (a + b) (a - b)
        return Gain(int((n > 0).sum()), rmse, other, float(error / (rmse + other)))


def _folds(n: int, n_splits: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    for split in range(n_splits):
        for held_out in fold_places(n, _N_FOLDS, split):
            yield split, held_out
