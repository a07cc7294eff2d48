"""Funk SVD: one factor after the other, each fitted to what those before it leave of the ratings.

Enters: ratings. Leaves: the rating expected, μ + b_u + b_i + Σ_f p_uf q_if. The levels come first and are
fixed; then each factor minimises the squared error of what is left, plus Σ λ n_u^w p_u² + Σ λ n_i^w q_i².

Source: Simon Funk, "Netflix Update: Try This at Home", 2006. We differ: a factor's two halves are found by
turns, each in closed form, instead of by gradient descent, a rating at a time; and w = ½ where descent has 1.
By hand, as scikit-surprise has no answer for visitors who came after training.
"""

from typing import ClassVar

import numpy as np
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt

from streamrec.models._latent import Had, Learned, Progress
from streamrec.models._rating_factors import RatingFactors, Ratings, levels_of, with_one
from streamrec.models._ridge import FloatMatrix, IntArray

__all__ = ["FunkSVD", "FunkSVDConfig"]


class FunkSVDConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    factors: PositiveInt = Field(default=20, le=1000)
    """Length of a vector."""
    damping: PositiveFloat = 1.5
    """λ: penalty on a factor of a row with one rating."""
    damping_growth: float = Field(default=0.5, ge=0, le=1)
    """w: the penalty grows with the ratings of a row to this power; 0 is the same for all."""
    level_damping: PositiveFloat = 5.0
    """Ratings at the mean that are added to those of each visitor and each item."""
    turns: PositiveInt = 15
    """Of each factor: the items, then the visitors."""


class FunkSVD(RatingFactors[FunkSVDConfig]):
    """Factors one by one; a recommender.Recommender."""

    Config = FunkSVDConfig
    _knows_levels: ClassVar[bool] = True

    def _epochs(self) -> int:
        return self.config.factors

    def _learn(
        self, ratings: Ratings, rng: np.random.Generator, progress: Progress
    ) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix, dict[str, FloatMatrix]]:
        users, items = ratings.users, ratings.items
        n_users, n_items = len(ratings.by_user.counts), len(ratings.by_item.counts)
        of_users, levels = levels_of(ratings, self.config.level_damping)
        user_damping, item_damping = (
            self._damping(rows.counts) for rows in (ratings.by_user, ratings.by_item)
        )
        left = ratings.values - ratings.mean - of_users[users] - levels[items]
        places = np.empty((n_users, self.config.factors + 1))
        places[:, -1] = of_users
        design = np.empty((n_items, self.config.factors))
        for factor in range(self.config.factors):
            of_user = rng.normal(0, 0.1, n_users)
            for _ in range(self.config.turns):
                of_item = _fitted(items, left, of_user[users], item_damping)
                of_user = _fitted(users, left, of_item[items], user_damping)
            design[:, factor], places[:, factor] = of_item, of_user
            left = left - of_user[users] * of_item[items]
            progress(float(np.mean(left**2)))
        return levels, with_one(design), places, {}

    def _shares(self, had: Had, learned: Learned) -> FloatMatrix:
        design = learned.design[had.items]
        left = had.values - learned.offset - learned.levels[had.items]
        shares = np.empty(design.shape)
        shares[:, -1] = left / (len(left) + self.config.level_damping)
        left = left - shares[:, -1].sum()
        damping = self._damping(np.array([len(left)]))[0]
        for factor in range(self.config.factors):
            column = design[:, factor]
            shares[:, factor] = left * column / (column @ column + damping)
            left = left - shares[:, factor].sum() * column
        return shares

    def _damping(self, counts: IntArray) -> FloatMatrix:
        damping: FloatMatrix = self.config.damping * counts.astype(np.float64) ** self.config.damping_growth
        return damping


def _fitted(rows: IntArray, left: FloatMatrix, other: FloatMatrix, damping: FloatMatrix) -> FloatMatrix:
    """A factor of each row, (rows,), with that of the other side given for each rating, (n,)."""
    sums = np.bincount(rows, left * other, minlength=len(damping))
    found: FloatMatrix = sums / (np.bincount(rows, other * other, minlength=len(damping)) + damping)
    return found
