"""MoleTrust: ratings foretold from those whom the visitor trusts, and whom these trust in turn.

Enters: ratings, and who trusts whom (Knowledge.trust). Leaves: the visitor's baseline for the item plus how
far the ratings of those trusted lie above their own baselines: a mean by trust, shrunk where there is little
of it. Where nobody trusted has rated the item, or where there is no trust at all, that is the baseline.

Trust spreads by steps, each visitor reached at its shortest distance and only from the step before: trusted
as the mean of those who trust it, by how far these are trusted themselves; who is trusted less than the
threshold passes nothing on. With each step it fades. How a visitor with few ratings rates at all may start
from how those do whom it trusts.

Source: Massa and Avesani, "Trust-aware Recommender Systems", RecSys 2007. We differ: deviations are from
baselines (see `baseline_predictor`) in place of means, for most visitors have few ratings.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat, PositiveInt
from scipy import sparse

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._rating_table import chosen, unknown_visitors_ratings
from streamrec.models._saving import load_state, save_state
from streamrec.models._trust import trust_matrix
from streamrec.recommender import Known, Reason, Task, Visitor

__all__ = ["MoleTrust", "MoleTrustConfig"]

Vector = NDArray[np.float64]


class MoleTrustConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    horizon: PositiveInt = 2
    """Steps that trust spreads."""
    threshold: float = Field(default=0.6, ge=0, le=1)
    """Trust from which a visitor passes it on, as a share of the highest there is."""
    damping: NonNegativeFloat = 10.0
    """Trust that says nothing, added to that of those who rated the item."""
    user_damping: NonNegativeFloat = 5.0
    """Ratings at the level of those trusted, which are added to those of each visitor."""
    shared_level: float = Field(default=0.0, ge=0, le=1)
    """How much of the level of those trusted a visitor without ratings shares; at 0 none, as in the paper."""
    item_damping: NonNegativeFloat = 5.0
    """Ratings at the mean that are added to those of each item."""
    epochs: PositiveInt = 10
    """Turns in which the baselines are found: items', then visitors'."""


class MoleTrust:
    """Baselines, ratings and trust; a recommender.Recommender."""

    Config = MoleTrustConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})
    goes_by: ClassVar[frozenset[Known]] = frozenset({"trust"})

    def __init__(self, config: MoleTrustConfig | None = None) -> None:
        self.config = config or MoleTrustConfig()
        self.items: Sequence[str] = []
        self._know([], [])
        self._mean = 0.0
        self._of_users: Vector = np.empty(0)
        self._of_items: Vector = np.empty(0)
        self._ratings: Any = sparse.csr_array((0, 0))
        self._trust: Any = sparse.csr_array((0, 0))

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Find the baselines, and keep what those above it. Raises DatasetError if there are no ratings."""
        if not len(feedback):
            raise DatasetError("there are no ratings to learn from")
        feedback = feedback.without_repeats()
        trusting = [id_ for link in knowledge.trust for id_ in (link.user_id, link.trusted_id)]
        self._know(list(dict.fromkeys([*feedback.user_ids, *trusting])), feedback.item_ids)
        self._trust = trust_matrix(knowledge.trust, self._users)
        self._mean = float(feedback.values.mean(dtype=np.float64))
        users, items = feedback.users, feedback.items
        above = feedback.values.astype(np.float64) - self._mean
        rated = np.bincount(users, minlength=len(self._users))
        times = np.bincount(items, minlength=len(self.items)) + self.config.item_damping
        trusted = self._trust.sum(axis=1)
        of_users, losses = np.zeros(len(rated)), []
        for epoch in range(self.config.epochs):
            of_items = np.bincount(items, above - of_users[users]) / times
            theirs = self._trust @ of_users / np.where(trusted > 0, trusted, 1)
            sums = np.bincount(users, above - of_items[items], minlength=len(rated))
            weight = rated + self.config.user_damping
            of_users = (sums + self.config.user_damping * self.config.shared_level * theirs) / np.where(
                weight > 0, weight, 1
            )
            losses.append(float(np.mean((above - of_users[users] - of_items[items]) ** 2)))
            if options is not None and options.on_step is not None:
                options.on_step((epoch + 1) * len(feedback), self.config.epochs * len(feedback), losses[-1])
        self._of_users, self._of_items = of_users, of_items
        # A rating of zero has to stay one, so the deviations are stored.
        deviations = above - of_users[users] - of_items[items]
        self._ratings = sparse.csr_array((deviations, (users, items)), shape=(len(rated), len(self.items)))
        return TrainReport(self.config.epochs * len(feedback), losses)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The ratings expected; see recommender.Recommender."""
        scores = self._base(visitor) + self._of_items + self._from_trusted(visitor)
        return chosen(scores, self._index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """Mean, item, visitor and each of those trusted who rated the item: parts add up to the score."""
        index = self._index.get(item_id)
        if index is None:
            return []
        trust = self._trusted(visitor)
        column = self._ratings[:, [index]].tocoo()
        weights = trust[column.coords[0]]
        total = weights.sum() + self.config.damping
        parts = [
            Reason("user", self._user_ids[user], float(weight * above / total))
            for user, weight, above in zip(column.coords[0].tolist(), weights, column.data, strict=True)
            if weight > 0
        ]
        parts += [
            Reason("rating", "", self._mean),
            Reason("item", item_id, float(self._of_items[index])),
            Reason("user", visitor.visitor_id, self._base(visitor) - self._mean),
        ]
        return sorted(parts, key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        numbers = {"mean": np.array(self._mean), "of_users": self._of_users, "of_items": self._of_items}
        for name, matrix in (("ratings", self._ratings), ("trust", self._trust)):
            numbers |= {f"{name}_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
        save_state(
            directory, "MoleTrust", self.config, {"users": self._user_ids, "items": self.items}, numbers
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "MoleTrust", cls.Config)
        model = cls(config)
        model._know(ids["users"], ids["items"])
        model._mean = float(numbers["mean"])
        model._of_users, model._of_items = numbers["of_users"], numbers["of_items"]
        n_users = len(ids["users"])
        for name, width in (("ratings", len(ids["items"])), ("trust", n_users)):
            parts = tuple(numbers[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
            setattr(model, f"_{name}", sparse.csr_array(parts, shape=(n_users, width)))
        return model

    def _know(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> None:
        self.items = list(item_ids)
        self._user_ids = list(user_ids)
        self._users = {user_id: index for index, user_id in enumerate(user_ids)}
        self._index = {item_id: index for index, item_id in enumerate(item_ids)}

    def _base(self, visitor: Visitor) -> float:
        """The mean and the visitor's deviation: as learned, else that of the ratings it comes with."""
        user = self._users.get(visitor.visitor_id)
        if user is not None:
            return self._mean + float(self._of_users[user])
        items, values = unknown_visitors_ratings(visitor, self._index)
        above = values - self._mean - self._of_items[items]
        return self._mean + float(above.sum()) / max(len(above) + self.config.user_damping, 1.0)

    def _from_trusted(self, visitor: Visitor) -> Vector:
        """By how much those trusted move the rating of each item."""
        trust = self._trusted(visitor)
        there = np.flatnonzero(trust)
        rows = self._ratings[there]
        spread = np.repeat(trust[there], np.diff(rows.indptr))
        n = len(self.items)
        total = np.bincount(rows.indices, spread, minlength=n)
        moved = np.bincount(rows.indices, spread * rows.data, minlength=n)
        found: Vector = moved / np.where(total > 0, total + self.config.damping, 1)
        return found

    def _trusted(self, visitor: Visitor) -> Vector:
        """How far the visitor trusts each other, (n_users,): within 0 and 1."""
        trust = np.zeros(len(self._users))
        start = self._users.get(visitor.visitor_id)
        if start is None:
            return trust
        reached = np.zeros(len(trust), bool)
        reached[start] = True
        from_, weight = np.array([start]), np.ones(1)
        for step in range(self.config.horizon):
            rows = self._trust[from_]
            spread = np.repeat(weight, np.diff(rows.indptr))
            given = np.bincount(rows.indices, spread * rows.data, minlength=len(trust))
            by = np.bincount(rows.indices, spread, minlength=len(trust))
            new = (by > 0) & ~reached
            reached |= new
            mean = np.where(new, given / np.where(by > 0, by, 1), 0.0)
            trust += mean * (self.config.horizon - step) / self.config.horizon
            from_ = np.flatnonzero(mean >= max(self.config.threshold, 1e-12))
            weight = mean[from_]
        return trust
