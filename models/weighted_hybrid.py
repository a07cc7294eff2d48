"""Weighted hybrid: the mean of what several recommenders say, each by its weight.

Enters: feedback and knowledge, for all parts. Leaves: for the task "rating" the weighted mean of the ratings
that the parts expect; for "top-n" that of their scores, brought to one scale for each visitor. A part that
cannot score an item is left out of that item's mean, its weight too.

Source: Burke, "Hybrid Recommender Systems: Survey and Experiments", User Modeling and User-Adapted
Interaction 12, 2002, section 3.1; Claypool et al., "Combining Content-Based and Collaborative Filters in an
Online Newspaper", SIGIR workshop on recommender systems, 1999.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from streamrec.contracts import IntArray
from streamrec.models._hybrid import Hybrid, Parts
from streamrec.models._nodes import want_ratings
from streamrec.models._scales import Floats, ranks, z_scores
from streamrec.recommender import Task

__all__ = ["WeightedHybrid", "WeightedHybridConfig"]


class WeightedHybridConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    task: Task = "rating"
    """What scores are: ratings expected, or numbers to be ranked by."""
    parts: Parts = Field(
        default=({"node": {"model": "biased_mf"}}, {"node": {"model": "item_based_cf"}}),
        validate_default=True,
    )
    """The recommenders, with their weights."""
    scale: Literal["z-score", "rank"] = "z-score"
    """To what scores are brought for lists. z-score: by how many standard deviations they are above the mean;
    rank: what share of the items stand below, which leaves out by how much."""

    @model_validator(mode="after")
    def _ratings_of_ratings(self) -> Self:
        if self.task == "rating":
            want_ratings(*(part.node for part in self.parts), or_lists=True)
        return self


class WeightedHybrid(Hybrid):
    """A weighted mean of parts; a recommender.Recommender."""

    Config = WeightedHybridConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating", "top-n"})

    def _nodes(self) -> Sequence[Mapping[str, Any]]:
        return [part.node for part in self.config.parts]

    def _together(self, table: Floats, had: IntArray) -> Floats:
        scores, weights = self._scaled(table, had), self._weights(table)
        total: Floats = np.where(weights > 0, scores, 0.0) * weights
        return np.where(weights.any(axis=0), total.sum(axis=0), np.nan)

    def _shares(self, table: Floats, had: IntArray, place: int) -> Floats:
        weights = self._weights(table)[:, place]
        if self.config.task == "rating":
            return weights
        return np.where(weights > 0, self._scaled(table, had)[:, place], 0.0) * weights

    def _weights(self, table: Floats) -> Floats:
        """Of each part for each item, (parts, n), which add up to 1 where any part can score it."""
        weights = np.array([[part.weight] for part in self.config.parts]) * np.isfinite(table)
        total = weights.sum(axis=0)
        return weights / np.where(total > 0, total, 1.0)

    def _scaled(self, table: Floats, had: IntArray) -> Floats:
        if self.config.task == "rating" or not table.size:
            return table
        new = self._new(had)
        if self.config.scale == "z-score":
            return np.array([z_scores(row, new) for row in table])
        return np.array([1 - ranks(row, new) / max(np.isfinite(row[new]).sum(), 1) for row in table])
