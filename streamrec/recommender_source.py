"""A trained recommender as a source of live lists.

In: visitors, by id and session. Out: the recommender's best items for each. A recommender changes by nothing
but the catalogue here, from which those of contents learn what is new, what has changed and what is gone: in
the next list.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np

from streamrec.catalogue import Catalogue
from streamrec.contracts import FloatArray, IntArray
from streamrec.events import Item
from streamrec.proposals import Keys, Proposals, item_keys
from streamrec.recommender import ItemLearner, Reason, Recommender, Visitor
from streamrec.state.rows import VisitorRow

__all__ = ["RecommenderSource"]

_NEVER: Final = np.float32(-np.inf)


class RecommenderSource:
    """Proposes what a recommender scores highest."""

    def __init__(self, model: Recommender) -> None:
        self._model = model
        self._learner = model if isinstance(model, ItemLearner) else None
        self._items: list[str] = []
        self._index: dict[str, int] = {}
        self._keys = item_keys([])
        self._know(model.items)
        self._revision, self._removals = 0, -1
        # Whose records the model has, or is to have: before the first look, that training had all.
        self._recorded = set(self._items if self._learner else ())
        self._waiting: dict[str, Item | None] = {}

    def learn(self, catalogue: Catalogue, at_once: int) -> Iterator[int]:
        """Take in what came to the catalogue, changed or went since the last time, so many items at once;
        yields the number of those left.

        Lists do so by themselves. Who makes many does it beforehand, with other things in between: an item
        takes tens of microseconds, and after a start all of them wait.
        """
        self._note(catalogue)
        while self._waiting:
            self._learn(at_once)
            yield len(self._waiting)
            self._note(catalogue)

    def proposals(
        self,
        visitors: Sequence[tuple[str, VisitorRow]],
        n: int,
        catalogue: Catalogue,
        excluded: Sequence[AbstractSet[str]],
    ) -> Proposals:
        """The n best items for each visitor, without those that must not be shown, and without its own of
        `excluded`; none for a visitor of whom the recommender can tell nothing.
        """
        self._note(catalogue)
        self._learn(len(self._waiting))
        gone = catalogue.places_unavailable(self._items)
        keys, places = np.zeros((len(visitors), n), np.uint64), np.zeros((len(visitors), n), np.int64)
        for number, (visitor, left_out) in enumerate(zip(visitors, excluded, strict=True)):
            own = [self._index[item_id] for item_id in left_out if item_id in self._index]
            best = _best(self._model.score(_asking(*visitor)), n, gone, own, self._keys)
            keys[number, : len(best)], places[number, : len(best)] = self._keys[best], best
        return Proposals(keys, places, self._items)

    def scores(self, visitor_id: str, row: VisitorRow, item_ids: Sequence[str]) -> Mapping[str, float]:
        """Scores of those items that the recommender can score for a visitor."""
        scores = self._model.score(_asking(visitor_id, row), item_ids).tolist()
        return {each: score for each, score in zip(item_ids, scores, strict=True) if score == score}

    def reasons(self, visitor_id: str, row: VisitorRow, item_id: str) -> Sequence[Reason]:
        """What speaks for an item, in the recommender's eyes; see Recommender.explain."""
        return self._model.explain(_asking(visitor_id, row), item_id)

    def _note(self, catalogue: Catalogue) -> None:
        """See what is to be learned."""
        if self._learner is None:
            return
        since, self._revision = self._revision, catalogue.revision
        if since != self._revision:
            came = {item.item_id: item for item in catalogue.since(since)}
            self._waiting.update(came)
            self._recorded.update(came)
        if self._removals != catalogue.removals:
            self._removals = catalogue.removals
            gone = [item_id for item_id in self._recorded if item_id not in catalogue.items]
            self._waiting.update(dict.fromkeys(gone))
            self._recorded.difference_update(gone)

    def _learn(self, most: int) -> None:
        if self._learner is None or not self._waiting:
            return
        for _ in range(min(most, len(self._waiting))):
            item_id, item = self._waiting.popitem()
            if item is None:
                self._learner.forget_item(item_id)
            else:
                self._learner.add_item(item)
        if not self._waiting:
            self._know(self._model.items[len(self._items) :])

    def _know(self, new: Sequence[str]) -> None:
        if not new:
            return
        self._index.update((item_id, place) for place, item_id in enumerate(new, len(self._items)))
        # Another list: the catalogue knows by it which of its items must not be shown.
        self._items = [*self._items, *new]
        # To hash the ids of all items takes long, and lists wait for it.
        self._keys = np.concatenate([self._keys, item_keys(new)])


def _asking(visitor_id: str, row: VisitorRow) -> Visitor:
    """The visitor, to whom each item happened once: last."""
    return Visitor(visitor_id, list(dict.fromkeys(reversed(row.items)))[::-1])


def _best(scores: FloatArray, n: int, gone: IntArray, own: Sequence[int], keys: Keys) -> IntArray:
    """Places of the n highest scores, or of as many as there are; of equals those of the lowest keys come
    first: the order of items is that in which their records happened to come.
    """
    left = np.where(np.isnan(scores), _NEVER, scores)
    left[gone] = _NEVER
    left[own] = _NEVER
    chosen = np.flatnonzero(left > _NEVER)
    if n < len(chosen):
        least = np.partition(left, -n)[-n]
        chosen, level = np.flatnonzero(left > least), np.flatnonzero(left == least)
        short = n - len(chosen)
        if short < len(level):
            # Not sorted: all items may be level.
            level = level[np.argpartition(keys[level], short)[:short]]
        chosen = np.concatenate([chosen, level])
    best: IntArray = chosen[np.lexsort((keys[chosen], -left[chosen]))]
    return best
