"""Item-based collaborative filtering: what the visitor said of items that are rated alike.

Enters: ratings. Leaves: the rating expected, the item's mean and by how much the visitor rates its neighbours
above theirs, or a sum of votes. An item is explained by the visitor's own.

Source: Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms", WWW 2001; the rest see
_memory_based.py.
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from streamrec.models._co_ratings import Lines
from streamrec.models._memory_based import Asker, MemoryBasedCF, MemoryBasedConfig, Votes
from streamrec.recommender import Reason

__all__ = ["ItemBasedCF", "ItemBasedCFConfig"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class ItemBasedCFConfig(MemoryBasedConfig, frozen=True):
    """Hyperparameters."""


class ItemBasedCF(MemoryBasedCF):
    """Items compared; a recommender.StreamRecommender unless centred by baselines."""

    Config: ClassVar[type[MemoryBasedConfig]] = ItemBasedCFConfig

    @property
    def _of_users(self) -> Lines:
        return self._ratings.columns

    @property
    def _of_items(self) -> Lines:
        return self._ratings.rows

    def _ordered(self, user: Any, item: Any) -> tuple[Any, Any]:
        return item, user

    def _votes(self, asker: Asker, candidates: Ints) -> Votes:
        # A similarity is that of both to each other, so it is looked up from the side that has fewer.
        by_candidate = len(candidates) < len(asker.items)
        asked, wanted = (candidates, asker.items) if by_candidate else (asker.items, candidates)
        place_of = np.full(len(self._of_items), -1)
        place_of[wanted] = np.arange(len(wanted))
        # Where all are wanted, or all are alike, nothing is left out: a copy of so many would take time.
        among = None if len(wanted) == len(place_of) else place_of >= 0
        places, others, similarity = self._ratings.of_rows(asked, among)
        found = similarity > 0
        if not found.all():
            places, others, similarity = places[found], others[found], similarity[found]
        of_others = others if among is None else place_of[others]
        candidate, own = (places, of_others) if by_candidate else (of_others, places)
        return Votes(candidate, asker.items[own], similarity, self._above_level(asker)[own])

    def _above_level(self, asker: Asker) -> Floats:
        """What the visitor said of each of its items, measured as the configuration has it."""
        if self.config.task == "top-n" or self.config.centre == "none":
            return asker.values
        if self._baselines is not None:
            return asker.values - self._level(asker, asker.items)
        return asker.values - self._of_items.means()[asker.items]

    def _level(self, asker: Asker, candidates: Ints) -> Floats:
        if self._baselines is not None:
            return self._baselines.mean + asker.level + self._baselines.of_items[candidates]
        return (
            self._of_items.means()[candidates] if self.config.centre == "mean" else np.zeros(len(candidates))
        )

    def _reason(self, neighbour: int, weight: float) -> Reason:
        return Reason("item", self._item_ids[neighbour], weight)
