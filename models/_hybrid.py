"""What hybrid recommenders share: parts that are recommenders, and scores made of theirs.

Enters: feedback and knowledge, which every part is given. Leaves: one score an item, made of what the parts
say of it; for ratings item by item, for lists out of the order of all items, in which what the visitor had
plays no part.

A hybrid learns from streams if all its parts do, as they are configured: it then has `learn_one`, and else
has none. It can score new items if a part can: it then has `add_item` and `forget_item`.

Source: Burke, "Hybrid Recommender Systems: Survey and Experiments", User Modeling and User-Adapted
Interaction 12, 2002, section 3, names the kinds.
"""

from abc import ABC, abstractmethod
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, PositiveFloat, model_validator
from pydantic_core import PydanticCustomError

from streamrec.contracts import FloatArray, IntArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.events import Item
from streamrec.feedback import NOTHING, Feedback, Knowledge, checked_value
from streamrec.models import recommender_of
from streamrec.models._nodes import Node, load_parts, save_parts
from streamrec.models._progress import part_options
from streamrec.models._rating_table import chosen
from streamrec.models._saving import load_state, save_state
from streamrec.models._scales import Floats
from streamrec.models._splitting import takes_repeats
from streamrec.recommender import ItemLearner, Reason, Recommender, Task, Visitor

__all__ = ["Hybrid", "Part", "Parts", "merged"]


class Part(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A part of a hybrid, and how much it counts."""

    weight: PositiveFloat = 1.0
    """How much, against the other parts."""
    node: Node
    """The recommender."""

    @model_validator(mode="before")
    @classmethod
    def _is_a_part(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and "node" not in given:
            raise PydanticCustomError(
                "node", "a part has its recommender under `node`, and `weight` beside it"
            )
        return given


def _some(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    if not parts:
        raise PydanticCustomError("node", "at least one part is needed")
    return parts


Parts = Annotated[tuple[Part, ...], AfterValidator(_some)]
"""The parts of a hybrid that may have any number."""


class Hybrid(ABC):
    """Parts, what visitors had, and a score made of the parts' scores."""

    Config: ClassVar[Any]
    tasks: ClassVar[frozenset[Task]]

    def __init__(self, config: Any = None) -> None:
        self.config = config or self.Config()
        self._parts: Sequence[Recommender] = [recommender_of(node) for node in self._nodes()]
        self._know([], {})
        if all(map(_streams, self._parts)):
            self.learn_one = self._learn_one
        if any(isinstance(part, ItemLearner) for part in self._parts):
            self.add_item = self._add_item
            self.forget_item = self._forget_item

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Train every part on the same. Raises DatasetError if there is nothing to learn from."""
        if not len(feedback):
            raise DatasetError("there is no feedback to learn from")
        reports = [
            part.train(feedback, knowledge, part_options(options, number, len(self._parts), len(feedback)))
            for number, part in enumerate(self._parts)
        ]
        order = np.argsort(feedback.users, kind="stable")
        ends = np.cumsum(np.bincount(feedback.users))[:-1]
        had = np.split(feedback.items[order], ends)
        items = dict.fromkeys(chain(feedback.item_ids, *(part.items for part in self._parts)))
        self._know(
            list(items),
            {
                each: array("q", np.unique(of).tolist())
                for each, of in zip(feedback.user_ids, had, strict=True)
            },
        )
        return TrainReport(
            sum(report.events for report in reports), [loss for report in reports for loss in report.losses]
        )

    @property
    def items(self) -> Sequence[str]:
        """Those of feedback, then those that only some part has."""
        return list(self._index)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """Made of the parts' scores; see recommender.Recommender."""
        if self._foretells():
            rated = self._together(self._table(visitor, items), self._history(visitor))
            found: FloatArray = rated.astype(np.float32)
            return found
        # Places are those among all items, whatever is asked for.
        return chosen(self._together(self._table(visitor), self._history(visitor)), self._index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """The reasons of the parts that made the score, each part's as much as it made of it."""
        place = self._index.get(item_id)
        if place is None or np.isnan(self.score(visitor, [item_id])[0]):
            return []
        if self._foretells():
            table, place = self._table(visitor, [item_id]), 0
        else:
            table = self._table(visitor)
        told = []
        shares = self._shares(table, self._history(visitor), place).tolist()
        for part, share in zip(self._parts, shares, strict=True):
            reasons = part.explain(visitor, item_id) if share else []
            # A rating is the sum of its reasons; of lists' reasons only the proportions have a meaning.
            total = 1.0 if self._foretells() else sum(abs(reason.weight) for reason in reasons) or 1.0
            told += [reason._replace(weight=reason.weight * share / total) for reason in reasons]
        return merged(told)

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        had = list(self._had.values())
        ids = {"items": self.items, "users": list(self._had)}
        numbers = {
            "lengths": np.array([len(items) for items in had], np.int64),
            "had": np.concatenate([np.empty(0, np.int64), *(np.array(items) for items in had)]),
        }
        save_state(directory, type(self).__name__, self.config, ids, numbers)
        save_parts(self._parts, directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, cls.__name__, cls.Config)
        model = cls(config)
        model._parts = load_parts(model._nodes(), directory)
        had = np.split(numbers["had"], np.cumsum(numbers["lengths"])[:-1])
        users = zip(ids["users"], had, strict=False)
        model._know(ids["items"], {user_id: array("q", items.tolist()) for user_id, items in users})
        return model

    @abstractmethod
    def _nodes(self) -> Sequence[Mapping[str, Any]]:
        """Of all parts."""

    @abstractmethod
    def _together(self, table: Floats, had: IntArray) -> Floats:
        """The scores of the items of the table, (n,).

        table: (parts, n), NaN where a part cannot tell; all items, if not of ratings. had: what the visitor
        had, by index.
        """

    @abstractmethod
    def _shares(self, table: Floats, had: IntArray, place: int) -> Floats:
        """What each part makes up of the score of an item that has one, (parts,); 0 if it has no part in it.

        For ratings by what its score is multiplied; for lists what it adds, or more where it counts more.
        """

    def check_one(self, user_id: str, item_id: str, value: float) -> None:
        """Raise DatasetError if a part would refuse to learn it."""
        checked_value(user_id, item_id, value)
        for part in self._parts:
            if hasattr(part, "check_one"):
                part.check_one(user_id, item_id, value)

    @property
    def takes_repeats(self) -> bool:
        """Whether a part wants several ratings of a pair as they are."""
        return takes_repeats(*self._parts)

    def _foretells(self) -> bool:
        """Whether scores are ratings."""
        return bool(getattr(self.config, "task", "top-n") == "rating")

    def _new(self, had: IntArray) -> NDArray[np.bool_]:
        """Which of all items the visitor did not have."""
        new = np.ones(len(self._index), bool)
        new[had] = False
        return new

    def _learn_one(self, user_id: str, item_id: str, value: float = 1.0, time_ms: int = 0) -> None:
        """Let every part learn it; see recommender.StreamRecommender."""
        # Before any part has learned what another refuses.
        self.check_one(user_id, item_id, value)
        place = self._index.setdefault(item_id, len(self._index))
        for part in self._parts:
            part.learn_one(user_id, item_id, value, time_ms)  # type: ignore[attr-defined]
        had = self._had.setdefault(user_id, array("q"))
        if place not in had:
            had.append(place)

    def _add_item(self, item: Item) -> None:
        """Let the parts know it that learn items; see recommender.ItemLearner."""
        for part in self._parts:
            if isinstance(part, ItemLearner):
                part.add_item(item)
        self._index.setdefault(item.item_id, len(self._index))

    def _forget_item(self, item_id: str) -> None:
        """Let the parts forget it that learn items; see recommender.ItemLearner."""
        for part in self._parts:
            if isinstance(part, ItemLearner):
                part.forget_item(item_id)

    def _know(self, items: Sequence[str], had: dict[str, "array[int]"]) -> None:
        self._index = {item_id: index for index, item_id in enumerate(items)}
        self._had = had
        # Of each part, where its items are among ours.
        self._places = [np.empty(0, np.int64) for _ in self._parts]

    def _table(self, visitor: Visitor, items: Sequence[str] | None = None) -> Floats:
        """What each part says of the items, or of all, (parts, n)."""
        if items is not None:
            return np.array([part.score(visitor, items) for part in self._parts], np.float64)
        table = np.full((len(self._parts), len(self._index)), np.nan)
        for number, part in enumerate(self._parts):
            # To be asked by name would take longer, for a part and for all that are in it.
            scores = part.score(visitor)
            if len(scores) != len(self._places[number]):
                self._places[number] = np.array([self._index[item_id] for item_id in part.items], np.int64)
            table[number, self._places[number]] = scores
        return table

    def _history(self, visitor: Visitor) -> IntArray:
        """What the visitor had, by index, each once: as learned, else what it comes with."""
        had = self._had.get(visitor.visitor_id)
        if had is None:
            known = dict.fromkeys(visitor.items)
            return np.array([self._index[item_id] for item_id in known if item_id in self._index], np.int64)
        return np.array(had, np.int64)


def _streams(part: Recommender) -> bool:
    """Whether a part learns from streams as it is configured."""
    return hasattr(part, "learn_one") and getattr(part, "streams", True)


def merged(reasons: Iterable[Reason]) -> list[Reason]:
    """Weightiest first; what is told more than once is one reason."""
    found: defaultdict[tuple[Any, str], float] = defaultdict(float)
    for kind, of, weight in reasons:
        found[kind, of] += weight
    return sorted(
        (Reason(*each, weight) for each, weight in found.items()), key=lambda each: -abs(each.weight)
    )
