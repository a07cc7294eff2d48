"""Weighted alternating least squares: preferences from implicit feedback, each with its confidence.

Enters: interactions. Leaves: how far a visitor is expected to prefer an item, ⟨x_u, y_i⟩, which minimises
Σ c_ui (p_ui - ⟨x_u, y_i⟩)² + λ (Σ |x_u|² + Σ |y_i|²) over all visitors and items: p is 1 for what was liked
and else 0, c = 1 + α r with the weight r of the like, 1 on average. A score is the sum of the shares of what
the visitor liked, exactly.

Source: Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008. The
library implicit does the learning; the visitors' last half is ours, in double precision, as a share is. We
differ: λ grows with the root of a visitor's likes on average, as one number does not fit few and many.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from streamrec.contracts import TrainOptions
from streamrec.models._implicit import LIBRARIES, trained
from streamrec.models._latent import Had, Learned, Progress
from streamrec.models._preference_factors import LikesConfig, PreferenceFactors
from streamrec.models._ridge import FloatMatrix, Rows, ridge

__all__ = ["WALS", "WALSConfig"]


class WALSConfig(LikesConfig, frozen=True):
    """Hyperparameters."""

    factors: PositiveInt = Field(default=64, le=1000)
    """Length of a vector."""
    confidence: PositiveFloat = 2.0
    """α: how much more a like counts than what a visitor never had."""
    damping: PositiveFloat = 2.0
    """Penalty on vectors where visitors have one like each; λ is this times the root of their mean number."""
    epochs: PositiveInt = 15
    """Turns: the visitors, then the items."""


class WALS(PreferenceFactors[WALSConfig]):
    """Factors by weighted alternating least squares; a recommender.Recommender."""

    Config = WALSConfig
    needs: ClassVar[Sequence[str]] = LIBRARIES

    def _learn(
        self, likes: csr_array, options: TrainOptions, progress: Progress
    ) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix, dict[str, FloatMatrix]]:
        config = self.config
        confidences = likes.copy()
        confidences.data = 1 + config.confidence * likes.data
        penalty = config.damping * float(likes.nnz / likes.shape[0]) ** 0.5
        model = trained(
            "als",
            "AlternatingLeastSquares",
            confidences,
            options.seed,
            progress,
            factors=config.factors,
            regularization=penalty,
            iterations=config.epochs,
        )
        design = model.item_factors.astype(np.float64)
        rows = Rows(np.arange(likes.nnz), likes.indptr.astype(np.int64), likes.indices.astype(np.int64))
        damping = np.full((likes.shape[0], config.factors), penalty)
        squares = design.T @ design
        more = {"squares": squares, "penalty": np.array(penalty)}
        places = ridge(rows, confidences.data, design, damping, config.confidence * likes.data, squares)
        return np.zeros(len(design)), design, places, more

    def _shares(self, had: Had, learned: Learned) -> FloatMatrix:
        design, more = learned.design[had.items], self.config.confidence * had.values
        squares = learned.more["squares"] + (design * more[:, None]).T @ design
        squares = squares + learned.more["penalty"] * np.eye(len(squares))
        return np.linalg.solve(squares, (design * (1 + more)[:, None]).T).T.astype(np.float64)
