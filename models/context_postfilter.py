"""Contextual post-filtering: a recommender that knows no context, and what context adds to its scores.

Enters: ratings with contexts. Leaves: the rating that the recommender underneath expects, plus how far
ratings in such a context lie off what it expects: for everything, for this item and for this visitor, each a
mean that is shrunk towards zero. A label unseen in training, or a context that is not told, adds nothing.

Ratings of one pair in different contexts are different observations, which all count. A recommender below, of
which the last alone would count, is given their mean.

Source: Adomavicius and Tuzhilin, "Context-Aware Recommender Systems", Recommender Systems Handbook, 2011,
section 7.3.2 (adjusting); deviations by context: Baltrunas, Ludwig and Ricci, "Matrix Factorization
Techniques for Context Aware Recommendation", RecSys 2011.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from streamrec.contracts import FloatArray, IntArray, TrainOptions, TrainReport
from streamrec.evaluation.folds import predict
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models import recommender_of
from streamrec.models._nodes import OverRatingsConfig, load_parts, save_parts
from streamrec.models._saving import load_state, save_state
from streamrec.models._splitting import observed
from streamrec.recommender import Known, Reason, Recommender, Task, Visitor

__all__ = ["ContextPostfilter", "ContextPostfilterConfig"]

_TURNS: Final = 5


class ContextPostfilterConfig(OverRatingsConfig, frozen=True):
    """Hyperparameters."""

    damping: PositiveFloat = 3.0
    """Ratings without any deviation, which are added to those of each mean."""


class ContextPostfilter:
    """A recommender, and deviations by context; a recommender.Recommender."""

    Config = ContextPostfilterConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})
    goes_by: ClassVar[frozenset[Known]] = frozenset({"contexts"})

    def __init__(self, config: ContextPostfilterConfig | None = None) -> None:
        self.config = config or ContextPostfilterConfig()
        self._base: Recommender = recommender_of(self.config.base)
        self._know([], [], [])
        self._deviations: list[NDArray[np.float64]] = [np.empty((0, 0))] * 3

    @property
    def items(self) -> Sequence[str]:
        """Those of the recommender underneath."""
        return self._base.items

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Train the recommender underneath, then the deviations. Raises DatasetError if it does."""
        plain = replace(feedback, contexts={})
        report = self._base.train(observed(plain, self._base), knowledge, options)
        labels = [
            f"{name}: {label}" for name, each in feedback.contexts.items() for label in dict.fromkeys(each)
        ]
        self._know(feedback.user_ids, feedback.item_ids, labels)
        left: NDArray[np.float64] = feedback.values.astype(np.float64) - predict(self._base, plain).astype(
            np.float64
        )
        told = np.isfinite(left)
        sides = [np.zeros(len(feedback), np.int64)[told], feedback.items[told], feedback.users[told]]
        columns = [
            np.array([self._labels[f"{name}: {label}"] for label in each], np.int64)[told]
            for name, each in feedback.contexts.items()
        ]
        self._deviations = [
            np.zeros((n, len(labels))) for n in (1, len(feedback.item_ids), len(feedback.user_ids))
        ]
        left = left[told]
        for _ in range(_TURNS):
            for side, table in zip(sides, self._deviations, strict=True):
                for column in columns:
                    left = _fitted(side, column, table, left, self.config.damping)
        return report

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The ratings expected in the visitor's context; see recommender.Recommender."""
        named = self.items if items is None else items
        known = np.array([self._index.get(item_id, -1) for item_id in named], np.int64)
        added = [part[known] for _, part in self._added(visitor)]
        found: FloatArray = (self._base.score(visitor, items) + np.sum(added, axis=0)).astype(np.float32)
        return found

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """What speaks for it without context, and each label of the context, as a category."""
        reasons = self._base.explain(visitor, item_id)
        if not reasons or item_id not in self._index:
            return reasons
        index = self._index[item_id]
        reasons += [Reason("category", label, float(part[index])) for label, part in self._added(visitor)]
        return sorted(reasons, key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        ids = {"users": list(self._users), "items": list(self._index), "labels": list(self._labels)}
        numbers = {f"deviations{n}": table for n, table in enumerate(self._deviations)}
        save_state(directory, "ContextPostfilter", self.config, ids, numbers)
        save_parts([self._base], directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "ContextPostfilter", cls.Config)
        model = cls(config)
        model._know(ids["users"], ids["items"], ids["labels"])
        model._deviations = [numbers[f"deviations{n}"] for n in range(3)]
        [model._base] = load_parts([config.base], directory)
        return model

    def _know(self, users: Sequence[str], items: Sequence[str], labels: Sequence[str]) -> None:
        self._users = {user_id: index for index, user_id in enumerate(users)}
        self._index = {item_id: index for index, item_id in enumerate(items)}
        self._labels = {label: index for index, label in enumerate(labels)}

    def _added(self, visitor: Visitor) -> list[tuple[str, NDArray[np.float64]]]:
        """What each label of the context adds to each item, the last for one that is not known."""
        everything, of_items, of_users = self._deviations
        user = self._users.get(visitor.visitor_id)
        found = []
        for name, value in visitor.context.items():
            label = self._labels.get(f"{name}: {value}")
            if label is not None:
                whole = everything[0, label] + (0.0 if user is None else of_users[user, label])
                found.append((f"{name}: {value}", np.append(whole + of_items[:, label], 0.0)))
        return found


def _fitted(
    side: IntArray, column: IntArray, table: NDArray[np.float64], left: NDArray[np.float64], damping: float
) -> NDArray[np.float64]:
    """Put the deviations of one context that fit best into the table; returns what errors are left."""
    left = left + table[side, column]
    cells = side * table.shape[1] + column
    times = np.bincount(cells, minlength=table.size)
    sums = np.bincount(cells, left, minlength=table.size)
    table.ravel()[times > 0] = (sums / (times + damping))[times > 0]
    return left - table[side, column]
