"""Bayesian personalised ranking: factors for which what was liked stands before what was not.

Enters: interactions. Leaves: b_i + ⟨x_u, y_i⟩, learned by gradient steps on ln σ(s_ui - s_uj) for a visitor's
like i and an item j drawn at random that it did not like. A visitor never seen before gets a place by linear
regression: what map takes the mean of the vectors that visitors liked to the places they have learned.

Source: Rendle, Freudenthaler, Gantner and Schmidt-Thieme, "BPR: Bayesian Personalized Ranking from Implicit
Feedback", UAI 2009. The library implicit does the learning; the regression is ours, as it has none.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from streamrec.contracts import TrainOptions
from streamrec.models._implicit import LIBRARIES, trained
from streamrec.models._latent import Had, Learned, Progress
from streamrec.models._preference_factors import LikesConfig, PreferenceFactors
from streamrec.models._ridge import FloatMatrix

__all__ = ["BPR", "BPRConfig"]


class BPRConfig(LikesConfig, frozen=True):
    """Hyperparameters."""

    factors: PositiveInt = Field(default=32, le=1000)
    """Length of a vector."""
    learning_rate: PositiveFloat = 0.01
    """Length of a step."""
    damping: NonNegativeFloat = 0.04
    """Penalty on vectors and levels at each step."""
    epochs: PositiveInt = 100
    """How often as many pairs are drawn as there are likes."""


class BPR(PreferenceFactors[BPRConfig]):
    """Factors by pairwise ranking; a recommender.Recommender."""

    Config = BPRConfig
    needs: ClassVar[Sequence[str]] = LIBRARIES
    _knows_levels: ClassVar[bool] = True

    def _learn(
        self, likes: csr_array, options: TrainOptions, progress: Progress
    ) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix, dict[str, FloatMatrix]]:
        config = self.config
        model = trained(
            "bpr",
            "BayesianPersonalizedRanking",
            likes,
            options.seed,
            progress,
            factors=config.factors,
            learning_rate=config.learning_rate,
            regularization=config.damping,
            iterations=config.epochs,
        )
        # The library keeps an item's level as its last factor, where a visitor's is 1.
        design = model.item_factors[:, :-1].astype(np.float64)
        levels = model.item_factors[:, -1].astype(np.float64)
        places = model.user_factors[:, :-1].astype(np.float64)
        counts = np.diff(likes.indptr)
        places[counts == 0] = 0.0
        means = _means(likes, design)[counts > 0]
        # A little of the identity, so that there is an answer where means are alike.
        squares = means.T @ means
        squares += np.eye(len(squares)) * max(1e-3 * float(np.trace(squares)) / len(squares), 1e-12)
        fold_in = np.linalg.solve(squares, means.T @ places[counts > 0])
        return levels, design, places, {"fold_in": fold_in}

    def _shares(self, had: Had, learned: Learned) -> FloatMatrix:
        shares: FloatMatrix = learned.design[had.items] @ learned.more["fold_in"] / len(had.items)
        return shares


def _means(likes: csr_array, design: FloatMatrix) -> FloatMatrix:
    """The mean of the vectors that each visitor liked, (visitors, factors); zeros where there are none."""
    ones = csr_array((np.ones(likes.nnz), likes.indices, likes.indptr), likes.shape)
    means: FloatMatrix = (ones @ design) / np.maximum(np.diff(likes.indptr), 1)[:, None]
    return means
