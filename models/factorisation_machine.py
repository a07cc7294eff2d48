"""Factorisation machine: ratings from visitor, item and context, and from how pairs of these go together.

Enters: ratings, with contexts or without. Leaves: the rating expected, w_0 + Σ w_x + Σ v_x · v_y: a weight
for the visitor, the item and each label of the context, and a product of factors for each pair of them. So
the same item may be worth more at the weekend, and to one visitor more so than to another: contextual
modelling.

Everything is found in closed form by turns (see `_machine`), and by default with it how far it is held back.
A label that training has not seen, or a context that is not told, adds nothing, which is what labels add on
average.

Each rating is an observation: a pair may be rated in several contexts, told or not, and then all its ratings
count. From how they differ it is found how far the others are to be trusted.

Source: Rendle, "Factorization Machines with libFM", ACM TIST 3(3), 2012, alternating least squares;
Rendle et al., "Fast Context-aware Recommendations with Factorization Machines", SIGIR 2011. By hand: kept
libraries of it are not to be had for current Python versions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveFloat, PositiveInt

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._machine import Machine, pairs
from streamrec.models._rating_table import chosen, unknown_visitors_ratings
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Reason, Task, Visitor

__all__ = ["FactorisationMachine", "FactorisationMachineConfig"]

Vector = NDArray[np.float64]


class FactorisationMachineConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    factors: PositiveInt = 20
    """Width of v_x."""
    epochs: PositiveInt = 20
    """Turns: every weight, then every factor."""
    weight_regularisation: PositiveFloat | None = None
    """Ratings that say nothing, added to those of each weight; None: as many as fit the ratings, for each
    column by itself."""
    regularisation: PositiveFloat | None = None
    """Weight of the squared factors; None: found likewise, for each column and factor by itself."""


class FactorisationMachine:
    """Weights and factors by column: visitors, items, contexts; a recommender.Recommender."""

    Config = FactorisationMachineConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})
    takes_repeats: ClassVar[bool] = True
    """All ratings of a pair count, not the last alone."""

    def __init__(self, config: FactorisationMachineConfig | None = None) -> None:
        self.config = config or FactorisationMachineConfig()
        self._know([], [], {})
        self._mean = 0.0
        self._held_back: Vector = np.empty(0)
        self._weights: list[Vector] = [np.empty(0)] * 2
        self._factors: list[Vector] = [np.empty((0, self.config.factors))] * 2

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Solve all weights by turns. Raises DatasetError if there are no ratings."""
        if not len(feedback):
            raise DatasetError("there are no ratings to learn from")
        options = options or TrainOptions()
        self._know(
            feedback.user_ids,
            feedback.item_ids,
            {name: list(dict.fromkeys(column)) for name, column in feedback.contexts.items()},
        )
        columns = [feedback.users, feedback.items]
        for name, labels in self._labels.items():
            columns.append(np.array([labels[label] for label in feedback.contexts[name]], np.int64))
        self._mean = float(feedback.values.mean(dtype=np.float64))
        rng = np.random.default_rng(options.seed)
        sizes = [len(self._users), len(self.items), *map(len, self._labels.values())]
        machine = Machine(
            columns,
            feedback.values.astype(np.float64) - self._mean,
            [rng.normal(0, 0.1, (size, self.config.factors)) for size in sizes],
            self.config.weight_regularisation,
            self.config.regularisation,
        )
        losses: list[float] = []
        for loss in machine.epochs(self.config.epochs):
            losses.append(loss)
            if options.on_step is not None:
                options.on_step(len(losses) * len(feedback), self.config.epochs * len(feedback), loss)
        self._mean += sum(machine.centre(place) for place in range(2, len(columns)))
        self._weights, self._factors = machine.weights, machine.factors
        self._held_back = machine.held_back(0)
        return TrainReport(self.config.epochs * len(feedback), losses)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The ratings expected in the visitor's context; see recommender.Recommender."""
        base, taste = self._sides(visitor)
        # Row by row, so that a score does not depend on what else is asked for.
        scores = base + self._weights[1] + np.einsum("nf,f->n", self._factors[1], taste)
        return chosen(scores, self._index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """Mean, item with how it fits, and visitor with context: they add up to the score."""
        index = self._index.get(item_id)
        if index is None:
            return []
        base, taste = self._sides(visitor)
        parts = [
            Reason("rating", "", self._mean),
            Reason("user", visitor.visitor_id, base - self._mean),
            Reason("item", item_id, float(self._weights[1][index] + self._factors[1][index] @ taste)),
        ]
        return sorted(parts, key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        numbers: dict[str, Vector] = {"mean": np.array(self._mean), "held_back": self._held_back}
        for place, (weights, factors) in enumerate(zip(self._weights, self._factors, strict=True)):
            numbers |= {f"weights{place}": weights, f"factors{place}": factors}
        ids = {"users": list(self._users), "items": self.items, "contexts": list(self._labels)}
        labels = {f"context{n}": list(known) for n, known in enumerate(self._labels.values())}
        save_state(directory, "FactorisationMachine", self.config, {**ids, **labels}, numbers)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "FactorisationMachine", cls.Config)
        model = cls(config)
        labels = {name: ids[f"context{n}"] for n, name in enumerate(ids["contexts"])}
        model._know(ids["users"], ids["items"], labels)
        model._mean, model._held_back = float(numbers["mean"]), numbers["held_back"]
        model._weights = [numbers[f"weights{place}"] for place in range(2 + len(labels))]
        model._factors = [numbers[f"factors{place}"] for place in range(2 + len(labels))]
        return model

    def _know(
        self, user_ids: Sequence[str], item_ids: Sequence[str], labels: Mapping[str, Sequence[str]]
    ) -> None:
        self.items: Sequence[str] = list(item_ids)
        self._users = {user_id: index for index, user_id in enumerate(user_ids)}
        self._index = {item_id: index for index, item_id in enumerate(item_ids)}
        self._labels = {name: {label: n for n, label in enumerate(known)} for name, known in labels.items()}

    def _sides(self, visitor: Visitor) -> tuple[float, Vector]:
        """What visitor and context come to without the item, and what meets the item's factors."""
        known = [
            (place, self._labels[name][visitor.context[name]])
            for place, name in enumerate(self._labels, 2)
            if visitor.context.get(name) in self._labels[name]
        ]
        rows = [self._factors[place][label] for place, label in known]
        base = self._mean + sum(float(self._weights[place][label]) for place, label in known)
        weight, own = self._own(visitor)
        rows.append(own)
        together = float(pairs([row[None] for row in rows])[0])
        return base + weight + together, np.sum(rows, axis=0)

    def _own(self, visitor: Visitor) -> tuple[float, Vector]:
        """Weight and factors of the visitor: as learned, else solved from the ratings that it comes with."""
        user = self._users.get(visitor.visitor_id)
        if user is not None:
            return float(self._weights[0][user]), self._factors[0][user]
        items, values = unknown_visitors_ratings(visitor, self._index)
        if not len(items):
            return 0.0, np.zeros(self.config.factors)
        above = values - self._mean - self._weights[1][items]
        seen = np.hstack([np.ones((len(items), 1)), self._factors[1][items]])
        solved = np.linalg.solve(seen.T @ seen + np.diag(self._held_back), seen.T @ above)
        return float(solved[0]), solved[1:]
