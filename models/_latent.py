"""What recommenders by latent factors have in common.

A score is an offset and a product of vectors: μ + b_i + ⟨d_i, x_u⟩, where d_i is the item's and x_u the
visitor's place. A place is a sum over what the visitor had: each item has its share in it, by a closed form.
So a visitor never seen before is given a place by the items it comes with, and a score is explained by how
much of it each item's share makes up, the ten weightiest told. Places of visitors that were learned are such
sums exactly where training ends with the visitors' own regressions. Those of bpr and nmf are found by steps:
there shares come near, and add up to what a stranger with the same items would be told.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, NamedTuple, Self, TypeVar, cast

import numpy as np
from pydantic import BaseModel

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._ridge import FloatMatrix, IntArray
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Reason, Task, Visitor

__all__ = ["Had", "LatentFactors", "Learned", "Progress"]

C = TypeVar("C", bound=BaseModel)

_MOST_REASONS: Final = 10
"""Items that are told as reasons; those left out weigh less than each of them."""


class Had(NamedTuple):
    """What a visitor had."""

    items: IntArray
    """(n,) by dense index."""
    values: FloatMatrix
    """(n,); NaN where there is no rating."""


class Learned(NamedTuple):
    """What every model by latent factors has learned."""

    offset: float
    """μ."""
    levels: FloatMatrix
    """(items,): b_i; zeros for a model that has none."""
    design: FloatMatrix
    """(items, factors): d_i."""
    places: FloatMatrix
    """(visitors, factors): x_u; NaN for a visitor of whom nothing could be learned."""
    bounds: FloatMatrix
    """(2,): the lowest and the highest score."""
    had: Had
    """Of all visitors, one behind the other."""
    starts: IntArray
    """(visitors + 1,): where each begins there."""
    more: Mapping[str, FloatMatrix] = {}
    """What a model has beside this, by name."""


class Progress:
    """Counts epochs and their losses."""

    def __init__(self, n_events: int, epochs: int, options: TrainOptions | None) -> None:
        self._n_events, self._epochs = n_events, epochs
        self._on_step = None if options is None else options.on_step
        self.losses: list[float] = []
        self._done = 0

    def __call__(self, loss: float | None) -> None:
        """An epoch is done."""
        self._done += 1
        if loss is not None:
            self.losses.append(loss)
        if self._on_step is not None:
            total = self._epochs * self._n_events
            self._on_step(self._done * self._n_events, total, float("nan") if loss is None else loss)

    @property
    def report(self) -> TrainReport:
        """What training came to."""
        return TrainReport(self._done * self._n_events, self.losses)


class LatentFactors(ABC, Generic[C]):
    """A recommender.Recommender, but for how it is fitted and what share in a place each item has."""

    Config: ClassVar[type[BaseModel]]
    tasks: ClassVar[frozenset[Task]]
    _knows_levels: ClassVar[bool] = False
    """Whether the offset and the levels alone say something: of a visitor of whom nothing is known."""

    def __init__(self, config: C | None = None) -> None:
        self.config: C = config or cast(C, self.Config())
        self.items: Sequence[str] = []
        self._users: dict[str, int] = {}
        self._index: dict[str, int] = {}
        nothing = Had(np.empty(0, np.int64), np.empty(0))
        self._learned = Learned(
            0.0,
            np.empty(0),
            np.empty((0, 0)),
            np.empty((0, 0)),
            np.array([-np.inf, np.inf]),
            nothing,
            np.zeros(1, np.int64),
        )

    @abstractmethod
    def _fit(self, feedback: Feedback, options: TrainOptions) -> tuple[Learned, TrainReport]:
        """What can be learned of feedback that is not empty."""

    @abstractmethod
    def _shares(self, had: Had, learned: Learned) -> FloatMatrix:
        """What each item that a visitor had adds to its place, (n, factors). had: never empty."""

    @abstractmethod
    def _counted(self, had: Had) -> Had:
        """That part of what an unknown visitor had that says something to the model."""

    @abstractmethod
    def _level_reasons(self, index: int) -> list[Reason]:
        """What of an item's score has nothing to do with the visitor."""

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Fit to feedback; see recommender.Recommender. Raises DatasetError if there is none."""
        if not len(feedback):
            raise DatasetError("there are no interactions to learn from")
        learned, report = self._fit(feedback, options or TrainOptions())
        self._know(feedback.user_ids, feedback.item_ids, learned)
        return report

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """Offset, level and the product of vectors; see recommender.Recommender."""
        learned, place = self._learned, self._place(visitor)
        if items is None and place is not None:
            # Without a copy of all vectors, which would take longer than the products.
            everything = learned.offset + learned.levels + learned.design @ place
            return np.clip(everything, *learned.bounds).astype(np.float32)
        chosen = (
            np.arange(len(self.items))
            if items is None
            else np.array([self._index.get(item_id, -1) for item_id in items], np.int64)
        )
        scores = np.full(len(chosen), np.nan, np.float32)
        there = chosen >= 0
        if place is not None and there.any():
            known = chosen[there]
            found = learned.offset + learned.levels[known] + learned.design[known] @ place
            scores[there] = np.clip(found, *learned.bounds)
        return scores

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """The items that the visitor had, by their shares in the score, and its offset and level."""
        index = self._index.get(item_id)
        if index is None or self._place(visitor) is None:
            return []
        had, reasons = self._had(visitor), self._level_reasons(index)
        if len(had.items):
            parts = self._shares(had, self._learned) @ self._learned.design[index]
            most = np.argsort(-np.abs(parts), kind="stable")[:_MOST_REASONS].tolist()
            reasons += [Reason("item", self.items[had.items[place]], float(parts[place])) for place in most]
        return sorted(reasons, key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        learned = self._learned
        numbers: dict[str, Any] = {
            "offset": np.array(learned.offset),
            "levels": learned.levels,
            "design": learned.design,
            "places": learned.places,
            "bounds": learned.bounds,
            "had_items": learned.had.items,
            "had_values": learned.had.values,
            "starts": learned.starts,
        }
        numbers |= {f"more_{name}": array for name, array in learned.more.items()}
        ids = {"users": list(self._users), "items": self.items}
        save_state(directory, type(self).__name__, self.config, ids, numbers)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, cls.__name__, cls.Config)
        model = cls(cast(C, config))
        learned = Learned(
            float(numbers["offset"]),
            numbers["levels"],
            numbers["design"],
            numbers["places"],
            numbers["bounds"],
            Had(numbers["had_items"], numbers["had_values"]),
            numbers["starts"],
            {
                name.removeprefix("more_"): array
                for name, array in numbers.items()
                if name.startswith("more_")
            },
        )
        model._know(ids["users"], ids["items"], learned)
        return model

    def _know(self, user_ids: Sequence[str], item_ids: Sequence[str], learned: Learned) -> None:
        self.items = list(item_ids)
        self._users = {user_id: index for index, user_id in enumerate(user_ids)}
        self._index = {item_id: index for index, item_id in enumerate(item_ids)}
        self._learned = learned

    def _place(self, visitor: Visitor) -> FloatMatrix | None:
        """As learned, else by what it comes with; none where that says nothing."""
        learned, user = self._learned, self._users.get(visitor.visitor_id)
        if user is not None:
            place: FloatMatrix = learned.places[user]
            return None if np.isnan(place).any() else place
        had = self._had(visitor)
        if len(had.items):
            folded_in: FloatMatrix = self._shares(had, learned).sum(0)
            return folded_in
        return np.zeros(learned.design.shape[1]) if self._knows_levels else None

    def _had(self, visitor: Visitor) -> Had:
        """What the model has learned of a visitor, else what of it comes with it."""
        learned, user = self._learned, self._users.get(visitor.visitor_id)
        if user is not None:
            part = slice(learned.starts[user], learned.starts[user + 1])
            return Had(learned.had.items[part], learned.had.values[part])
        values = [*visitor.values, *[np.nan] * len(visitor.items)]
        pairs = [
            (self._index[item_id], value)
            for item_id, value in zip(visitor.items, values, strict=False)
            if item_id in self._index
        ]
        items, of_items = zip(*pairs, strict=True) if pairs else ((), ())
        return self._counted(Had(np.array(items, np.int64), np.array(of_items, np.float64)))
