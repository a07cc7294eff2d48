"""Truncated singular value decomposition of the matrix of interactions; known as PureSVD.

Enters: interactions. Leaves: ⟨r_u V, v_i⟩, where r_u are the visitor's values, 0 for what it never had, and V
are the right singular vectors of the largest singular values of all visitors' rows. A place is a sum over
what the visitor had, so visitors never seen before are scored as those that were.

Source: Cremonesi, Koren and Turrin, "Performance of Recommender Algorithms on Top-N Recommendation Tasks",
RecSys 2010, section 3.3.2. scipy finds the vectors.
"""

from typing import Final

import numpy as np
from pydantic import Field, PositiveInt
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from streamrec.contracts import TrainOptions
from streamrec.models._latent import Had, Learned, Progress
from streamrec.models._preference_factors import LikesConfig, PreferenceFactors
from streamrec.models._ridge import FloatMatrix

__all__ = ["TruncatedSVD", "TruncatedSVDConfig"]

_LEAST: Final = 1e-10
"""Of the largest squared singular value: what is smaller is the rounding of products, not a vector."""


class TruncatedSVDConfig(LikesConfig, frozen=True):
    """Hyperparameters."""

    factors: PositiveInt = Field(default=40, le=1000)
    """Singular vectors; far fewer than items, else nothing is told of what a visitor never had."""


class TruncatedSVD(PreferenceFactors[TruncatedSVDConfig]):
    """Singular vectors of items; a recommender.Recommender."""

    Config = TruncatedSVDConfig

    def _epochs(self) -> int:
        return 1

    def _learn(
        self, likes: csr_array, options: TrainOptions, progress: Progress
    ) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix, dict[str, FloatMatrix]]:
        if self.config.factors < min(likes.shape):
            # The seed is for the vector that the iteration starts from.
            _, _, rows = svds(likes, self.config.factors, rng=np.random.default_rng(options.seed))
            design = rows.T.copy()
        else:
            design = _all_vectors(likes)
        progress(None)
        return np.zeros(len(design)), design, likes @ design, {}

    def _shares(self, had: Had, learned: Learned) -> FloatMatrix:
        shares: FloatMatrix = had.values[:, None] * learned.design[had.items]
        return shares


def _all_vectors(likes: csr_array) -> FloatMatrix:
    """All right singular vectors, (items, rank or more), by the smaller of the matrices of products."""
    if likes.shape[1] <= likes.shape[0]:
        vectors: FloatMatrix = np.linalg.eigh((likes.T @ likes).toarray())[1]
        return vectors
    squares, left = np.linalg.eigh((likes @ likes.T).toarray())
    there = squares > _LEAST * squares[-1]
    found: FloatMatrix = likes.T @ (left[:, there] / np.sqrt(squares[there]))
    return found
