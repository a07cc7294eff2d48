"""Contextual pre-filtering by splitting: what is rated otherwise in some context becomes two.

Enters: ratings with contexts. Leaves: what the recommender underneath says, which was trained on split
visitors and items and knows no context, for the halves that the visitor's context chooses. A visitor or an
item is split by the label under which ratings differ most from the others, if they differ by more than
chance: by Welch's t. Where the context is not told, a visitor is its larger half, and a score the mean of
both halves of an item by their ratings.

Source: Baltrunas and Ricci, "Experimental Evaluation of Context-dependent Collaborative Filtering Using Item
Splitting", User Modeling and User-Adapted Interaction 24, 2014; Zheng, Burke and Mobasher, "Splitting
Approaches for Context-aware Recommendation: An Empirical Study", SAC 2014.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from streamrec.contracts import FloatArray, IntArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge, make_feedback
from streamrec.models import recommender_of
from streamrec.models._nodes import OverBaseConfig, load_parts, save_parts
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Reason, Recommender, Task, Visitor

__all__ = ["ContextPrefilter", "ContextPrefilterConfig"]

_Split = tuple[str, str, float]

_INSIDE: Final = "\x1finside"
"""What is put after an id for ratings under its label; the control character keeps ids apart."""


class ContextPrefilterConfig(OverBaseConfig, frozen=True):
    """Hyperparameters."""

    split: Literal["items", "users", "both"] = "both"
    """What is split."""
    t: PositiveFloat = 4.0
    """Welch's t from which one is split; high, for the best of many labels is tested."""
    ratings: int = Field(default=5, ge=2)
    """Ratings that each half has to have."""


class ContextPrefilter:
    """A recommender of halves, and what splits them; a recommender.Recommender."""

    Config = ContextPrefilterConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})

    def __init__(self, config: ContextPrefilterConfig | None = None) -> None:
        self.config = config or ContextPrefilterConfig()
        self._base: Recommender = recommender_of(self.config.base)
        self.items: Sequence[str] = []
        # By id: name and label of the context, and the share of the ratings that were under it.
        self._splits: dict[str, _Split] = {}
        self._user_splits: dict[str, _Split] = {}

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Split, then train the recommender underneath. Raises DatasetError if there are no ratings."""
        if not len(feedback):
            raise DatasetError("there are no ratings to learn from")
        wanted = self.config.split
        self._splits, self._user_splits = {}, {}
        if wanted != "users":
            self._splits = self._found(feedback, feedback.items, feedback.item_ids)
        if wanted != "items":
            self._user_splits = self._found(feedback, feedback.users, feedback.user_ids)
        items = _halves(feedback, feedback.items, feedback.item_ids, self._splits)
        users = _halves(feedback, feedback.users, feedback.user_ids, self._user_splits)
        halves = make_feedback(users, items, feedback.values, feedback.time_ms)
        records = dict(knowledge.items)
        for item_id in self._splits:
            if item_id in records:
                inside = item_id + _INSIDE
                records[inside] = msgspec.structs.replace(records[item_id], item_id=inside)
        report = self._base.train(halves, knowledge._replace(items=records), options)
        self.items = list(dict.fromkeys(item_id.removesuffix(_INSIDE) for item_id in self._base.items))
        return report

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The scores in the visitor's context; see recommender.Recommender."""
        # A half that is asked for by its inner id is none of ours.
        named = [
            "" if _INSIDE in item_id else item_id for item_id in (self.items if items is None else items)
        ]
        asked = self._asked(visitor)
        outside = self._base.score(asked, named)
        inside = self._base.score(asked, [item_id + _INSIDE for item_id in named])
        share = np.array([self._share(visitor, item_id) for item_id in named])
        mixed = share * np.where(share > 0, inside, 0) + (1 - share) * np.where(share < 1, outside, 0)
        found: FloatArray = mixed.astype(np.float32)
        return found

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """What speaks for the half that the context chooses, or the larger one if that is not told."""
        if _INSIDE in item_id:
            return []
        half = item_id + _INSIDE if self._share(visitor, item_id) > 0.5 else item_id
        reasons = self._base.explain(self._asked(visitor), half)
        return [reason._replace(of=reason.of.removesuffix(_INSIDE)) for reason in reasons]

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        ids: dict[str, Sequence[str]] = {"items": self.items}
        shares = {}
        for kind, splits in (("item", self._splits), ("user", self._user_splits)):
            ids[f"{kind}s split"] = list(splits)
            ids[f"{kind} names"] = [name for name, _, _ in splits.values()]
            ids[f"{kind} labels"] = [label for _, label, _ in splits.values()]
            shares[f"{kind}_shares"] = np.array([share for _, _, share in splits.values()], float)
        save_state(directory, "ContextPrefilter", self.config, ids, shares)
        save_parts([self._base], directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "ContextPrefilter", cls.Config)
        model = cls(config)
        model.items = ids["items"]
        for kind, splits in (("item", model._splits), ("user", model._user_splits)):
            told = zip(
                ids[f"{kind} names"], ids[f"{kind} labels"], numbers[f"{kind}_shares"].tolist(), strict=True
            )
            splits.update(zip(ids[f"{kind}s split"], told, strict=True))
        [model._base] = load_parts([config.base], directory)
        return model

    def _share(self, visitor: Visitor, item_id: str) -> float:
        """How much of the half under the label counts: all or nothing where the context is told."""
        return _inside(self._splits.get(item_id), visitor.context)

    def _asked(self, visitor: Visitor) -> Visitor:
        """The visitor as the recommender underneath knows it; what it had comes without contexts."""
        is_inside = _inside(self._user_splits.get(visitor.visitor_id), visitor.context) > 0.5
        known_as = visitor.visitor_id + _INSIDE if is_inside else visitor.visitor_id
        had = [
            each + _INSIDE if _inside(self._splits.get(each), {}) > 0.5 else each for each in visitor.items
        ]
        return Visitor(known_as, had, visitor.values)

    def _found(self, feedback: Feedback, column_of: IntArray, ids: Sequence[str]) -> dict[str, _Split]:
        """What splits visitors or items best. column_of: (n,) indices of them."""
        best: dict[str, _Split] = {}
        highest = np.full(len(ids), self.config.t)
        everything = _moments(column_of, feedback.values, len(highest))
        for name, column in feedback.contexts.items():
            under = np.array(column)
            for label in dict.fromkeys(column):
                chosen = under == label
                inside = _moments(column_of[chosen], feedback.values[chosen], len(highest))
                t = _welch(inside, everything - inside, self.config.ratings)
                for each in np.flatnonzero(t > highest).tolist():
                    best[ids[each]] = name, label, float(inside[0, each] / everything[0, each])
                highest = np.maximum(highest, t)
        return best


def _inside(split: _Split | None, context: Mapping[str, str]) -> float:
    """How much of the half under the label counts: all or nothing where the context is told."""
    if split is None:
        return 0.0
    name, label, share = split
    return float(context[name] == label) if name in context else share


def _halves(
    feedback: Feedback, column: IntArray, ids: Sequence[str], splits: Mapping[str, _Split]
) -> list[str]:
    """(n,) ids, those under the labels that split them marked."""
    found = [ids[index] for index in column.tolist()]
    for place, each in enumerate(found):
        split = splits.get(each)
        if split is not None and feedback.contexts[split[0]][place] == split[1]:
            found[place] = each + _INSIDE
    return found


def _moments(items: IntArray, values: FloatArray, n: int) -> NDArray[np.float64]:
    """Number, sum and sum of squares of the ratings of each, (3, n)."""
    exact = values.astype(np.float64)
    return np.array([np.bincount(items, weights, minlength=n) for weights in (exact**0, exact, exact**2)])


def _welch(one: NDArray[np.float64], other: NDArray[np.float64], least: int) -> NDArray[np.float64]:
    """|t| of the difference of means, (n,); 0 where one has fewer ratings than `least`.

    Ratings that are all the same are taken to vary by a tenth, so that no chance looks like certainty.
    """
    errors, means = [], []
    for n, total, squares in (one, other):
        times = np.maximum(n, 2)
        means.append(total / times)
        errors.append(np.maximum((squares - times * means[-1] ** 2) / (times - 1), 0.01) / times)
    t: NDArray[np.float64] = np.abs(means[0] - means[1]) / np.sqrt(errors[0] + errors[1])
    return np.where((one[0] >= least) & (other[0] >= least), t, 0.0)
