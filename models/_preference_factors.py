"""What top-n models by latent factors have in common: interactions as a matrix of likes.

Enters: interactions. Leaves: a matrix of visitors and items, with a weight for each pair that is liked: the
sum over its interactions of their values against the mean. Where there are ratings, those in the lower half
of their range are no likes; what is not liked counts like what the visitor never had.
"""

from abc import abstractmethod
from typing import ClassVar, TypeVar

import numpy as np
from pydantic import BaseModel
from scipy.sparse import csr_array

from streamrec.contracts import TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import Feedback
from streamrec.models._latent import Had, LatentFactors, Learned, Progress
from streamrec.models._ridge import FloatMatrix
from streamrec.recommender import Reason, Task

__all__ = ["LikesConfig", "PreferenceFactors"]


class LikesConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Which interactions are likes."""

    liked_from: float | None = None
    """Value from which an interaction is a like; None: the middle between the lowest and the highest seen,
    as of ratings, so that all are where they have one value. Where values are weights of types (topic and
    history), trainings and evaluations set it to 0: every interaction is a like."""


C = TypeVar("C", bound=LikesConfig)


class PreferenceFactors(LatentFactors[C]):
    """A latent.LatentFactors for the task "top-n"."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"top-n"})

    @abstractmethod
    def _learn(
        self, likes: csr_array, options: TrainOptions, progress: Progress
    ) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix, dict[str, FloatMatrix]]:
        """Levels, design and places, as in Learned, and what there is beside them.

        likes: (visitors, items), the weights of likes, in the order of their indices.
        """

    def _epochs(self) -> int:
        """How often progress is told."""
        epochs: int = self.config.epochs  # type: ignore[attr-defined]
        return epochs

    def _fit(self, feedback: Feedback, options: TrainOptions) -> tuple[Learned, TrainReport]:
        values = feedback.values.astype(np.float64)
        liked_from = self.config.liked_from
        if liked_from is None:
            liked_from = float(values.min() + values.max()) / 2
        liked = values >= liked_from
        if not liked.any():
            raise DatasetError(
                f"no value is {liked_from:g} or above, the highest is {values.max():g}: lower liked_from"
            )
        # Of values at 0 or below none can weigh more than another: each like counts once.
        mean = float(values[liked].mean()) if values[liked].min() > 0 else 0.0
        pairs = (feedback.users[liked], feedback.items[liked])
        shape = len(feedback.user_ids), len(feedback.item_ids)
        weights = values[liked] / mean if mean else np.ones(int(liked.sum()))
        likes = csr_array((weights, pairs), shape)
        likes.sum_duplicates()
        progress = Progress(len(feedback), self._epochs(), options)
        levels, design, places, more = self._learn(likes, options, progress)
        if not self._knows_levels:
            places[np.diff(likes.indptr) == 0] = np.nan
        had = Had(likes.indices.astype(np.int64), likes.data)
        more["likes"] = np.array([liked_from, mean])
        everything = np.array([-np.inf, np.inf])
        starts = likes.indptr.astype(np.int64)
        return Learned(0.0, levels, design, places, everything, had, starts, more), progress.report

    def _counted(self, had: Had) -> Had:
        if not len(had.items):
            return had
        liked_from, mean = self._learned.more["likes"].tolist()
        liked = ~(had.values < liked_from)
        items, values = had.items[liked], had.values[liked]
        weights = np.where(np.isnan(values), 1.0, values / mean if mean else 1.0)
        distinct, places = np.unique(items, return_inverse=True)
        return Had(distinct, np.bincount(places, weights, minlength=len(distinct)).astype(np.float64))

    def _level_reasons(self, index: int) -> list[Reason]:
        return [Reason("popularity", "", float(self._learned.levels[index]))] if self._knows_levels else []
