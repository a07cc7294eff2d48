"""Social regularisation: matrix factorisation where a visitor's taste is close to that of whom it trusts.

Enters: ratings, and who trusts whom (Knowledge.trust). Leaves: the rating expected, μ + b_u + b_i + p_u ·
q_i. What is minimised is the squared error, plus the squared lengths of deviations and factors, each by its
weight, plus

    Σ trust(u, v) · (social · |p_u − p_v|² + bias_social · (b_u − b_v)²)

over all u who trust a v: it draws a visitor with few ratings towards those it trusts, and those who trust it.
Without trust it is plain biased matrix factorisation.

Items, then visitors, are solved in closed form by turns. Visitors depend on each other: all are solved at
once against those of the turn before. By hand: kept libraries factorise ratings alone, without links.

Source: Ma et al., "Recommender Systems with Social Regularization", WSDM 2011, the individual-based model;
alternating least squares of Koren, Bell and Volinsky, IEEE Computer 42(8), 2009. We differ: deviations are
drawn together as well, by a weight of their own, and trust that was given stands in place of similarities.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._rating_table import chosen, unknown_visitors_ratings
from streamrec.models._ridge import FloatMatrix, dots, ridge, rows_of
from streamrec.models._saving import load_state, save_state
from streamrec.models._trust import trust_matrix
from streamrec.recommender import Known, Reason, Task, Visitor

__all__ = ["SocialRegularisation", "SocialRegularisationConfig"]


class SocialRegularisationConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    factors: PositiveInt = 10
    """Width of p_u and q_i."""
    epochs: PositiveInt = 20
    """Turns: the items, then the visitors."""
    regularisation: PositiveFloat = 10.0
    """Weight of the squared factors."""
    bias_regularisation: PositiveFloat = 2.0
    """Weight of the squared deviations b_u and b_i."""
    social: NonNegativeFloat = 1.0
    """What a link of full trust weighs for factors; at 0 it plays no part there."""
    bias_social: NonNegativeFloat = 0.1
    """The same for deviations, which count in ratings: a link is a tenth of one. What those who trust each
    other share is little, and more weight adds more noise than it says."""


class SocialRegularisation:
    """Deviations and factors of visitors and items; a recommender.Recommender."""

    Config = SocialRegularisationConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})
    goes_by: ClassVar[frozenset[Known]] = frozenset({"trust"})

    def __init__(self, config: SocialRegularisationConfig | None = None) -> None:
        self.config = config or SocialRegularisationConfig()
        self._know([], [])
        self._mean = 0.0
        # A row: the deviation, then the factors.
        self._of_users: FloatMatrix = np.empty((0, self.config.factors + 1))
        self._of_items: FloatMatrix = np.empty((0, self.config.factors + 1))
        # What visitors rated, and who is linked with whom by trust, either way: to tell whose part is whose.
        self._rated: Any = sparse.csr_array((0, 0))
        self._links: Any = sparse.csr_array((0, 0))

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Solve items and visitors by turns. Raises DatasetError if there are no ratings."""
        if not len(feedback):
            raise DatasetError("there are no ratings to learn from")
        options = options or TrainOptions()
        feedback = feedback.without_repeats()
        linked = [id_ for link in knowledge.trust for id_ in (link.user_id, link.trusted_id)]
        self._know(list(dict.fromkeys([*feedback.user_ids, *linked])), feedback.item_ids)
        users, items = feedback.users, feedback.items
        by_user = rows_of(users, items, len(self._users))
        by_item = rows_of(items, users, len(self.items))
        self._mean = float(feedback.values.mean(dtype=np.float64))
        above = feedback.values.astype(np.float64) - self._mean
        trust = trust_matrix(knowledge.trust, self._users)
        trust = sparse.csr_array(trust + trust.T)
        config = self.config
        weights, social = self._penalties()
        held = np.tile(weights, (len(self.items), 1))
        drawn = weights + trust.sum(axis=1)[:, None] * social
        rng = np.random.default_rng(options.seed)
        of_users = np.zeros((len(self._users), config.factors + 1))
        of_users[:, 1:] = rng.normal(0, 0.1, (len(of_users), config.factors))
        losses = []
        for epoch in range(config.epochs):
            of_items = ridge(by_item, above - of_users[users, 0], _seen(of_users), held)
            left, seen = above - of_items[items, 0], _seen(of_items)
            towards = (trust @ of_users) * social / drawn
            of_users = ridge(by_user, left, seen, drawn, towards=towards)
            losses.append(float(np.mean((left - dots(of_users, seen, users, items)) ** 2)))
            if options.on_step is not None:
                options.on_step((epoch + 1) * len(feedback), config.epochs * len(feedback), losses[-1])
        self._of_users, self._of_items = of_users, of_items
        rated = np.ones(len(users), np.bool_), (users, items)
        self._rated = sparse.csr_array(rated, shape=(len(self._users), len(self.items)))
        self._links = trust
        return TrainReport(self.config.epochs * len(feedback), losses)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The ratings expected; see recommender.Recommender."""
        own = self._row(visitor)
        # Row by row, so that a score does not depend on what else is asked for.
        taste = np.einsum("nf,f->n", self._of_items[:, 1:], own[1:])
        scores = self._mean + own[0] + self._of_items[:, 0] + taste
        return chosen(scores, self._index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """Mean, item, each of those linked with the visitor by trust, and itself: they add up to the score.

        The visitor's deviation and factors solve linear equations, whose right side is a sum over its ratings
        and those whom it trusts or who trust it. So each of these has a part, by what it is like now; the
        rest, its ratings', is the visitor's.
        """
        index = self._index.get(item_id)
        if index is None:
            return []
        own, its = self._row(visitor), self._of_items[index]
        meets = np.append(1.0, its[1:])
        linked = self._from_linked(visitor, meets)
        parts = [
            Reason("rating", "", self._mean),
            Reason("item", item_id, float(its[0])),
            Reason("user", visitor.visitor_id, float(own @ meets) - sum(each.weight for each in linked)),
            *linked,
        ]
        return sorted(parts, key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        numbers = {"mean": np.array(self._mean), "of_users": self._of_users, "of_items": self._of_items}
        for name, matrix in (("rated", self._rated), ("links", self._links)):
            numbers |= {f"{name}_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
        ids = {"users": self._user_ids, "items": self.items}
        save_state(directory, "SocialRegularisation", self.config, ids, numbers)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "SocialRegularisation", cls.Config)
        model = cls(config)
        model._know(ids["users"], ids["items"])
        model._mean = float(numbers["mean"])
        model._of_users, model._of_items = numbers["of_users"], numbers["of_items"]
        n_users = len(ids["users"])
        for name, width in (("rated", len(ids["items"])), ("links", n_users)):
            parts = tuple(numbers[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
            setattr(model, f"_{name}", sparse.csr_array(parts, shape=(n_users, width)))
        return model

    def _know(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> None:
        self.items: Sequence[str] = list(item_ids)
        self._user_ids = list(user_ids)
        self._users = {user_id: index for index, user_id in enumerate(user_ids)}
        self._index = {item_id: index for index, item_id in enumerate(item_ids)}

    def _row(self, visitor: Visitor) -> FloatMatrix:
        """Deviation and factors: as learned, else solved from the ratings that the visitor comes with."""
        user = self._users.get(visitor.visitor_id)
        if user is not None:
            row: FloatMatrix = self._of_users[user]
            return row
        columns, values = unknown_visitors_ratings(visitor, self._index)
        its = self._of_items[columns]
        above = values - self._mean - its[:, 0]
        alone = rows_of(np.zeros(len(columns), np.int64), np.arange(len(columns)), 1)
        weights, _ = self._penalties()
        solved: FloatMatrix = ridge(alone, above, _seen(its), weights[None])[0]
        return solved

    def _from_linked(self, visitor: Visitor, meets: FloatMatrix) -> list[Reason]:
        """What those linked with the visitor add to a score. meets: what its row is multiplied with there."""
        user = self._users.get(visitor.visitor_id)
        if user is None:
            return []
        links, rated = self._links[[user]], self._rated[[user]].indices
        seen = _seen(self._of_items[rated])
        weights, social = self._penalties()
        left = seen.T @ seen + np.diag(weights + links.sum() * social)
        parts = links.data * (self._of_users[links.indices] @ (social * np.linalg.solve(left, meets)))
        return [
            Reason("user", self._user_ids[other], part)
            for other, part in zip(links.indices.tolist(), parts.tolist(), strict=True)
            if part
        ]

    def _penalties(self) -> tuple[FloatMatrix, FloatMatrix]:
        """Weights of what is squared, and of links, by entry of a row, (1 + factors,) each."""
        weights = np.full(self.config.factors + 1, self.config.regularisation)
        weights[0] = self.config.bias_regularisation
        social = np.full(self.config.factors + 1, self.config.social)
        social[0] = self.config.bias_social
        return weights, social


def _seen(rows: FloatMatrix) -> FloatMatrix:
    """Rows as those of the other side meet them: a 1 against their deviation, then the factors."""
    return np.hstack([np.ones((len(rows), 1)), rows[:, 1:]])
