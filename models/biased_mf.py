"""Biased matrix factorisation: levels of visitors and items, and factors of their taste.

Enters: ratings. Leaves: the rating expected, μ + b_u + b_i + ⟨p_u, q_i⟩. All four are those that minimise the
squared error plus λ_b (Σ b_u² + Σ b_i²) + Σ λ n_u^w |p_u|² + Σ λ n_i^w |q_i|², found by turns: with the one
side given, the other is a ridge regression for each visitor or item.

Source: Koren, Bell and Volinsky, "Matrix Factorization Techniques for Recommender Systems", IEEE Computer
42(8), 2009; a penalty that grows with the n ratings of a row is that of Zhou, Wilkinson, Schreiber and Pan,
"Large-scale Parallel Collaborative Filtering for the Netflix Prize", AAIM 2008, w = 1. We differ: w = ½. By
hand: scikit-surprise has no answer for visitors who came after training, LensKit none without PyTorch.
"""

from typing import ClassVar

import numpy as np
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt

from streamrec.models._latent import Had, Learned, Progress
from streamrec.models._rating_factors import RatingFactors, Ratings, grown, levels_of, ridge_shares, with_one
from streamrec.models._ridge import FloatMatrix, IntArray, dots, ridge

__all__ = ["BiasedMF", "BiasedMFConfig"]


class BiasedMFConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    factors: PositiveInt = Field(default=20, le=1000)
    """Length of a vector."""
    damping: PositiveFloat = 1.5
    """λ: penalty on the vector of a row with one rating."""
    damping_growth: float = Field(default=0.5, ge=0, le=1)
    """w: the penalty grows with the ratings of a row to this power; 0 is the same for all."""
    level_damping: PositiveFloat = 5.0
    """λ_b: ratings at the mean that are added to those of each visitor and each item."""
    epochs: PositiveInt = 8
    """Turns: the items, then the visitors."""


class BiasedMF(RatingFactors[BiasedMFConfig]):
    """Levels and factors by alternating least squares; a recommender.Recommender."""

    Config = BiasedMFConfig
    _knows_levels: ClassVar[bool] = True

    def _learn(
        self, ratings: Ratings, rng: np.random.Generator, progress: Progress
    ) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix, dict[str, FloatMatrix]]:
        n_users, n_items = len(ratings.by_user.counts), len(ratings.by_item.counts)
        _, levels = levels_of(ratings, self.config.level_damping)
        design = with_one(rng.normal(0, 0.1, (n_items, self.config.factors)))
        above = ratings.values - ratings.mean
        user_damping = self._damping(ratings.by_user.counts)
        item_damping = self._damping(ratings.by_item.counts)
        places = np.zeros((n_users, self.config.factors + 1))
        for epoch in range(self.config.epochs):
            # The first vectors of items are drawn, and say something only once visitors have theirs.
            if epoch:
                found = ridge(
                    ratings.by_item,
                    above - places[ratings.users, -1],
                    with_one(places[:, :-1]),
                    item_damping,
                )
                design, levels = with_one(found[:, :-1]), found[:, -1]
            left = above - levels[ratings.items]
            places = ridge(ratings.by_user, left, design, user_damping)
            progress(float(np.mean((left - dots(places, design, ratings.users, ratings.items)) ** 2)))
        return levels, design, places, {}

    def _shares(self, had: Had, learned: Learned) -> FloatMatrix:
        above = had.values - learned.offset - learned.levels[had.items]
        return ridge_shares(learned.design[had.items], above, self._damping(np.array([len(had.items)]))[0])

    def _damping(self, counts: IntArray) -> FloatMatrix:
        config = self.config
        return grown(counts, config.factors, config.damping, config.damping_growth, config.level_damping)
