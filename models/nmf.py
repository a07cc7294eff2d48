"""Non-negative matrix factorisation of ratings: each is a sum of parts, none of which is below zero.

Enters: ratings, 0 or above. Leaves: the rating expected, ⟨p_u, q_i⟩ with p, q ≥ 0, which minimise the
squared error of the ratings there are (what was not rated counts for nothing) plus λ Σ n_u |p_u|² +
λ Σ n_i |q_i|². Each step multiplies the factors by the ratio of two sums, which keeps them at 0 or above.

Source: Luo, Zhou, Xia and Zhu, "An Efficient Non-Negative Matrix-Factorization-Based Approach to
Collaborative Filtering for Recommender Systems", IEEE TII 10(2), 2014. By hand, as scikit-learn's NMF takes
what was not rated for a 0. We differ: items follow the visitors' new factors in the same step.
"""

import numpy as np
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt
from scipy.optimize import nnls
from scipy.sparse import csr_array

from streamrec.contracts import TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import Feedback
from streamrec.models._latent import Had, Learned, Progress
from streamrec.models._rating_factors import RatingFactors, Ratings, ridge_shares
from streamrec.models._ridge import FloatMatrix, dots

__all__ = ["NMF", "NMFConfig"]


class NMFConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    factors: PositiveInt = Field(default=25, le=1000)
    """Length of a vector."""
    damping: PositiveFloat = 0.12
    """λ: penalty on vectors, for each of their ratings."""
    epochs: PositiveInt = 100
    """Steps: the visitors, then the items."""


class NMF(RatingFactors[NMFConfig]):
    """Non-negative factors; a recommender.Recommender."""

    Config = NMFConfig

    def _has_mean(self) -> bool:
        return False

    def _fit(self, feedback: Feedback, options: TrainOptions) -> tuple[Learned, TrainReport]:
        if (feedback.values < 0).any():
            raise DatasetError(
                f"a rating of {feedback.values.min():g}: parts that are not below zero cannot add up to it; "
                "shift the ratings to 0 or above, or train biased_mf"
            )
        return super()._fit(feedback, options)

    def _learn(
        self, ratings: Ratings, rng: np.random.Generator, progress: Progress
    ) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix, dict[str, FloatMatrix]]:
        users, items, values = ratings.users, ratings.items, ratings.values
        n_users, n_items = len(ratings.by_user.counts), len(ratings.by_item.counts)
        # Products of the first factors are about as high as ratings are.
        scale = np.sqrt(ratings.mean / self.config.factors)
        places = rng.uniform(0.5, 1.5, (n_users, self.config.factors)) * scale
        design = rng.uniform(0.5, 1.5, (n_items, self.config.factors)) * scale
        of_users, of_items = (
            self.config.damping * rows.counts[:, None] for rows in (ratings.by_user, ratings.by_item)
        )
        # In the order of visitors, so that products of their factors are the entries of such a matrix.
        order, starts, columns = ratings.by_user
        users, items, values = users[order], columns, values[order]

        def matrix(entries: FloatMatrix) -> csr_array:
            return csr_array((entries, columns, starts), (n_users, n_items))

        given, expected = matrix(values), dots(places, design, users, items)
        for _ in range(self.config.epochs):
            found = matrix(expected) @ design + of_users * places
            places = _scaled(places, given @ design, found)
            found = matrix(dots(places, design, users, items)).T @ places + of_items * design
            design = _scaled(design, given.T @ places, found)
            expected = dots(places, design, users, items)
            progress(float(np.mean((values - expected) ** 2)))
        return np.zeros(n_items), design, places, {}

    def _shares(self, had: Had, learned: Learned) -> FloatMatrix:
        design = learned.design[had.items]
        damping = self.config.damping * len(design)
        # The penalty as rows of its own: the square root of it is expected to be 0.
        rows = np.vstack([design, np.sqrt(damping) * np.eye(design.shape[1])])
        place, _ = nnls(rows, np.concatenate([had.values, np.zeros(design.shape[1])]))
        shares, above = np.zeros(design.shape), place > 0
        # Among the factors that are above zero it is a ridge regression.
        shares[:, above] = ridge_shares(design[:, above], had.values, np.full(int(above.sum()), damping))
        return shares


def _scaled(factors: FloatMatrix, wanted: FloatMatrix, found: FloatMatrix) -> FloatMatrix:
    """Factors times the ratio of two sums; 0 where both are."""
    # Where ratings are all 0, factors go to 0, and so do both sums.
    return factors * wanted / np.maximum(found, np.finfo(np.float64).tiny)
