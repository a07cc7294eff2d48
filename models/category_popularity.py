"""Category popularity: what has been had most in the categories that the visitor has been at.

Enters: interactions, and the categories of items, as on the items topic. Leaves: the probability of each
item if one first draws a category by the visitor's own interactions and then an item by how often it was
had in there, Σ_c P(c | visitor) P(item | c). An item of m categories counts 1/m in each. Items of the
catalogue that nobody has had yet have a score by their categories; a visitor of whom nothing is known gets
what is popular overall.

Source: the mixture is the aspect model of Hofmann and Puzicha, "Latent Class Models for Collaborative
Filtering", IJCAI 1999, with categories that are known instead of latent ones, so that it is counted, not
fitted.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveFloat

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._growing import Growing
from streamrec.models._popularity import DecayedCounts
from streamrec.models._rating_table import chosen
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Known, Reason, Task, Visitor

__all__ = ["CategoryPopularity", "CategoryPopularityConfig"]

Numbers = NDArray[np.float64]

_NO_CATEGORY = ""


class CategoryPopularityConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    half_life_s: PositiveFloat | None = None
    """Time in which an interaction with an item loses half its weight, seconds; none: all count alike."""
    user_damping: PositiveFloat = 5.0
    """Interactions of all visitors' categories that are added to those of each visitor."""
    item_damping: PositiveFloat = 0.1
    """Interactions that are added to those with each item, so that new ones have a score."""


class CategoryPopularity:
    """Counts by category; a recommender.StreamRecommender."""

    Config = CategoryPopularityConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"top-n"})
    goes_by: ClassVar[frozenset[Known]] = frozenset({"items"})

    def __init__(self, config: CategoryPopularityConfig | None = None) -> None:
        self.config = config or CategoryPopularityConfig()
        self._forget({}, [])

    def _forget(self, catalogue: Mapping[str, Sequence[str]], item_ids: Sequence[str]) -> None:
        """Begin anew, with items of known categories."""
        self._catalogue = catalogue
        self._index: dict[str, int] = {}
        self._categories: dict[str, int] = {}
        self._of_items: list[Sequence[int]] = []
        # Pairs of an item and a category of it.
        none = np.empty(0, np.int64)
        self._pair_items, self._pair_categories = Growing(none), Growing(none)
        self._pair_shares = Growing(np.empty(0))
        self._visitors: dict[str, dict[int, float]] = {}
        self._counts = DecayedCounts(self.config.half_life_s, np.empty(0), np.empty(0))
        for item_id in item_ids:
            self._know(item_id)

    @property
    def items(self) -> Sequence[str]:
        """See recommender.Recommender; those of the catalogue are among them."""
        return list(self._index)

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Count interactions by item, category and visitor. Raises DatasetError if there are none."""
        if not len(feedback):
            raise DatasetError("there are no interactions to count")
        catalogue = {item_id: item.categories for item_id, item in knowledge.items.items()}
        self._forget(catalogue, [*feedback.item_ids, *catalogue])
        self._counts = DecayedCounts.of(
            self.config.half_life_s, feedback.items, feedback.time_ms, len(self._index)
        )
        for user, item in zip(feedback.users.tolist(), feedback.items.tolist(), strict=True):
            self._was_at(feedback.user_ids[user], item)
        if options is not None and options.on_step is not None:
            options.on_step(len(feedback), len(feedback), float("nan"))
        return TrainReport(len(feedback), [])

    def learn_one(self, user_id: str, item_id: str, value: float = 1.0, time_ms: int = 0) -> None:
        """See recommender.StreamRecommender. Categories are those of the catalogue in training."""
        item = self._know(item_id)
        self._counts.add(item, time_ms)
        self._was_at(user_id, item)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The probabilities of items; see recommender.Recommender."""
        if not self._index:
            return chosen(np.empty(0), {}, items)
        pairs = self._pairs(visitor)
        scores = np.bincount(self._pair_items.values, pairs, minlength=len(self._index))
        return chosen(scores.astype(np.float64), self._index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """The item's categories, whose parts add up to the score."""
        index = self._index.get(item_id)
        if index is None:
            return []
        names = list(self._categories)
        places = np.flatnonzero(self._pair_items.values == index)
        parts = zip(self._pair_categories.values[places].tolist(), self._pairs(visitor)[places], strict=True)
        reasons = [
            Reason("category" if names[category] else "popularity", names[category], float(part))
            for category, part in parts
        ]
        return sorted(reasons, key=lambda reason: -reason.weight)

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        visits = [(user, *pair) for user, own in enumerate(self._visitors.values()) for pair in own.items()]
        arrays = {
            "visits": np.array([visit[:2] for visit in visits], np.int64).reshape(-1, 2),
            "weights": np.array([visit[2] for visit in visits], np.float64),
            "n_categories": np.array([len(own) for own in self._catalogue.values()], np.int64),
            **self._counts.arrays("items"),
        }
        ids = {
            "items": self.items,
            "users": list(self._visitors),
            "catalogue": list(self._catalogue),
            "categories": [category for own in self._catalogue.values() for category in own],
        }
        save_state(directory, "CategoryPopularity", self.config, ids, arrays)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, arrays = load_state(directory, "CategoryPopularity", cls.Config)
        model = cls(config)
        ends = np.cumsum(arrays["n_categories"]).tolist()
        catalogue = {
            item_id: ids["categories"][start:end]
            for item_id, start, end in zip(ids["catalogue"], [0, *ends], ends, strict=False)
        }
        model._forget(catalogue, ids["items"])
        model._counts = DecayedCounts.saved(config.half_life_s, "items", arrays)
        model._visitors = {user_id: {} for user_id in ids["users"]}
        own = list(model._visitors.values())
        for (user, category), weight in zip(
            arrays["visits"].tolist(), arrays["weights"].tolist(), strict=True
        ):
            own[user][category] = weight
        return model

    def _know(self, item_id: str) -> int:
        """The item's index; of a new one, the next."""
        index = self._index.setdefault(item_id, len(self._index))
        if index < len(self._of_items):
            return index
        names = dict.fromkeys(self._catalogue.get(item_id, ())) or (_NO_CATEGORY,)
        own = [self._categories.setdefault(name, len(self._categories)) for name in names]
        self._of_items.append(own)
        for category in own:
            self._pair_items.append(index)
            self._pair_categories.append(category)
            self._pair_shares.append(1.0 / len(own))
        return index

    def _was_at(self, user_id: str, item: int) -> None:
        visits = self._visitors.setdefault(user_id, {})
        own = self._of_items[item]
        for category in own:
            visits[category] = visits.get(category, 0.0) + 1.0 / len(own)

    def _pairs(self, visitor: Visitor) -> Numbers:
        """For each pair of item and category P(category | visitor) P(item | category)."""
        items, categories = self._pair_items.values, self._pair_categories.values
        counts = self._counts.at(self._counts.newest_ms()) + self.config.item_damping
        of_pairs = counts[items] * self._pair_shares.values
        of_categories = np.bincount(categories, of_pairs)
        wanted = self.config.user_damping * of_categories / of_categories.sum()
        for category, weight in self._visits(visitor).items():
            wanted[category] += weight
        chances: Numbers = of_pairs * (wanted / wanted.sum() / of_categories)[categories]
        return chances

    def _visits(self, visitor: Visitor) -> Mapping[int, float]:
        """How often the visitor has been at which categories: as learned, else by what it comes with."""
        known = self._visitors.get(visitor.visitor_id)
        if known is not None:
            return known
        found: dict[int, float] = {}
        for item_id in visitor.items:
            own = self._of_items[self._index[item_id]] if item_id in self._index else ()
            for category in own:
                found[category] = found.get(category, 0.0) + 1.0 / len(own)
        return found
