"""User-based collaborative filtering: what visitors who rate alike say of an item.

Enters: ratings. Leaves: the rating expected, the visitor's mean and by how much its neighbours rate the item
above theirs, or a sum of their votes.

Source: Resnick et al., "GroupLens: An Open Architecture for Collaborative Filtering of Netnews", CSCW 1994;
the rest see _memory_based.py.
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
        similarity = np.zeros(len(self._of_users))
        similarity[others] = found
        lengths, users, values = self._of_items.gather(candidates.tolist())
        alike = similarity[users] > 0
        votes = Votes(np.repeat(np.arange(len(candidates)), lengths), users, similarity[users], values)
        votes = votes.only(alike)
        if self.config.task == "top-n" or self.config.centre == "none":
            return votes
        if self._baselines is None:
            return votes._replace(values=votes.values - self._of_users.means()[votes.neighbours])
        mean, of_users, of_items = self._baselines
        of_item = of_items[candidates[votes.places]]
        return votes._replace(values=votes.values - mean - of_users[votes.neighbours] - of_item)

    def _level(self, asker: Asker, candidates: Ints) -> Floats:
        if self._baselines is not None:
            return self._baselines.mean + asker.level + self._baselines.of_items[candidates]
        return np.full(len(candidates), asker.level if self.config.centre == "mean" else 0.0)

    def _reason(self, neighbour: int, weight: float) -> Reason:
        return Reason("user", self._user_ids[neighbour], weight)
