"""Tag profile: tags as the common language of visitors and items.

Enters: tags and categories of the items' records, tags that visitors gave, and feedback. Leaves: the cosine
of an item's tags and the visitor's. An item's tags are those of its record and those given to it, by how many
gave them. A visitor's are the tags it gave itself, and those of what it had, by its rating. Both weigh rare
tags more. An item with a tag can be scored with no interaction; how that meets the contract stands in
`_content`.

Source: Cantador, Bellogín and Vallet, "Content-based Recommendation in Social Tagging Systems", RecSys 2010,
cosine of tf-idf profiles. We differ: visitors who gave no tags have those of their items.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, NonNegativeFloat

from streamrec.events import Item
from streamrec.feedback import Knowledge
from streamrec.models._content import ContentModel, Vector, labels
from streamrec.models._histories import History
from streamrec.recommender import Known

__all__ = ["TagProfile", "TagProfileConfig"]


class TagProfileConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    own_tags: NonNegativeFloat = 1.0
    """What the tags that the visitor gave count, beside those of what it had, each of which counts 1."""


class TagProfile(ContentModel):
    """Tags of visitors and items, compared by the cosine; a recommender.StreamRecommender."""

    Config = TagProfileConfig
    goes_by: ClassVar[frozenset[Known]] = frozenset({"items", "tags"})

    def _forget(self) -> None:
        super()._forget()
        self._given_to: dict[str, Counter[str]] = {}
        self._given_by: dict[str, Counter[str]] = {}
        self._given: Mapping[str, Sequence[str]] = {}

    def _terms_of(self, item: Item) -> Iterable[str]:
        return (Counter(labels(item)) + self._given_to.get(item.item_id, Counter())).elements()

    def _documents(self, knowledge: Knowledge) -> Mapping[str, Iterable[str]]:
        found: dict[str, Iterable[str]] = {
            item_id: counts.elements() for item_id, counts in self._given_to.items()
        }
        return {**found, **super()._documents(knowledge)}

    def _know(self, knowledge: Knowledge) -> None:
        columns = [list(column) for column in zip(*knowledge.tags, strict=True)] or [[], [], []]
        self._know_lists(dict(zip(("given_by", "given_to", "given"), columns, strict=True)))

    def _lists(self) -> Mapping[str, Sequence[str]]:
        return self._given

    def _know_lists(self, lists: Mapping[str, Sequence[str]]) -> None:
        self._given = {name: lists[name] for name in ("given_by", "given_to", "given")}
        by: defaultdict[str, Counter[str]] = defaultdict(Counter)
        to: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for user_id, item_id, tag in zip(*self._given.values(), strict=True):
            by[user_id][f"t:{tag.casefold()}"] += 1
            to[item_id][f"t:{tag.casefold()}"] += 1
        self._given_by, self._given_to = dict(by), dict(to)

    def _vector(self, rows: Any, had: History, visitor_id: str) -> Vector | None:
        of_items: Vector = rows.T @ had.values
        own = np.zeros(len(of_items))
        for term, times in self._given_by.get(visitor_id, {}).items():
            if term in self._terms:
                place = self._terms[term]
                own[place] = (1 + np.log(times)) * self._idf[place]
        # Both at length 1, so that neither many ratings nor many tags drown the other.
        profile = _unit(of_items) + self.config.own_tags * _unit(own)
        return _unit(profile) if profile.any() else None


def _unit(vector: Vector) -> Vector:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
