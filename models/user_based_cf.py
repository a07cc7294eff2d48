"""User-based collaborative filtering: what visitors who rate alike say of an item.

Enters: ratings. Leaves: the rating expected, the visitor's mean and by how much its neighbours rate the item
above theirs, or a sum of their votes.

Source: Resnick et al., "GroupLens: An Open Architecture for Collaborative Filtering of Netnews", CSCW 1994.
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from streamrec.models._co_ratings import Lines
from streamrec.models._memory_based import Asker, MemoryBasedCF, MemoryBasedConfig, Votes
from streamrec.recommender import Reason

__all__ = ["UserBasedCF", "UserBasedCFConfig"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class UserBasedCFConfig(MemoryBasedConfig, frozen=True):
    """Hyperparameters."""


class UserBasedCF(MemoryBasedCF):
    """Visitors compared; a recommender.StreamRecommender unless centred by baselines."""

    Config: ClassVar[type[MemoryBasedConfig]] = UserBasedCFConfig

    @property
    def _of_users(self) -> Lines:
        return self._ratings.rows

    @property
    def _of_items(self) -> Lines:
        return self._ratings.columns

    def _ordered(self, user: Any, item: Any) -> tuple[Any, Any]:
        return user, item

    def _votes(self, asker: Asker, candidates: Ints) -> Votes:
        if asker.user >= 0:
            _, others, found = self._ratings.of_rows(np.array([asker.user]))
        else:
            others, found = self._ratings.of_stranger(asker.items, asker.values)
        others, found = others[found > 0], found[found > 0]
        by_user = len(others) < len(candidates)
        votes = (self._of_raters if by_user else self._of_rated)(others, found, candidates)
        if self.config.task == "top-n" or self.config.centre == "none":
            return votes
        if self._baselines is None:
            return votes._replace(values=votes.values - self._of_users.means()[votes.neighbours])
        mean, of_users, of_items = self._baselines
        of_item = of_items[candidates[votes.places]]
        return votes._replace(values=votes.values - mean - of_users[votes.neighbours] - of_item)

    def _of_rated(self, others: Ints, found: Floats, candidates: Ints) -> Votes:
        """Votes out of the ratings of the candidates."""
        similarity = np.zeros(len(self._of_users))
        similarity[others] = found
        lengths, users, values = self._of_items.gather(candidates.tolist())
        votes = Votes(np.repeat(np.arange(len(candidates)), lengths), users, similarity[users], values)
        return votes.only(votes.similarity > 0)

    def _of_raters(self, others: Ints, found: Floats, candidates: Ints) -> Votes:
        """The same out of the ratings of those that are alike: fewer lines where many items are asked for."""
        # numpy sorts numbers of 16 bits in a time of their number alone.
        place_of = np.full(len(self._of_items), -1, np.int16 if len(candidates) < 1 << 15 else np.int64)
        place_of[candidates] = np.arange(len(candidates))
        lengths, items, values = self._of_users.gather(others.tolist())
        places: NDArray[Any] = place_of[items]
        order = np.argsort(places, kind="stable")[np.count_nonzero(places < 0) :]
        neighbour = np.repeat(np.arange(len(others)), lengths)[order]
        return Votes(places[order].astype(np.int64), others[neighbour], found[neighbour], values[order])

    def _level(self, asker: Asker, candidates: Ints) -> Floats:
        if self._baselines is not None:
            return self._baselines.mean + asker.level + self._baselines.of_items[candidates]
        return np.full(len(candidates), asker.level if self.config.centre == "mean" else 0.0)

    def _reason(self, neighbour: int, weight: float) -> Reason:
        return Reason("user", self._user_ids[neighbour], weight)
