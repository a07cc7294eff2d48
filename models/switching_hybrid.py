"""Switching hybrid: one recommender for visitors of whom little is known, another for those known better.

Enters: feedback and knowledge, for both. Leaves: the scores of `few` for a visitor with fewer interactions
than the configuration says, else those of `many`. What the chosen one cannot score the other does: for
ratings as it is, for lists behind all that the chosen one can. More steps are a switching hybrid as `many`.

Source: Burke, "Hybrid Recommender Systems: Survey and Experiments", User Modeling and User-Adapted
Interaction 12, 2002, section 3.2; Billsus and Pazzani, "User Modeling for Adaptive News Access", UMUAI 10,
2000, which turns to another where the first cannot tell.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, PositiveInt, model_validator

from streamrec.contracts import IntArray
from streamrec.models._hybrid import Hybrid
from streamrec.models._nodes import Node, want_ratings
from streamrec.models._scales import Floats, by_place, places
from streamrec.recommender import Task

__all__ = ["SwitchingHybrid", "SwitchingHybridConfig"]


class SwitchingHybridConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    task: Task = "rating"
    """What scores are: ratings expected, or numbers to be ranked by."""
    few: Node = {"model": "feature_combination"}
    """The recommender for visitors with few interactions."""
    many: Node = {"model": "biased_mf"}
    """The recommender for the others."""
    interactions: PositiveInt = 10
    """From how many on a visitor has many; one with an item that it had before is none more."""

    @model_validator(mode="after")
    def _ratings_of_ratings(self) -> Self:
        if self.task == "rating":
            want_ratings(self.few, self.many, or_lists=True)
        return self


class SwitchingHybrid(Hybrid):
    """Two recommenders, one of which answers; a recommender.Recommender."""

    Config = SwitchingHybridConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating", "top-n"})

    def _nodes(self) -> Sequence[Mapping[str, Any]]:
        return [self.config.few, self.config.many]

    def _together(self, table: Floats, had: IntArray) -> Floats:
        chosen, other = table[self._order(had)]
        is_others = np.isnan(chosen)
        found: Floats = np.where(is_others, other, chosen)
        if self.config.task == "rating":
            return found
        place = places(is_others.astype(float), -found)
        return np.where(np.isnan(found), np.nan, by_place(place))

    def _shares(self, table: Floats, had: IntArray, place: int) -> Floats:
        chosen, other = self._order(had)
        found = np.zeros(2)
        found[other if np.isnan(table[chosen, place]) else chosen] = 1.0
        return found

    def _order(self, had: IntArray) -> list[int]:
        """The one that is asked, then the other."""
        return [0, 1] if len(had) < self.config.interactions else [1, 0]
