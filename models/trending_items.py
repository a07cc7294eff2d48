"""Trending items: what is had more often now than it usually is, for every visitor alike.

Enters: interactions with times. Leaves: by how many standard deviations each item's count of late, decayed
by a short half-life, exceeds what its count decayed by a long one makes one expect. Were interactions to
come at their long-run pace, independently, a count would be a Poisson variable, whose variance is its mean.
Where times are not known nothing trends, and scores are all 0.

Source: the burst as a deviation from the expected count, as in Kleinberg, "Bursty and Hierarchical
Structure in Streams", KDD 2002; decayed counts instead of its automaton, so that a stream is learned in
constant time.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveFloat, model_validator

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._popularity import DecayedCounts
from streamrec.models._rating_table import chosen
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Reason, Task, Visitor

__all__ = ["TrendingItems", "TrendingItemsConfig"]


class TrendingItemsConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    half_life_s: PositiveFloat = 86_400.0
    """What "of late" means: time in which an interaction loses half its weight, seconds."""
    usual_half_life_s: PositiveFloat = 30 * 86_400.0
    """The same of the count that tells the usual pace."""
    damping: PositiveFloat = 1.0
    """Interactions of late that are added to those expected, so that one with a new item is no trend yet."""

    @model_validator(mode="after")
    def _usual_is_longer(self) -> Self:
        if self.usual_half_life_s <= self.half_life_s:
            raise ValueError(
                f"usual_half_life_s of {self.usual_half_life_s:g} is not longer than "
                f"half_life_s of {self.half_life_s:g}"
            )
        return self


class TrendingItems:
    """Counts of late beside the usual; a recommender.StreamRecommender."""

    Config = TrendingItemsConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"top-n"})

    def __init__(self, config: TrendingItemsConfig | None = None) -> None:
        self.config = config or TrendingItemsConfig()
        self._index: dict[str, int] = {}
        none = np.empty(0)
        self._late = DecayedCounts(self.config.half_life_s, none, none)
        self._usual = DecayedCounts(self.config.usual_half_life_s, none, none)
        self._first_ms = np.inf

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
        columns = (feedback.items, feedback.time_ms, len(self._index))
        self._late = DecayedCounts.of(self.config.half_life_s, *columns)
        self._usual = DecayedCounts.of(self.config.usual_half_life_s, *columns)
        self._first_ms = float(feedback.time_ms.min())
        if options is not None and options.on_step is not None:
            options.on_step(len(feedback), len(feedback), float("nan"))
        return TrainReport(len(feedback), [])

    def learn_one(self, user_id: str, item_id: str, value: float = 1.0, time_ms: int = 0) -> None:
        """See recommender.StreamRecommender."""
        place = self._index.setdefault(item_id, len(self._index))
        self._late.add(place, time_ms)
        self._usual.add(place, time_ms)
        self._first_ms = min(self._first_ms, time_ms)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """By how many standard deviations items are had more than usual, as of the last interaction."""
        late, expected = self._counts()
        return chosen((late - expected) / np.sqrt(expected + self.config.damping), self._index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """Its trend."""
        if item_id not in self._index:
            return []
        return [Reason("popularity", "", float(self.score(visitor, [item_id])[0]))]

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        arrays = {
            **self._late.arrays("late"),
            **self._usual.arrays("usual"),
            "first_ms": np.array(self._first_ms),
        }
        save_state(directory, "TrendingItems", self.config, {"items": self.items}, arrays)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, arrays = load_state(directory, "TrendingItems", cls.Config)
        model = cls(config)
        model._index = {item_id: index for index, item_id in enumerate(ids["items"])}
        model._late = DecayedCounts.saved(config.half_life_s, "late", arrays)
        model._usual = DecayedCounts.saved(config.usual_half_life_s, "usual", arrays)
        model._first_ms = float(arrays["first_ms"])
        return model

    def _counts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Counts of late, and those expected by the usual pace, (N,) each.

        At a constant pace a decayed count since a beginning grows to (1 - 2^(-age / half-life)) * half-life.
        """
        now_ms = self._late.newest_ms()
        age_s = (now_ms - self._first_ms) / 1000.0 if self._index else 0.0
        if age_s <= 0:
            late = self._late.at(now_ms)
            return late, late
        short, long = self.config.half_life_s, self.config.usual_half_life_s
        share = short * np.expm1(-age_s / short * np.log(2)) / (long * np.expm1(-age_s / long * np.log(2)))
        return self._late.at(now_ms), self._usual.at(now_ms) * share
