"""SVD++: factors of a visitor's taste from its ratings, and from which items it rated at all.

Enters: ratings. Leaves: the rating expected, μ + b_u + b_i + ⟨p_u + |N(u)|^-½ Σ_{j in N(u)} y_j, q_i⟩ where
N(u) are the items that u rated, or had. Everything minimises the squared error plus λ_b (Σ b_u² + Σ b_i²) +
Σ λ n^w |p_u|², |q_i|² and Σ λ_y n^w |y_j|², found by turns: items, y, visitors. Of items and visitors each
half is a ridge regression; y is one large regression, of which a few conjugate gradient steps are taken.

Source: Koren, "Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering Model", KDD
2008, equation 15. We differ: by turns instead of gradient descent, a rating at a time; and w = ½. By hand, as
scikit-surprise has no answer for visitors who came after training, and goes from rating to rating.
"""

from typing import ClassVar

import numpy as np
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from streamrec.models._implied import implied_factors
from streamrec.models._latent import Had, Learned, Progress
from streamrec.models._rating_factors import RatingFactors, Ratings, levels_of, ridge_shares, with_one
from streamrec.models._ridge import FloatMatrix, IntArray, dots, ridge

__all__ = ["SVDpp", "SVDppConfig"]


class SVDppConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    factors: PositiveInt = Field(default=20, le=1000)
    """Length of a vector."""
    damping: PositiveFloat = 1.5
    """λ: penalty on the vector of a row with one rating."""
    implicit_damping: PositiveFloat = 4.0
    """λ_y: the same for what it says that an item was rated at all."""
    damping_growth: float = Field(default=0.5, ge=0, le=1)
    """w: penalties grow with the ratings of a row to this power; 0 is the same for all."""
    level_damping: PositiveFloat = 5.0
    """λ_b: ratings at the mean that are added to those of each visitor and each item."""
    epochs: PositiveInt = 12
    """Turns: the items, what it says that they were rated, the visitors."""
    steps: PositiveInt = 3
    """Conjugate gradient steps of the second in each turn; each goes on from the turn before."""


class SVDpp(RatingFactors[SVDppConfig]):
    """Factors by turns; a recommender.Recommender."""

    Config = SVDppConfig
    _knows_levels: ClassVar[bool] = True
    _counts_unrated: ClassVar[bool] = True

    def _learn(
        self, ratings: Ratings, rng: np.random.Generator, progress: Progress
    ) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix, dict[str, FloatMatrix]]:
        config, users, items = self.config, ratings.users, ratings.items
        n_users, n_items = len(ratings.by_user.counts), len(ratings.by_item.counts)
        of_users, levels = levels_of(ratings, config.level_damping)
        design = with_one(rng.normal(0, 0.1, (n_items, config.factors)))
        above = ratings.values - ratings.mean
        user_damping = self._damping(ratings.by_user.counts)
        item_damping = self._damping(ratings.by_item.counts)
        implied_damping = item_damping[:, :1] * (config.implicit_damping / config.damping)
        had = csr_array((ratings.by_user.counts[users] ** -0.5, (users, items)), (n_users, n_items))
        implied, own = np.zeros((n_items, config.factors)), np.zeros((n_users, config.factors))
        for epoch in range(config.epochs):
            # The first vectors of items are drawn, and say something only once visitors have theirs.
            if epoch:
                places = with_one(own + had @ implied)
                found = ridge(ratings.by_item, above - of_users[users], places, item_damping)
                design, levels = with_one(found[:, :-1]), found[:, -1]
            factors = design[:, :-1]
            left = above - levels[items]
            unexplained = left - of_users[users] - dots(own, factors, users, items)
            implied = implied_factors(
                implied, unexplained, had, factors, (users, items), implied_damping, config.steps
            )
            unexplained = left - dots(had @ implied, factors, users, items)
            found = ridge(ratings.by_user, unexplained, design, user_damping)
            own, of_users = found[:, :-1], found[:, -1]
            progress(float(np.mean((unexplained - dots(found, design, users, items)) ** 2)))
        places = np.hstack([own + had @ implied, of_users[:, None]])
        return levels, design, places, {"implied": implied}

    def _shares(self, had: Had, learned: Learned) -> FloatMatrix:
        implied = learned.more["implied"][had.items] * len(had.items) ** -0.5
        shares = np.hstack([implied, np.zeros((len(implied), 1))])
        rated = np.isfinite(had.values)
        items, n_rated = had.items[rated], int(rated.sum())
        if n_rated:
            design = learned.design[items]
            left = had.values[rated] - learned.offset - learned.levels[items]
            left = left - design[:, :-1] @ implied.sum(0)
            shares[rated] += ridge_shares(design, left, self._damping(np.array([n_rated]))[0])
        return shares

    def _damping(self, counts: IntArray) -> FloatMatrix:
        """Of each vector's entries, (rows, factors + 1); the level stands last."""
        damping = np.empty((len(counts), self.config.factors + 1))
        damping[:] = (self.config.damping * counts**self.config.damping_growth)[:, None]
        damping[:, -1] = self.config.level_damping
        return damping
