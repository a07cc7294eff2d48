"""Social regularisation: matrix factorisation where a visitor's taste is close to that of whom it trusts.

Enters: ratings, and who trusts whom (Knowledge.trust). Leaves: the rating expected, μ + b_u + b_i + p_u ·
q_i. What is minimised is the squared error, plus the squared lengths of deviations and factors, each by its
weight, plus

    ½ Σ trust(u, v) · (social · |p_u − p_v|² + bias_social · (b_u − b_v)²)

over those who trust each other: it draws a visitor with few ratings towards those it trusts, and those who
trust it. Without trust it is plain biased matrix factorisation.

Items, then visitors, are solved in closed form by turns. Visitors depend on each other: all are solved at
once against those of the turn before.

Source: Ma et al., "Recommender Systems with Social Regularization", WSDM 2011, the individual-based model;
alternating least squares of Koren, Bell and Volinsky, IEEE Computer 42(8), 2009. We differ: deviations are
drawn together as well, by a weight of their own, and trust that was given stands in place of similarities.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._rating_table import chosen
from streamrec.models._saving import load_state, save_state
from streamrec.models._trust import trust_matrix
from streamrec.recommender import Known, Reason, Task, Visitor

__all__ = ["SocialRegularisation", "SocialRegularisationConfig"]

Vector = NDArray[np.float64]

_CHUNK: Final = 4096
"""Visitors or items that are solved at once: each takes the square of the number of factors in memory."""


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
        width = self.config.factors + 1
        # A row: the deviation, then the factors.
        self._of_users: Vector = np.empty((0, width))
        self._of_items: Vector = np.empty((0, width))

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Solve items and visitors by turns. Raises DatasetError if there are no ratings."""
        if not len(feedback):
            raise DatasetError("there are no ratings to learn from")
        options = options or TrainOptions()
        linked = [id_ for link in knowledge.trust for id_ in (link.user_id, link.trusted_id)]
        self._know(list(dict.fromkeys([*feedback.user_ids, *linked])), feedback.item_ids)
        trust = trust_matrix(knowledge.trust, self._users)
        trust = sparse.csr_array(trust + trust.T)
        self._mean = float(feedback.values.mean(dtype=np.float64))
        shape = len(self._users), len(self.items)
        above = feedback.values.astype(np.float64) - self._mean
        places = (feedback.users, feedback.items)
        # A pair rated twice counts twice: sums and numbers of ratings are kept apart.
        sums = sparse.coo_array((above, places), shape).tocsr()
        times = sparse.coo_array((np.ones(len(above)), places), shape).tocsr()
        sums_t, times_t = sums.T.tocsr(), times.T.tocsr()
        rng = np.random.default_rng(options.seed)
        width = self.config.factors + 1
        of_users = np.hstack([np.zeros((shape[0], 1)), rng.normal(0, 0.1, (shape[0], width - 1))])
        of_items, losses = np.zeros((shape[1], width)), []
        no_trust = sparse.csr_array((shape[1], shape[1]))
        for epoch in range(self.config.epochs):
            of_items = self._solved(sums_t, times_t, of_users, no_trust, of_items)
            of_users = self._solved(sums, times, of_items, trust, of_users)
            expected = of_users[places[0], 0] + of_items[places[1], 0]
            expected += np.einsum("nf,nf->n", of_users[places[0], 1:], of_items[places[1], 1:])
            losses.append(float(np.mean((above - expected) ** 2)))
            if options.on_step is not None:
                options.on_step((epoch + 1) * len(feedback), self.config.epochs * len(feedback), losses[-1])
        self._of_users, self._of_items = of_users, of_items
        return TrainReport(self.config.epochs * len(feedback), losses)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The ratings expected; see recommender.Recommender."""
        own = self._row(visitor)
        # Row by row, so that a score does not depend on what else is asked for.
        taste = np.einsum("nf,f->n", self._of_items[:, 1:], own[1:])
        scores = self._mean + own[0] + self._of_items[:, 0] + taste
        return chosen(scores, self._index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """Mean, visitor, item and how the two fit, whose parts add up to the score.

        How they fit stands as a second reason with the item's id.
        """
        index = self._index.get(item_id)
        if index is None:
            return []
        own, its = self._row(visitor), self._of_items[index]
        parts = [
            Reason("rating", "", self._mean),
            Reason("user", visitor.visitor_id, float(own[0])),
            Reason("item", item_id, float(its[0])),
            Reason("item", item_id, float(own[1:] @ its[1:])),
        ]
        return sorted(parts, key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        numbers = {"mean": np.array(self._mean), "of_users": self._of_users, "of_items": self._of_items}
        ids = {"users": list(self._users), "items": self.items}
        save_state(directory, "SocialRegularisation", self.config, ids, numbers)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "SocialRegularisation", cls.Config)
        model = cls(config)
        model._know(ids["users"], ids["items"])
        model._mean = float(numbers["mean"])
        model._of_users, model._of_items = numbers["of_users"], numbers["of_items"]
        return model

    def _know(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> None:
        self.items: Sequence[str] = list(item_ids)
        self._users = {user_id: index for index, user_id in enumerate(user_ids)}
        self._index = {item_id: index for index, item_id in enumerate(item_ids)}

    def _row(self, visitor: Visitor) -> Vector:
        """Deviation and factors: as learned, else solved from the ratings that the visitor comes with."""
        user = self._users.get(visitor.visitor_id)
        if user is not None:
            row: Vector = self._of_users[user]
            return row
        rated = [
            (self._index[item_id], value - self._mean)
            for item_id, value in zip(visitor.items, visitor.values, strict=False)
            if item_id in self._index
        ]
        columns, above = np.array(rated).reshape(-1, 2).T
        places = (np.zeros(len(rated), np.int64), columns.astype(np.int64))
        shape = (1, len(self.items))
        sums, times = (
            sparse.coo_array((numbers, places), shape).tocsr() for numbers in (above, np.ones(len(rated)))
        )
        alone = sparse.csr_array((1, 1))
        solved = self._solved(sums, times, self._of_items, alone, np.zeros((1, self.config.factors + 1)))
        found: Vector = solved[0]
        return found

    def _solved(self, sums: Any, times: Any, others: Vector, trust: Any, before: Vector) -> Vector:
        """Rows of one side, given those of the other, and for links their own of the turn before."""
        width = others.shape[1]
        seen = np.hstack([np.ones((len(others), 1)), others[:, 1:]])
        squares = (seen[:, :, None] * seen[:, None, :]).reshape(len(seen), -1)
        weights = np.full(width, self.config.regularisation)
        weights[0] = self.config.bias_regularisation
        social = np.full(width, self.config.social)
        social[0] = self.config.bias_social
        found = np.empty((sums.shape[0], width))
        for start in range(0, len(found), _CHUNK):
            part = slice(start, start + _CHUNK)
            left = (times[part] @ squares).reshape(-1, width, width) + np.diag(weights)
            left += trust[part].sum(axis=1)[:, None, None] * np.diag(social)
            right = sums[part] @ seen - times[part] @ (others[:, :1] * seen) + (trust[part] @ before) * social
            found[part] = np.linalg.solve(left, right[:, :, None])[:, :, 0]
        return found
