"""Slope one: what a visitor gave another item, and by how much this one is rated above that one by others.

Enters: ratings. Leaves: the rating expected of item j, a mean over the visitor's other items i of
u_i + dev_ji, where dev_ji is the mean of v_j - v_i over those who rated both.

- plain: the visitor's mean + the mean of dev_ji, each pair of items alike.
- weighted: u_i + dev_ji by how many rated both, c_ji.
- bi-polar: as weighted, of pairs that both are liked, or both disliked, by who rated them: rated above, or
  below, the rater's own mean. Where there is no such pair, as weighted.

Pairs of items are kept nowhere. With X the ratings, B the same with 1 for each, x and b those of the
visitor, the weighted sums over its items are Xᵀ(B b) - Bᵀ(X b) + Bᵀ(B x), over Bᵀ(B b): a few passes over the
ratings for a score, memory of the ratings alone, and one more rating is learned by keeping it.

Source: Lemire and Maclachlan, "Slope One Predictors for Online Rating-Based Collaborative Filtering",
SDM 2005. Written by hand, as the library that has it keeps dense tables of all pairs.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._rating_table import RatingTable, chosen
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Reason, Task, Visitor

__all__ = ["SlopeOne", "SlopeOneConfig"]

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MOST_REASONS: Final = 20
_CHUNK: Final = 256
"""Of a visitor's items at a time, so that pairs with them stay a few dozen megabytes."""
_ALIKE: Final = 1e-9
"""A rating may differ by less from a mean that equals it, as sums in another order differ."""


class SlopeOneConfig(BaseModel, frozen=True, extra="forbid"):
    """Hyperparameters."""

    form: Literal["plain", "weighted", "bi-polar"] = "weighted"
    """Which pairs of items count, and how much."""


class _Side(NamedTuple):
    """Ratings that are compared with each other, and those of the visitor that they tell something of."""

    ratings: Mask
    """(n,) of the table's ratings."""
    rated: Mask
    """(m,) of the visitor's."""


class SlopeOne:
    """Mean deviations between items; a recommender.StreamRecommender."""

    Config = SlopeOneConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})

    def __init__(self, config: SlopeOneConfig | None = None) -> None:
        self.config = config or SlopeOneConfig()
        self._table = RatingTable.empty()

    @property
    def items(self) -> Sequence[str]:
        """See recommender.Recommender."""
        return self._table.item_ids

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Keep the ratings. Raises DatasetError if there are none."""
        self._table = RatingTable.of(feedback)
        if options is not None and options.on_step is not None:
            options.on_step(len(feedback), len(feedback), float("nan"))
        return TrainReport(len(feedback), [])

    def learn_one(self, user_id: str, item_id: str, value: float = 1.0, time_ms: int = 0) -> None:
        """See recommender.StreamRecommender. Raises DatasetError if the value is no finite number."""
        self._table.add(user_id, item_id, value)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The ratings expected, within the range of those seen; see recommender.Recommender."""
        rated, given = self._table.rated_by(visitor)
        if not len(rated):
            return np.full(len(self.items if items is None else items), np.nan, np.float32)
        mean = given.mean()
        if self.config.form == "plain":
            sums, weights = _plain(self._table, rated)
        else:
            everything, *poles = self._sides(given)
            sums, weights = _weighted(self._table, everything, rated, given - mean)
            if poles:
                parts = [_weighted(self._table, pole, rated, given - mean) for pole in poles]
                of_poles = sum(weight for _, weight in parts)
                sums = np.where(of_poles > 0, sum(each for each, _ in parts), sums)
                weights = np.where(of_poles > 0, of_poles, weights)
        expected = mean + np.divide(sums, weights, out=np.zeros_like(sums), where=weights > 0)
        return chosen(np.clip(expected, *self._table.bounds), self._table.item_index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """The visitor's mean, and by how much each of its items lifts or lowers the score.

        Parts add up to the score before it is brought into the range of ratings; the weightiest items only.
        """
        target = self._table.item_index.get(item_id, -1)
        rated, given = self._table.rated_by(visitor)
        if target < 0 or not len(rated):
            return []
        mean = given.mean()
        everything, *poles = self._sides(given)
        for sides in (poles, [everything]):
            sums, weights = np.zeros((2, len(rated)))
            for side in sides:
                of_pairs, counts = _pairs(self._table, side.ratings, target)
                mine = side.rated & (rated != target)
                sums[mine], weights[mine] = of_pairs[rated[mine]], counts[rated[mine]]
            if weights.any():
                break
        there = np.flatnonzero(weights)
        if self.config.form == "plain":
            parts = sums[there] / weights[there] / len(there)
        else:
            parts = (sums[there] + weights[there] * (given[there] - mean)) / weights.sum()
        order = np.argsort(-np.abs(parts), kind="stable")[:_MOST_REASONS]
        lifts = [Reason("item", self.items[rated[there[n]]], float(parts[n])) for n in order.tolist()]
        return sorted([Reason("rating", "", float(mean)), *lifts], key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        save_state(directory, "SlopeOne", self.config, self._table.ids(), self._table.arrays())

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, arrays = load_state(directory, "SlopeOne", cls.Config)
        model = cls(config)
        model._table = RatingTable.saved(ids, arrays)
        return model

    def _sides(self, given: Numbers) -> Iterator[_Side]:
        """All ratings; and if the form asks for it, what is liked and what is disliked."""
        yield _Side(np.ones(len(self._table), bool), np.ones(len(given), bool))
        if self.config.form == "bi-polar":
            users, values = self._table.users, self._table.values
            above, own = values - self._table.means_of_users()[users], given - given.mean()
            yield _Side(above > _ALIKE, own > _ALIKE)
            yield _Side(above < -_ALIKE, own < -_ALIKE)


def _weighted(
    table: RatingTable, side: _Side, rated: NDArray[np.int64], above: Numbers
) -> tuple[Numbers, Numbers]:
    """For each item, over a visitor's other items, the sums of c_ji (dev_ji + above_i) and c_ji, (N,)."""
    n_users, n_items = table.shape
    users, items, values = table.users, table.items, table.values
    if not side.ratings.all():
        users, items, values = users[side.ratings], items[side.ratings], values[side.ratings]
    has, is_above = np.zeros((2, n_items))
    has[rated[side.rated]] = 1.0
    is_above[rated[side.rated]] = above[side.rated]
    had = has[items]
    common = np.bincount(users, had, minlength=n_users)
    others = np.bincount(users, had * values - is_above[items], minlength=n_users)
    shared = common[users]
    sums = np.bincount(items, values * shared - others[users], minlength=n_items)
    weights = np.bincount(items, shared, minlength=n_items)
    # An item tells nothing of itself.
    raters = np.bincount(items, minlength=n_items)
    return sums - is_above * raters, weights - has * raters


def _plain(table: RatingTable, rated: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """For each item the sum of dev_ji over a visitor's other items, and how many these are, (N,) each."""
    sums, weights = np.zeros((2, table.shape[1]))
    ratings, ones = table.matrix(), table.matrix(np.ones(len(table)))
    for start in range(0, len(rated), _CHUNK):
        columns = rated[start : start + _CHUNK]
        counts = (ones.T @ ones[:, columns]).toarray()
        deviations = (ratings.T @ ones[:, columns] - ones.T @ ratings[:, columns]).toarray()
        counts[columns, np.arange(len(columns))] = 0
        sums += np.divide(deviations, counts, out=np.zeros_like(deviations), where=counts > 0).sum(axis=1)
        weights += (counts > 0).sum(axis=1)
    return sums, weights


def _pairs(table: RatingTable, of_side: Mask, target: int) -> tuple[Numbers, Numbers]:
    """Of the target and each item the sum of the deviations, and how many rated both, (N,) each."""
    users, items, values = table.users[of_side], table.items[of_side], table.values[of_side]
    of_target = np.full(table.shape[0], np.nan)
    of_target[users[items == target]] = values[items == target]
    deviations = of_target[users] - values
    both = ~np.isnan(deviations)
    n_items = table.shape[1]
    sums = np.bincount(items[both], deviations[both], minlength=n_items)
    return sums.astype(np.float64), np.bincount(items[both], minlength=n_items).astype(np.float64)
