"""Contextual pre-filtering by splitting: what is rated otherwise in some context becomes two.

Enters: ratings with contexts. Leaves: what the recommender underneath says, which was trained on split
visitors and items and knows no context, for the halves that the visitor's context chooses. A visitor or an
item is split by the label under which ratings differ most from the others, if they differ by more than
chance: by Welch's t. A half has fewer ratings than the whole: so what the same recommender says that was
trained on everything unsplit is mixed in. Where the context is not told, that alone is the score; and where
one of the two cannot tell, the other's.

Ratings of one pair in different contexts are different observations, which all count. A recommender below, of
which the last alone would count, is given their mean.

Source: Baltrunas and Ricci, "Experimental Evaluation of Context-dependent Collaborative Filtering Using Item
Splitting", User Modeling and User-Adapted Interaction 24, 2014; Zheng, Burke and Mobasher, "Splitting
Approaches for Context-aware Recommendation: An Empirical Study", SAC 2014; the whole beside the parts:
Adomavicius et al., "Incorporating Contextual Information in Recommender Systems Using a Multidimensional
Approach", ACM TOIS 23(1), 2005.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

import msgspec
import numpy as np
from pydantic import Field, PositiveFloat

from streamrec.contracts import FloatArray, IntArray, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Feedback, Knowledge, make_feedback
from streamrec.models import recommender_of
from streamrec.models._hybrid import merged
from streamrec.models._nodes import OverRatingsConfig, load_parts, save_parts
from streamrec.models._progress import part_options
from streamrec.models._saving import load_state, save_state
from streamrec.models._splitting import Split, observed, splits
from streamrec.recommender import Known, Reason, Recommender, Task, Visitor

__all__ = ["ContextPrefilter", "ContextPrefilterConfig"]

_INSIDE: Final = "\x1finside"
"""What is put after an id for ratings under its label; the control character keeps ids apart."""


class ContextPrefilterConfig(OverRatingsConfig, frozen=True):
    """Hyperparameters."""

    split: Literal["items", "users", "both"] = "both"
    """What is split."""
    t: PositiveFloat = 2.0
    """Welch's t from which one is split. The best of many labels is tested, so some differ by chance: with
    `whole` that costs little, without it 4 is better."""
    ratings: int = Field(default=8, ge=2)
    """Ratings that each half has to have."""
    whole: float = Field(default=0.5, ge=0, le=1)
    """What the recommender of everything unsplit counts beside that of the halves."""


class ContextPrefilter:
    """Recommenders of halves and of the whole, and what splits; a recommender.Recommender."""

    Config = ContextPrefilterConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})
    goes_by: ClassVar[frozenset[Known]] = frozenset({"contexts"})
    takes_repeats: ClassVar[bool] = True

    def __init__(self, config: ContextPrefilterConfig | None = None) -> None:
        self.config = config or ContextPrefilterConfig()
        self._whole: Recommender = recommender_of(self.config.base)
        # None where nothing is split.
        self._halves: Recommender | None = None
        # By id.
        self._splits: dict[str, Split] = {}
        self._user_splits: dict[str, Split] = {}
        self._labels: dict[str, list[str]] = {}

    @property
    def items(self) -> Sequence[str]:
        """Those of the recommender of everything."""
        return self._whole.items

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Train on everything, then on halves. Raises DatasetError if there are no ratings."""
        if not len(feedback):
            raise DatasetError("there are no ratings to learn from")
        config = self.config
        self._labels = {name: list(dict.fromkeys(column)) for name, column in feedback.contexts.items()}
        self._splits, self._user_splits = {}, {}
        if config.split != "users":
            self._splits = splits(feedback, feedback.items, feedback.item_ids, config.t, config.ratings)
        if config.split != "items":
            self._user_splits = splits(feedback, feedback.users, feedback.user_ids, config.t, config.ratings)
        plain = observed(replace(feedback, contexts={}), self._whole)
        if not self._splits and not self._user_splits:
            self._halves = None
            return self._whole.train(plain, knowledge, options)
        report = self._whole.train(plain, knowledge, part_options(options, 0, 2, len(feedback)))
        self._halves = recommender_of(config.base)
        items = _halves(feedback, feedback.items, feedback.item_ids, self._splits)
        users = _halves(feedback, feedback.users, feedback.user_ids, self._user_splits)
        halves = make_feedback(users, items, feedback.values, feedback.time_ms)
        records = dict(knowledge.items)
        for item_id in self._splits:
            if item_id in records:
                inside = item_id + _INSIDE
                records[inside] = msgspec.structs.replace(records[item_id], item_id=inside)
        options = part_options(options, 1, 2, len(feedback))
        records_of_halves = knowledge._replace(items=records)
        of_halves = self._halves.train(observed(halves, self._halves), records_of_halves, options)
        return TrainReport(report.events + of_halves.events, of_halves.losses)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The scores in the visitor's context; see recommender.Recommender."""
        whole, halves = self._said(visitor, items)
        mixed: FloatArray = (self.config.whole * whole + (1 - self.config.whole) * halves).astype(np.float32)
        return np.where(np.isnan(halves), whole, np.where(np.isnan(whole), halves, mixed))

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """What speaks for the whole, and for the half that the context chooses, each by what it counts."""
        whole, halves = (bool(np.isfinite(said[0])) for said in self._said(visitor, [item_id]))
        reasons = self._whole.explain(visitor._replace(context={}), item_id) if whole else []
        if self._halves is None or not halves:
            return reasons
        share = self.config.whole if whole else 0.0
        asked, _ = self._asked(visitor)
        inside = self._is_inside(visitor, item_id)
        of_half = self._halves.explain(asked, item_id + _INSIDE if inside else item_id)
        told = [each._replace(weight=share * each.weight) for each in reasons]
        told += [each._replace(weight=(1 - share) * each.weight) for each in of_half]
        return merged(each._replace(of=each.of.removesuffix(_INSIDE)) for each in told)

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        ids: dict[str, Sequence[str]] = {"contexts": list(self._labels)}
        ids |= {f"labels{n}": labels for n, labels in enumerate(self._labels.values())}
        shares = {}
        for kind, found in (("item", self._splits), ("user", self._user_splits)):
            ids[f"{kind}s split"] = list(found)
            ids[f"{kind} names"] = [split.name for split in found.values()]
            ids[f"{kind} labels"] = [split.label for split in found.values()]
            shares[f"{kind}_shares"] = np.array([split.share for split in found.values()], float)
        save_state(directory, "ContextPrefilter", self.config, ids, shares)
        save_parts([self._whole] if self._halves is None else [self._whole, self._halves], directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "ContextPrefilter", cls.Config)
        model = cls(config)
        model._labels = {name: ids[f"labels{n}"] for n, name in enumerate(ids["contexts"])}
        for kind, found in (("item", model._splits), ("user", model._user_splits)):
            columns = (ids[f"{kind} names"], ids[f"{kind} labels"], numbers[f"{kind}_shares"].tolist())
            told = (Split(*each) for each in zip(*columns, strict=True))
            found.update(zip(ids[f"{kind}s split"], told, strict=True))
        has_halves = bool(model._splits or model._user_splits)
        model._whole, *halves = load_parts([config.base] * (1 + has_halves), directory)
        model._halves = halves[0] if halves else None
        return model

    def _said(self, visitor: Visitor, items: Sequence[str] | None) -> tuple[FloatArray, FloatArray]:
        """What is said of the whole and of halves, (n,) each; NaN where the context chooses no half."""
        whole = self._whole.score(visitor._replace(context={}), items)
        asked, told = self._asked(visitor)
        if self._halves is None or not told:
            return whole, np.full(len(whole), np.nan, np.float32)
        # A half that is asked for by its inner id is none of ours.
        named = [
            "" if _INSIDE in item_id else item_id for item_id in (self.items if items is None else items)
        ]
        inside = [self._is_inside(visitor, item_id) for item_id in named]
        halves = self._halves.score(
            asked,
            [item_id + _INSIDE if under else item_id for item_id, under in zip(named, inside, strict=True)],
        )
        halves[[under is None for under in inside]] = np.nan
        return whole, halves

    def _is_inside(self, visitor: Visitor, item_id: str) -> bool | None:
        """Which half of an item the context chooses; one that is not split is its own outer half."""
        split = self._splits.get(item_id)
        return False if split is None else split.is_inside(visitor.context, self._labels)

    def _asked(self, visitor: Visitor) -> tuple[Visitor, bool]:
        """The visitor as the halves know it, and whether its context chooses one.

        What it had comes without contexts: of an item that is split that is taken for its larger half.
        """
        split = self._user_splits.get(visitor.visitor_id)
        inside = False if split is None else split.is_inside(visitor.context, self._labels)
        known_as = visitor.visitor_id + _INSIDE if inside else visitor.visitor_id
        had = [
            each + _INSIDE if each in self._splits and self._splits[each].share > 0.5 else each
            for each in visitor.items
        ]
        return Visitor(known_as, had, visitor.values), inside is not None


def _halves(
    feedback: Feedback, column: IntArray, ids: Sequence[str], found: Mapping[str, Split]
) -> list[str]:
    """(n,) ids, those under the labels that split them marked."""
    named = [ids[index] for index in column.tolist()]
    for place, each in enumerate(named):
        split = found.get(each)
        if split is not None and feedback.contexts[split.name][place] == split.label:
            named[place] = each + _INSIDE
    return named
