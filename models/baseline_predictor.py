"""The baseline predictor: how high the visitor rates at all, and how high the item is rated at all.

Enters: ratings. Leaves: the rating expected, μ + b_u + b_i: the mean of all ratings, and by how much the
visitor and the item deviate from it. The deviations are those that minimise the squared error plus
λ_u Σ b_u² + λ_i Σ b_i², found by turns: each half is a mean that is shrunk towards zero.

Source: Koren, "Factor in the Neighbors: Scalable and Accurate Collaborative Filtering", TKDD 4(1), 2010,
section 2.1, which decouples the two halves; here they alternate until they change no more.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeFloat, PositiveInt

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._levels import deviations
from streamrec.models._rating_table import chosen, unknown_visitors_ratings
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Reason, Task, Visitor

__all__ = ["BaselinePredictor", "BaselinePredictorConfig"]


class BaselinePredictorConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    user_damping: NonNegativeFloat = 15.0
    """λ_u: ratings at the mean that are added to those of each visitor."""
    item_damping: NonNegativeFloat = 10.0
    """λ_i: the same for items."""
    epochs: PositiveInt = 10
    """Turns: the items' deviations, then the visitors'."""


class BaselinePredictor:
    """Deviations of visitors and items; a recommender.Recommender."""

    Config = BaselinePredictorConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})

    def __init__(self, config: BaselinePredictorConfig | None = None) -> None:
        self.config = config or BaselinePredictorConfig()
        self.items: Sequence[str] = []
        self._users: dict[str, int] = {}
        self._index: dict[str, int] = {}
        self._mean = 0.0
        self._of_users: NDArray[np.float64] = np.empty(0)
        self._of_items: NDArray[np.float64] = np.empty(0)

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Fit deviations by turns. Raises DatasetError if there are no ratings."""
        if not len(feedback):
            raise DatasetError("there are no ratings to learn from")
        feedback = feedback.without_repeats()
        self._know(feedback.user_ids, feedback.item_ids)
        self._mean = float(feedback.values.mean(dtype=np.float64))
        above = feedback.values.astype(np.float64) - self._mean
        users, items = feedback.users, feedback.items
        config, losses = self.config, []
        turns = deviations(users, items, above, config.user_damping, config.item_damping, config.epochs)
        for epoch, (of_users, of_items) in enumerate(turns):
            losses.append(float(np.mean((above - of_users[users] - of_items[items]) ** 2)))
            if options is not None and options.on_step is not None:
                options.on_step((epoch + 1) * len(feedback), config.epochs * len(feedback), losses[-1])
            self._of_users, self._of_items = of_users, of_items
        return TrainReport(config.epochs * len(feedback), losses)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The ratings expected; see recommender.Recommender."""
        return chosen(self._base(visitor) + self._of_items, self._index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """Mean, item and visitor, whose parts add up to the score."""
        index = self._index.get(item_id)
        if index is None:
            return []
        parts = [
            Reason("rating", "", self._mean),
            Reason("item", item_id, float(self._of_items[index])),
            Reason("user", visitor.visitor_id, self._base(visitor) - self._mean),
        ]
        return sorted(parts, key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        numbers = {"mean": np.array(self._mean), "of_users": self._of_users, "of_items": self._of_items}
        save_state(
            directory,
            "BaselinePredictor",
            self.config,
            {"users": list(self._users), "items": self.items},
            numbers,
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "BaselinePredictor", cls.Config)
        model = cls(config)
        model._know(ids["users"], ids["items"])
        model._mean = float(numbers["mean"])
        model._of_users, model._of_items = numbers["of_users"], numbers["of_items"]
        return model

    def _know(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> None:
        self.items = list(item_ids)
        self._users = {user_id: index for index, user_id in enumerate(user_ids)}
        self._index = {item_id: index for index, item_id in enumerate(item_ids)}

    def _base(self, visitor: Visitor) -> float:
        """The mean and the visitor's deviation: as learned, else that of the ratings it comes with."""
        index = self._users.get(visitor.visitor_id)
        if index is not None:
            return self._mean + float(self._of_users[index])
        items, values = unknown_visitors_ratings(visitor, self._index)
        above = values - self._mean - self._of_items[items]
        return self._mean + float(above.sum()) / max(len(above) + self.config.user_damping, 1.0)
