"""Naive Bayes CF: what other visitors gave an item, by what it used to mean when they gave it.

Enters: ratings. Leaves: the rating expected, Σ y P(y), where what each other visitor v gave the item is
evidence of class y, the visitor's own rating, by how often v gave what it gave to items that the visitor
gave y:

    log P(y) = log P_u(y) + log P_i(y) - log P(y) + (1 + n)^-τ Σ_v log P(r_vi | y) / P_v(r_vi)

P_u, P_i and P_v are how often the visitor, raters of the item, and v give each rating at all, shrunk
towards all ratings. Raters are not as independent as the naive sum of their n parts has them, so it is
tempered by τ. Counts of pairs of visitors are kept nowhere: a score is made of a few passes over the
ratings.

Source: Miyahara and Pazzani, "Collaborative Filtering with the Simple Bayesian Classifier", PRICAI 2000;
all ratings as classes, and tempered, as in Valdiviezo-Diaz et al., "A Collaborative Filtering Approach
Based on Naïve Bayes Classifier", IEEE Access 7, 2019. We differ: both priors, and likelihoods shrunk
towards what tells nothing. Written by hand, as each visitor is a classifier of its own, of whose features
nearly all are missing.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge, checked_value
from streamrec.models._rating_table import Rated, RatingTable, chosen
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Reason, Task, Visitor

__all__ = ["NaiveBayesCF", "NaiveBayesCFConfig"]

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]

_MOST_REASONS = 20


class NaiveBayesCFConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    prior_damping: PositiveFloat = 10.0
    """Ratings spread as all are that are added to those of each visitor and item."""
    likelihood_damping: PositiveFloat = 2.0
    """Ratings spread as the other visitor's that are added to what it gave where the visitor gave y."""
    tempering: float = Field(0.75, ge=0, le=1)
    """τ: 0 takes all raters for independent, 1 takes them for one."""
    most_classes: PositiveInt = 20
    """Ratings on a finer scale than this are refused."""


class _Classes(NamedTuple):
    """Ratings as classes, which follow from the table."""

    levels: Numbers
    """(V,) the ratings that there are, ascending."""
    codes: Indices
    """(n,) of each of the table's ratings."""
    overall: Numbers
    """(V,) P"""
    of_users: Numbers
    """(users, V) P_u"""
    of_items: Numbers
    """(N, V) P_i"""
    raters: Numbers
    """(N,) of each item."""


class NaiveBayesCF:
    """A classifier for each visitor, made as it is asked; a recommender.StreamRecommender."""

    Config = NaiveBayesCFConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})
    # A mean of ratings would be a class of its own.
    takes_repeats: ClassVar[bool] = True

    def __init__(self, config: NaiveBayesCFConfig | None = None) -> None:
        self.config = config or NaiveBayesCFConfig()
        self._table = RatingTable.empty()
        self._classes: _Classes | None = None
        # Ratings that are classes already, as far as learning one by one has asked.
        self._levels: set[float] = set()

    @property
    def items(self) -> Sequence[str]:
        """See recommender.Recommender."""
        return self._table.item_ids

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Keep the ratings. Raises DatasetError if there are none, or of too many classes."""
        table = RatingTable.of(feedback)
        self._refuse_more_than_most(len(np.unique(table.values)))
        self._table, self._classes, self._levels = table, None, set()
        if options is not None and options.on_step is not None:
            options.on_step(len(feedback), len(feedback), float("nan"))
        return TrainReport(len(feedback), [])

    def learn_one(self, user_id: str, item_id: str, value: float = 1.0, time_ms: int = 0) -> None:
        """See recommender.StreamRecommender. Raises DatasetError if the value is no finite number, or a class
        too many."""
        self.check_one(user_id, item_id, value)
        self._table.add(user_id, item_id, value)
        self._levels.add(checked_value(user_id, item_id, value))
        self._classes = None

    def check_one(self, user_id: str, item_id: str, value: float) -> None:
        """Raise DatasetError if learn_one would refuse it; nothing is learned."""
        rating = checked_value(user_id, item_id, value)
        if rating not in self._levels:
            self._levels = {*np.unique(self._table.values).tolist()}
            self._refuse_more_than_most(len(self._levels | {rating}))

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The ratings expected; of an unknown visitor without any, those of the item by all."""
        if not len(self._table):
            return chosen(np.empty(0), {}, items)
        classes = self._classified()
        own, rated = self._table.user_index.get(visitor.visitor_id, -1), self._table.rated_by(visitor)
        logs = self._log_prior(rated, classes) + self._evidence(own, rated, classes)
        return chosen(_chances(logs) @ classes.levels, self._table.item_index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """What visitor and item are like at all, and by about how much each other visitor moves that."""
        item = self._table.item_index.get(item_id)
        if item is None:
            return []
        table, classes = self._table, self._classified()
        own, rated = table.user_index.get(visitor.visitor_id, -1), table.rated_by(visitor)
        prior = _chances(self._log_prior(rated, classes)[item])
        mean = float(prior @ classes.levels)
        of_item = np.flatnonzero(table.items == item)
        raters, codes = table.users[of_item], classes.codes[of_item]
        lifts = np.zeros(len(raters))
        for y, liking in enumerate(self._liking(own, rated, classes)):
            # To first order: how the mean moves with the logarithm of the class's probability.
            lifts += prior[y] * (classes.levels[y] - mean) * liking[raters, codes]
        lifts *= (1.0 + len(raters)) ** -self.config.tempering
        order = np.argsort(-np.abs(lifts), kind="stable")[:_MOST_REASONS]
        of_raters = [
            Reason("user", table.user_ids[raters[n]], float(lifts[n])) for n in order.tolist() if lifts[n]
        ]
        return sorted([Reason("rating", "", mean), *of_raters], key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        save_state(directory, "NaiveBayesCF", self.config, self._table.ids(), self._table.arrays())

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, arrays = load_state(directory, "NaiveBayesCF", cls.Config)
        model = cls(config)
        model._table = RatingTable.saved(ids, arrays)
        return model

    def _refuse_more_than_most(self, classes: int) -> None:
        if classes > self.config.most_classes:
            raise DatasetError(
                f"{classes:,} different ratings, each a class of its own: no more than "
                f"{self.config.most_classes} are taken; round them, or raise most_classes"
            )

    def _classified(self) -> _Classes:
        """The classes as of now: made anew only after something was learned."""
        if self._classes is None:
            table = self._table
            levels, codes = np.unique(table.values, return_inverse=True)
            overall = np.bincount(codes) / len(codes)
            self._classes = _Classes(
                levels,
                codes,
                overall,
                self._shares(table.users, codes, overall, table.shape[0]),
                self._shares(table.items, codes, overall, table.shape[1]),
                np.bincount(table.items, minlength=table.shape[1]).astype(np.float64),
            )
        return self._classes

    def _shares(self, groups: Indices, codes: Indices, overall: Numbers, n: int) -> Numbers:
        """How often each group gives or gets each class, (n, V), shrunk towards what all do."""
        n_classes = len(overall)
        counts = np.bincount(groups * n_classes + codes, minlength=n * n_classes).reshape(n, n_classes)
        damped = counts + self.config.prior_damping * overall
        shares: Numbers = damped / damped.sum(axis=1, keepdims=True)
        return shares

    def _log_prior(self, rated: Rated, classes: _Classes) -> Numbers:
        """log P_u + log P_i - log P, (N, V); of a visitor without ratings P_u is P."""
        codes = np.searchsorted(classes.levels, rated[1]).clip(max=len(classes.levels) - 1)
        of_visitor = self._shares(np.zeros_like(codes), codes, classes.overall, 1)
        prior: Numbers = np.log(classes.of_items) + np.log(of_visitor / classes.overall)
        return prior

    def _liking(self, own: int, rated: Rated, classes: _Classes) -> Iterator[Numbers]:
        """For each class y, log P(r | y) / P_v(r) of each other visitor v and rating r, (users, V) each."""
        table, n_classes = self._table, len(classes.levels)
        given = np.full(table.shape[1], -1)
        given[rated[0]] = np.searchsorted(classes.levels, rated[1]).clip(max=n_classes - 1)
        of_ratings = given[table.items]
        damping = self.config.likelihood_damping
        for y in range(n_classes):
            there = of_ratings == y
            cells = table.users[there] * n_classes + classes.codes[there]
            counts = np.bincount(cells, minlength=table.shape[0] * n_classes).reshape(-1, n_classes)
            liking = np.log1p(counts / (damping * classes.of_users))
            liking -= np.log1p(counts.sum(axis=1, keepdims=True) / damping)
            if own >= 0:
                liking[own] = 0.0
            yield liking

    def _evidence(self, own: int, rated: Rated, classes: _Classes) -> Numbers:
        """What all raters of an item tell of each class, tempered, (N, V)."""
        table = self._table
        sums = [
            np.bincount(table.items, liking[table.users, classes.codes], minlength=table.shape[1])
            for liking in self._liking(own, rated, classes)
        ]
        evidence: Numbers = np.stack(sums, axis=1) * (1.0 + classes.raters[:, None]) ** -self.config.tempering
        return evidence


def _chances(logs: Numbers) -> Numbers:
    """Probabilities of classes, which are last in the shape, by their logarithms up to a constant."""
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    chances: Numbers = weights / weights.sum(axis=-1, keepdims=True)
    return chances
