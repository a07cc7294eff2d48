"""Item-based collaborative filtering: what the visitor said of items that are rated alike.

Enters: ratings. Leaves: the rating expected, the item's mean and by how much the visitor rates its neighbours
above theirs, or a sum of votes: each item of the visitor speaks for those most similar to it. An item is
explained by the visitor's own.

Sources: Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms", WWW 2001 (ratings);
Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms", ACM TOIS 22(1), 2004 (lists).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from streamrec.models._co_ratings import Lines
from streamrec.models._memory_based import Asker, MemoryBasedCF, MemoryBasedConfig, Votes, nearest
from streamrec.recommender import Reason

__all__ = ["ItemBasedCF", "ItemBasedCFConfig"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class ItemBasedCFConfig(MemoryBasedConfig, frozen=True):
    """Hyperparameters."""

    k: PositiveInt = 40
    """For ratings, neighbours that vote for an item at most: the most similar of those the visitor rated. For
    lists, items that each of the visitor's votes for: those most similar to it."""


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

    def learn_one(self, user_id: str, item_id: str, value: float = 1.0, time_ms: int = 0) -> None:
        """Take in one more rating; see MemoryBasedCF.learn_one. What is most similar is looked up anew."""
        super().learn_one(user_id, item_id, value, time_ms)
        self._most_similar.clear()

    def _forget(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> None:
        super()._forget(user_ids, item_ids)
        # Kept as long as no rating comes: similarities made anew for each list take 50 times as long.
        self._most_similar: dict[int, tuple[Ints, Floats]] = {}

    def _voting(self, asker: Asker, candidates: Ints) -> Votes:
        if self.config.task == "rating":
            return super()._voting(asker, candidates)
        similar = [self._most_similar_to(item) for item in asker.items.tolist()]
        place_of = np.full(len(self._of_items), -1)
        place_of[candidates] = np.arange(len(candidates))
        places = place_of[np.concatenate([others for others, _ in similar])]
        own = np.repeat(np.arange(len(similar)), [len(others) for others, _ in similar])
        similarity = np.concatenate([found for _, found in similar])
        return Votes(places, asker.items[own], similarity, asker.values[own]).only(places >= 0)

    def _most_similar_to(self, item: int) -> tuple[Ints, Floats]:
        """(m,) the k items most similar to one, ascending, and (m,) how similar; of equals the first."""
        if item not in self._most_similar:
            _, others, found = self._ratings.of_rows(np.array([item]))
            alike = Votes(np.zeros(len(others), np.int64), others, found, found).only(found > 0)
            most = nearest(alike, self.config.k)
            self._most_similar[item] = most.neighbours, most.similarity
        return self._most_similar[item]

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
        if self.config.centre == "none":
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
