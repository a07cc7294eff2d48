"""Probabilistic matrix factorisation: factors with normal priors, at their most probable.

Enters: ratings. Leaves: the rating expected, μ + ⟨p_u, q_i⟩. With ratings of variance σ² about it and priors
p_u ~ N(0, σ_p²), q_i ~ N(0, σ_q²), the most probable factors minimise the squared error plus λ_p Σ |p_u|² +
λ_q Σ |q_i|² where λ_p = σ² / σ_p², λ_q = σ² / σ_q².

Source: Salakhutdinov and Mnih, "Probabilistic Matrix Factorization", NIPS 2007, sections 2 and 3. We differ:
found by turns, each half a ridge regression, instead of by gradient descent, and no logistic function. By
hand, as scikit-surprise has no answer for visitors who came after training.
"""

import numpy as np
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt

from streamrec.models._latent import Had, Learned, Progress
from streamrec.models._rating_factors import RatingFactors, Ratings, ridge_shares
from streamrec.models._ridge import FloatMatrix, dots, ridge

__all__ = ["PMF", "PMFConfig"]


class PMFConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    factors: PositiveInt = Field(default=10, le=1000)
    """Length of a vector."""
    user_damping: PositiveFloat = 10.0
    """λ_p: variance of ratings against that of the visitors' factors."""
    item_damping: PositiveFloat = 10.0
    """λ_q: the same for items."""
    epochs: PositiveInt = 8
    """Turns: the items, then the visitors."""


class PMF(RatingFactors[PMFConfig]):
    """Factors by alternating least squares; a recommender.Recommender."""

    Config = PMFConfig

    def _learn(
        self, ratings: Ratings, rng: np.random.Generator, progress: Progress
    ) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix, dict[str, FloatMatrix]]:
        config = self.config
        n_users, n_items = len(ratings.by_user.counts), len(ratings.by_item.counts)
        user_damping = np.full((n_users, config.factors), config.user_damping)
        item_damping = np.full((n_items, config.factors), config.item_damping)
        above = ratings.values - ratings.mean
        places = rng.normal(0, 0.1, (n_users, config.factors))
        design = np.empty((n_items, config.factors))
        for _ in range(config.epochs):
            design = ridge(ratings.by_item, above, places, item_damping)
            places = ridge(ratings.by_user, above, design, user_damping)
            progress(float(np.mean((above - dots(places, design, ratings.users, ratings.items)) ** 2)))
        return np.zeros(n_items), design, places, {}

    def _shares(self, had: Had, learned: Learned) -> FloatMatrix:
        damping = np.full(self.config.factors, self.config.user_damping)
        return ridge_shares(learned.design[had.items], had.values - learned.offset, damping)
