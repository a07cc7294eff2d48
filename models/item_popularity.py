"""Item popularity: what has been had most, overall or of late, for every visitor alike.

Enters: interactions, with times where what is old shall count less. Leaves: how often each item occurred;
with a half-life, log₂ of its decayed count as of the last interaction of all, in which one loses half its
weight in every half-life. It is what is left to say to a visitor of whom nothing is known, and the least
that a model has to beat. The session models `popularity` and `decayed_popularity` count in the same way.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import BaseModel, PositiveFloat

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._popularity import DecayedCounts
from streamrec.models._rating_table import chosen
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Reason, Task, Visitor

__all__ = ["ItemPopularity", "ItemPopularityConfig"]


class ItemPopularityConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    half_life_s: PositiveFloat | None = None
    """Time in which an interaction loses half its weight, seconds; none: all count alike."""


class ItemPopularity:
    """Counts of interactions; a recommender.StreamRecommender."""

    Config = ItemPopularityConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"top-n"})

    def __init__(self, config: ItemPopularityConfig | None = None) -> None:
        self.config = config or ItemPopularityConfig()
        self._index: dict[str, int] = {}
        none = np.empty(0)
        self._counts = DecayedCounts(self.config.half_life_s, none, none)

    @property
    def items(self) -> Sequence[str]:
        """See recommender.Recommender."""
        return list(self._index)

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Count the interactions with each item. Raises DatasetError if there are none."""
        if not len(feedback):
            raise DatasetError("there are no interactions to count")
        self._index = {item_id: index for index, item_id in enumerate(feedback.item_ids)}
        self._counts = DecayedCounts.of(
            self.config.half_life_s, feedback.items, feedback.time_ms, len(self._index)
        )
        if options is not None and options.on_step is not None:
            options.on_step(len(feedback), len(feedback), float("nan"))
        return TrainReport(len(feedback), [])

    def learn_one(self, user_id: str, item_id: str, value: float = 1.0, time_ms: int = 0) -> None:
        """See recommender.StreamRecommender."""
        self._counts.add(self._index.setdefault(item_id, len(self._index)), time_ms)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """How often each item occurred, or log₂ of its decayed count; see recommender.Recommender."""
        counts = self._counts
        if self.config.half_life_s is None:
            return chosen(counts.at(0.0), self._index, items)
        return chosen(counts.log2_at(counts.newest_ms()), self._index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """Its popularity."""
        if item_id not in self._index:
            return []
        return [Reason("popularity", "", float(self.score(visitor, [item_id])[0]))]

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        save_state(
            directory, "ItemPopularity", self.config, {"items": self.items}, self._counts.arrays("items")
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, arrays = load_state(directory, "ItemPopularity", cls.Config)
        model = cls(config)
        model._index = {item_id: index for index, item_id in enumerate(ids["items"])}
        model._counts = DecayedCounts.saved(config.half_life_s, "items", arrays)
        return model
