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
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat
from scipy import sparse

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
_PARTS: Final = ("data", "indices", "indptr")


class ContextPostfilterConfig(OverRatingsConfig, frozen=True):
    """Hyperparameters."""

    damping: PositiveFloat = 3.0
    """Ratings without any deviation, which are added to those of each mean."""


class ContextPostfilter:
    """A recommender, and deviations by context; a recommender.Recommender."""

    Config = ContextPostfilterConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})
    goes_by: ClassVar[frozenset[Known]] = frozenset({"contexts"})
    takes_repeats: ClassVar[bool] = True

    def __init__(self, config: ContextPostfilterConfig | None = None) -> None:
        self.config = config or ContextPostfilterConfig()
        self._base: Recommender = recommender_of(self.config.base)
        self._know([], [], [])
        # (n, labels) of everything, of items and of visitors: only the cells that occur.
        self._deviations: list[Any] = [sparse.csc_array((0, 0))] * 3

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
        left = left[told]
        sizes = 1, len(feedback.item_ids), len(feedback.user_ids)
        cells = [_cells(side, columns, size) for side, size in zip(sides, sizes, strict=True)]
        tables = [np.zeros(len(keys)) for keys, _ in cells]
        for _ in range(_TURNS):
            for (_, places), table in zip(cells, tables, strict=True):
                for place in places:
                    left = _fitted(place, table, left, self.config.damping)
        self._deviations = [
            sparse.csc_array((table, (keys % size, keys // size)), shape=(size, len(labels)))
            for (keys, _), table, size in zip(cells, tables, sizes, strict=True)
        ]
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
        numbers = {
            f"{part}{n}": getattr(table, part) for n, table in enumerate(self._deviations) for part in _PARTS
        }
        save_state(directory, "ContextPostfilter", self.config, ids, numbers)
        save_parts([self._base], directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "ContextPostfilter", cls.Config)
        model = cls(config)
        model._know(ids["users"], ids["items"], ids["labels"])
        sizes = 1, len(ids["items"]), len(ids["users"])
        model._deviations = [
            sparse.csc_array(
                tuple(numbers[f"{part}{n}"] for part in _PARTS), shape=(size, len(ids["labels"]))
            )
            for n, size in enumerate(sizes)
        ]
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
                found.append((f"{name}: {value}", np.append(whole + of_items[:, [label]].toarray(), 0.0)))
        return found


def _cells(side: IntArray, columns: Sequence[IntArray], size: int) -> tuple[IntArray, IntArray]:
    """Which pairs of a label and a side's index occur: (m,) ascending label * size + index, and their places.

    side: (n,). columns: (n,) labels each. Places: (columns, n).
    """
    pairs = [label * size + side for label in columns]
    keys, places = np.unique(np.concatenate([np.empty(0, np.int64), *pairs]), return_inverse=True)
    return keys, places.reshape(len(columns), len(side))


def _fitted(
    place: IntArray, table: NDArray[np.float64], left: NDArray[np.float64], damping: float
) -> NDArray[np.float64]:
    """Put the deviations of one context that fit best into the table; returns what errors are left.

    place: (n,) of each rating in the table.
    """
    left = left + table[place]
    times = np.bincount(place, minlength=len(table))
    sums = np.bincount(place, left, minlength=len(table))
    table[times > 0] = (sums / (times + damping))[times > 0]
    return left - table[place]
