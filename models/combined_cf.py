"""User-based and item-based collaborative filtering combined: a weighted mean of what both expect.

Enters: ratings. Leaves: scores; where only one of the two can tell a rating, its own.

Source: Wang, de Vries and Reinders, "Unifying User-based and Item-based Collaborative Filtering Approaches by
Similarity Fusion", SIGIR 2006. We differ: the two are weighted by a number, not by a model of each rating.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._memory_based import Centre
from streamrec.models._progress import part_options
from streamrec.models._saving import load_state, save_state
from streamrec.models._similarity import Similarity
from streamrec.models.item_based_cf import ItemBasedCF, ItemBasedCFConfig
from streamrec.models.user_based_cf import UserBasedCF, UserBasedCFConfig
from streamrec.recommender import Reason, Task, Visitor

__all__ = ["CombinedCF", "CombinedCFConfig"]

# What the names of either side's arrays begin with.
_USERS: Final = "by_users_"
_ITEMS: Final = "by_items_"


class CombinedCFConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    task: Task = "rating"
    """What scores are: ratings expected, or numbers to be ranked by."""
    user_weight: float = Field(0.5, ge=0, le=1)
    """Share of the user-based score; the item-based one has the rest."""
    user_similarity: Similarity | None = None
    """How alike visitors are; None as of UserBasedCF."""
    item_similarity: Similarity | None = None
    """How alike items are; None as of ItemBasedCF."""
    k: PositiveInt = 40
    """As of UserBasedCF and ItemBasedCF."""
    significance: NonNegativeInt = 50
    """As of UserBasedCF and ItemBasedCF."""
    centre: Centre = "mean"
    """As of UserBasedCF and ItemBasedCF."""


class CombinedCF:
    """Both sides' neighbours; a recommender.StreamRecommender unless centred by baselines."""

    Config = CombinedCFConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating", "top-n"})

    def __init__(self, config: CombinedCFConfig | None = None) -> None:
        self.config = config or CombinedCFConfig()
        shared = self.config.model_dump(include={"task", "k", "significance", "centre"})
        self._by_users = UserBasedCF(UserBasedCFConfig(similarity=self.config.user_similarity, **shared))
        self._by_items = ItemBasedCF(ItemBasedCFConfig(similarity=self.config.item_similarity, **shared))

    @property
    def items(self) -> Sequence[str]:
        """See recommender.Recommender."""
        return self._by_items.items

    @property
    def streams(self) -> bool:
        """Whether it can learn one by one."""
        return self._by_users.streams

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Train one side, then the other. Raises DatasetError if there are no ratings."""
        if not len(feedback):
            raise DatasetError("there are no ratings to learn from")
        for number, side in enumerate((self._by_users, self._by_items)):
            side.train(feedback, knowledge, part_options(options, number, 2, len(feedback)))
        return TrainReport(len(feedback), [])

    def learn_one(self, user_id: str, item_id: str, value: float = 1.0, time_ms: int = 0) -> None:
        """Take in one more rating; see UserBasedCF.learn_one."""
        self._by_users.learn_one(user_id, item_id, value, time_ms)
        self._by_items.learn_one(user_id, item_id, value, time_ms)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """Ratings expected, or sums of votes; see recommender.Recommender."""
        by_users, by_items = self._by_users.score(visitor, items), self._by_items.score(visitor, items)
        weight = np.float32(self.config.user_weight)
        if self.config.task == "top-n":
            # A sum of no votes.
            heard = ~(np.isnan(by_users) & np.isnan(by_items))
            votes = weight * np.nan_to_num(by_users) + (1 - weight) * np.nan_to_num(by_items)
            return np.where(heard, votes, np.float32(np.nan))
        both: FloatArray = weight * by_users + (1 - weight) * by_items
        return np.where(np.isnan(by_users), by_items, np.where(np.isnan(by_items), by_users, both))

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """The neighbours of both sides and the levels from which these start, by their part in the score."""
        by_users, by_items = (
            self._by_users.explain(visitor, item_id),
            self._by_items.explain(visitor, item_id),
        )
        weight = self.config.user_weight
        if self.config.task == "top-n" or (by_users and by_items):
            by_users = [each._replace(weight=weight * each.weight) for each in by_users]
            by_items = [each._replace(weight=(1 - weight) * each.weight) for each in by_items]
        return sorted([*by_users, *by_items], key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        ids, by_users = self._by_users.state()
        arrays = {f"{_USERS}{name}": array for name, array in by_users.items()}
        arrays |= {f"{_ITEMS}{name}": array for name, array in self._by_items.state()[1].items()}
        save_state(directory, "CombinedCF", self.config, ids, arrays)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, arrays = load_state(directory, "CombinedCF", cls.Config)
        model = cls(config)
        for side, prefix in ((model._by_users, _USERS), (model._by_items, _ITEMS)):
            side.restore(
                ids,
                {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)},
            )
        return model
