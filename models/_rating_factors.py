"""What rating models by latent factors have in common: ratings by visitor and by item, and levels.

Enters: ratings. Leaves: μ + b_u + b_i + ⟨p_u, q_i⟩, cut to the range of the ratings seen.
"""

from abc import abstractmethod
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel

from streamrec.contracts import TrainOptions, TrainReport
from streamrec.feedback import Feedback
from streamrec.models._latent import Had, LatentFactors, Learned, Progress
from streamrec.models._levels import deviations
from streamrec.models._ridge import FloatMatrix, IntArray, Rows, rows_of
from streamrec.recommender import Reason, Task

__all__ = ["RatingFactors", "Ratings", "grown", "levels_of", "ridge_shares", "with_one"]

C = TypeVar("C", bound=BaseModel)


class Ratings(NamedTuple):
    """Ratings as alternating least squares goes through them."""

    users: IntArray
    """(n,)."""
    items: IntArray
    """(n,)."""
    values: FloatMatrix
    """(n,)."""
    mean: float
    by_user: Rows
    by_item: Rows


class RatingFactors(LatentFactors[C]):
    """A latent.LatentFactors for the task "rating"."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})
    _counts_unrated: ClassVar[bool] = False
    """Whether an item that a visitor had without rating it says something."""

    @abstractmethod
    def _learn(
        self, ratings: Ratings, rng: np.random.Generator, progress: Progress
    ) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix, dict[str, FloatMatrix]]:
        """Levels, design and places, as in Learned, and what there is beside them."""

    def _epochs(self) -> int:
        """How often progress is told."""
        epochs: int = self.config.epochs  # type: ignore[attr-defined]
        return epochs

    def _fit(self, feedback: Feedback, options: TrainOptions) -> tuple[Learned, TrainReport]:
        feedback = feedback.without_repeats()
        values = feedback.values.astype(np.float64)
        by_user = rows_of(feedback.users, feedback.items, len(feedback.user_ids))
        by_item = rows_of(feedback.items, feedback.users, len(feedback.item_ids))
        ratings = Ratings(feedback.users, feedback.items, values, float(values.mean()), by_user, by_item)
        progress = Progress(len(feedback), self._epochs(), options)
        levels, design, places, more = self._learn(ratings, np.random.default_rng(options.seed), progress)
        bounds = np.array([values.min(), values.max()])
        had = Had(by_user.columns, values[by_user.order])
        offset = ratings.mean if self._has_mean() else 0.0
        learned = Learned(offset, levels, design, places, bounds, had, by_user.starts, more)
        return learned, progress.report

    def _has_mean(self) -> bool:
        """Whether a score starts from the mean of all ratings."""
        return True

    def _counted(self, had: Had) -> Had:
        # Of an item that is there twice the last rating stays.
        last = dict(zip(had.items.tolist(), had.values.tolist(), strict=True))
        once = Had(np.array(list(last), np.int64), np.array(list(last.values()), np.float64))
        if self._counts_unrated:
            return once
        rated = np.isfinite(once.values)
        return Had(once.items[rated], once.values[rated])

    def _level_reasons(self, index: int) -> list[Reason]:
        reasons = [Reason("rating", "", self._learned.offset)] if self._has_mean() else []
        if self._knows_levels:
            reasons.append(Reason("item", self.items[index], float(self._learned.levels[index])))
        return reasons


def levels_of(ratings: Ratings, damping: float, turns: int = 10) -> tuple[FloatMatrix, FloatMatrix]:
    """Deviations of visitors and items from the mean, by turns, each shrunk by `damping` ratings of none."""
    above = ratings.values - ratings.mean
    *_, found = deviations(ratings.users, ratings.items, above, damping, damping, turns)
    return found


def grown(counts: IntArray, factors: int, damping: float, growth: float, of_level: float) -> FloatMatrix:
    """Of each vector's entries, (rows, factors + 1): growing with a row's ratings; the level's is last."""
    found = np.empty((len(counts), factors + 1))
    found[:] = (damping * counts**growth)[:, None]
    found[:, -1] = of_level
    return found


def with_one(factors: FloatMatrix) -> FloatMatrix:
    """Vectors with a 1 behind, (n, factors + 1): what stands there in the other vector is a level."""
    return np.hstack([factors, np.ones((len(factors), 1))])


def ridge_shares(design: FloatMatrix, targets: FloatMatrix, damping: FloatMatrix) -> FloatMatrix:
    """What each pair adds to the solution of a ridge regression, (n, factors).

    design: (n, factors). targets: (n,). damping: (factors,). The solution is (DᵀD + damping)⁻¹ Dᵀ targets.
    """
    squares = design.T @ design + np.diag(damping)
    return np.linalg.solve(squares, (design * targets[:, None]).T).T.astype(np.float64)
