"""Social regularisation: matrix factorisation where a visitor's taste is close to that of whom it trusts.

Enters: ratings, and who trusts whom (Knowledge.trust). Leaves: the rating expected, μ + b_u + b_i + p_u ·
q_i. What is minimised is the squared error, plus the squared lengths of deviations and factors, each by its
weight, plus

    Σ trust(u, v) · (social · |p_u − p_v|² + bias_social · (b_u − b_v)²)

over all u who trust a v: it draws a visitor with few ratings towards those it trusts, and those who trust it.
Without trust it is plain biased matrix factorisation.

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
from streamrec.models._rating_table import chosen, unknown_visitors_ratings
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
        trust = trust_matrix(knowledge.trust, self._users)
        trust = sparse.csr_array(trust + trust.T)
        self._mean = float(feedback.values.mean(dtype=np.float64))
        shape = len(self._users), len(self.items)
        above = feedback.values.astype(np.float64) - self._mean
        places = (feedback.users, feedback.items)
        # Apart, as a rating of the mean is a rating.
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
        self._rated, self._links = times.astype(np.bool_), trust
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

    def _row(self, visitor: Visitor) -> Vector:
        """Deviation and factors: as learned, else solved from the ratings that the visitor comes with."""
        user = self._users.get(visitor.visitor_id)
        if user is not None:
            row: Vector = self._of_users[user]
            return row
        items, values = unknown_visitors_ratings(visitor, self._index)
        places = (np.zeros(len(items), np.int64), items)
        shape = (1, len(self.items))
        sums, times = (
            sparse.coo_array((numbers, places), shape).tocsr()
            for numbers in (values - self._mean, np.ones(len(items)))
        )
        alone = sparse.csr_array((1, 1))
        solved = self._solved(sums, times, self._of_items, alone, np.zeros((1, self.config.factors + 1)))
        found: Vector = solved[0]
        return found

    def _from_linked(self, visitor: Visitor, meets: Vector) -> list[Reason]:
        """What those linked with the visitor add to a score. meets: what its row is multiplied with there."""
        user = self._users.get(visitor.visitor_id)
        if user is None:
            return []
        links, rated = self._links[[user]], self._rated[[user]].indices
        seen = np.hstack([np.ones((len(rated), 1)), self._of_items[rated, 1:]])
        weights, social = self._penalties()
        left = seen.T @ seen + np.diag(weights + links.sum() * social)
        parts = links.data * (self._of_users[links.indices] @ (social * np.linalg.solve(left, meets)))
        return [
            Reason("user", self._user_ids[other], part)
            for other, part in zip(links.indices.tolist(), parts.tolist(), strict=True)
            if part
        ]

    def _penalties(self) -> tuple[Vector, Vector]:
        """Weights of what is squared, and of links: of deviation and factors, (1 + factors,) each."""
        weights = np.full(self.config.factors + 1, self.config.regularisation)
        weights[0] = self.config.bias_regularisation
        social = np.full(self.config.factors + 1, self.config.social)
        social[0] = self.config.bias_social
        return weights, social

    def _solved(self, sums: Any, times: Any, others: Vector, trust: Any, before: Vector) -> Vector:
        """Rows of one side, given those of the other, and for links their own of the turn before."""
        width = others.shape[1]
        seen = np.hstack([np.ones((len(others), 1)), others[:, 1:]])
        squares = (seen[:, :, None] * seen[:, None, :]).reshape(len(seen), -1)
        weights, social = self._penalties()
        found = np.empty((sums.shape[0], width))
        for start in range(0, len(found), _CHUNK):
            part = slice(start, start + _CHUNK)
            left = (times[part] @ squares).reshape(-1, width, width) + np.diag(weights)
            left += trust[part].sum(axis=1)[:, None, None] * np.diag(social)
            right = sums[part] @ seen - times[part] @ (others[:, :1] * seen) + (trust[part] @ before) * social
            found[part] = np.linalg.solve(left, right[:, :, None])[:, :, 0]
        return found
