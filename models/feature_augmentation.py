"""Feature augmentation: what one recommender expects is what another learns from.

Enters: ratings, and what the first knows beside them. Leaves: the scores of `then`, which was trained on the
ratings and on pseudo-ratings: for every visitor, what `first` expects of those of the most rated items that
the visitor has not rated. So visitors of few ratings have items in common, by which neighbours and factors
are found, and what content tells gets into a model that knows none. A visitor unknown so far is given
pseudo-ratings in the same way, if it comes with ratings.

Source: Burke, "Hybrid Recommender Systems: Survey and Experiments", User Modeling and User-Adapted
Interaction 12, 2002, section 3.6; Melville, Mooney and Nagarajan, "Content-Boosted Collaborative Filtering
for Improved Recommendations", AAAI 2002. We differ: not every gap is filled, which would take a matrix of all
visitors and items, and a pseudo-rating weighs as much as a rating.
"""

from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import BaseModel, PositiveInt, model_validator

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge, make_feedback
from streamrec.models import recommender_of
from streamrec.models._nodes import Node, load_parts, save_parts, want_ratings
from streamrec.models._progress import part_options
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Reason, Recommender, Task, Visitor

__all__ = ["FeatureAugmentation", "FeatureAugmentationConfig"]


class FeatureAugmentationConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    first: Node = {"model": "feature_combination"}
    """The recommender whose ratings expected become pseudo-ratings."""
    then: Node = {"model": "user_based_cf"}
    """The recommender that learns from both and answers."""
    pseudo_ratings: PositiveInt = 50
    """How many of the most rated items a visitor has a rating or a pseudo-rating of."""

    @model_validator(mode="after")
    def _ratings_from_ratings(self) -> Self:
        want_ratings(self.first, self.then)
        return self


class FeatureAugmentation:
    """One recommender on the ratings of another; a recommender.Recommender."""

    Config = FeatureAugmentationConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})

    def __init__(self, config: FeatureAugmentationConfig | None = None) -> None:
        self.config = config or FeatureAugmentationConfig()
        self._first: Recommender = recommender_of(self.config.first)
        self._then: Recommender = recommender_of(self.config.then)
        self._users: frozenset[str] = frozenset()
        self._most_rated: list[str] = []

    @property
    def items(self) -> Sequence[str]:
        """Those of the recommender that answers."""
        return self._then.items

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Train the first, have it fill gaps, train the other. Raises DatasetError without ratings."""
        if not len(feedback):
            raise DatasetError("there are no ratings to learn from")
        first = self._first.train(feedback, knowledge, part_options(options, 0, 2, len(feedback)))
        counts = np.bincount(feedback.without_repeats().items)
        most = np.argsort(-counts, kind="stable")[: self.config.pseudo_ratings].tolist()
        self._users = frozenset(feedback.user_ids)
        self._most_rated = [feedback.item_ids[item] for item in most]
        then = self._then.train(self._filled(feedback), knowledge, part_options(options, 1, 2, len(feedback)))
        return TrainReport(first.events + then.events, [*first.losses, *then.losses])

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """What the recommender that answers says; see recommender.Recommender."""
        return self._then.score(self._boosted(visitor), items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """The reasons of the recommender that answers, pseudo-ratings among them."""
        return self._then.explain(self._boosted(visitor), item_id)

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        ids = {"users": sorted(self._users), "most rated": self._most_rated}
        save_state(directory, "FeatureAugmentation", self.config, ids, {})
        save_parts([self._first, self._then], directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, _ = load_state(directory, "FeatureAugmentation", cls.Config)
        model = cls(config)
        model._users, model._most_rated = frozenset(ids["users"]), ids["most rated"]
        model._first, model._then = load_parts([config.first, config.then], directory)
        return model

    def _filled(self, feedback: Feedback) -> Feedback:
        """The ratings, and before them the pseudo-ratings of all visitors."""
        rated: list[set[str]] = [set() for _ in feedback.user_ids]
        for user, item in zip(feedback.users.tolist(), feedback.items.tolist(), strict=True):
            rated[user].add(feedback.item_ids[item])
        users, items, values = [], [], []
        for user_id, known in zip(feedback.user_ids, rated, strict=True):
            pseudo_items, pseudo_values = self._pseudo(Visitor(user_id), known)
            users += [user_id] * len(pseudo_items)
            items += pseudo_items
            values += pseudo_values
        n = len(users)
        users += [feedback.user_ids[user] for user in feedback.users.tolist()]
        items += [feedback.item_ids[item] for item in feedback.items.tolist()]
        # A pseudo-rating has no context, and is as old as the oldest rating.
        return make_feedback(
            users,
            items,
            [*values, *feedback.values.tolist()],
            np.concatenate([np.full(n, feedback.time_ms.min()), feedback.time_ms]),
            {name: [*repeat("", n), *column] for name, column in feedback.contexts.items()},
        )

    def _pseudo(self, visitor: Visitor, rated: set[str]) -> tuple[list[str], list[float]]:
        """Items that are rated most, without those the visitor rated, and what the first expects of them."""
        wanted = [item_id for item_id in self._most_rated if item_id not in rated]
        told = zip(wanted, self._first.score(visitor, wanted).tolist(), strict=True)
        found = [(item_id, value) for item_id, value in told if np.isfinite(value)]
        return [item_id for item_id, _ in found], [value for _, value in found]

    def _boosted(self, visitor: Visitor) -> Visitor:
        """The visitor as the recommender that answers should see it."""
        rates = visitor.items and len(visitor.values) >= len(visitor.items)
        if visitor.visitor_id in self._users or not rates:
            return visitor
        items, values = self._pseudo(visitor, set(visitor.items))
        return visitor._replace(items=[*items, *visitor.items], values=[*values, *visitor.values])
