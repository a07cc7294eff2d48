"""A trained recommender as a source of live lists.

In: visitors, by id and session. Out: the recommender's best items for each. A recommender changes by nothing
but the catalogue here, from which those of contents learn of items that are new: in the next list.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np

from streamrec.catalogue import Catalogue
from streamrec.contracts import FloatArray, IntArray
from streamrec.events import Item
from streamrec.proposals import Proposals, item_keys
from streamrec.recommender import ItemLearner, Reason, Recommender, Visitor
from streamrec.state.rows import VisitorRow

__all__ = ["RecommenderSource"]

_NEVER: Final = np.float32(-np.inf)


class RecommenderSource:
    """Proposes what a recommender scores highest."""

    def __init__(self, model: Recommender) -> None:
        self._model = model
        self._revision = 0
        self._items: list[str] = []
        self._index: dict[str, int] = {}
        self._keys = item_keys([])
        self._know(model.items)

    def learn(self, catalogue: Catalogue) -> None:
        """Take in the items that came to the catalogue, or changed, since the last time."""
        since, self._revision = self._revision, catalogue.revision
        if isinstance(self._model, ItemLearner) and since != self._revision:
            items: list[Item] = catalogue.since(since)
            for item in items:
                self._model.add_item(item)
            # To hash the ids of all items takes long, and lists wait for it.
            self._know(self._model.items[len(self._items) :])

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
        self.learn(catalogue)
        gone = catalogue.places_unavailable(self._items)
        keys, places = np.zeros((len(visitors), n), np.uint64), np.zeros((len(visitors), n), np.int64)
        for number, (visitor, left_out) in enumerate(zip(visitors, excluded, strict=True)):
            own = [self._index[item_id] for item_id in left_out if item_id in self._index]
            best = _best(self._model.score(_asking(*visitor)), n, gone, own)
            keys[number, : len(best)], places[number, : len(best)] = self._keys[best], best
        return Proposals(keys, places, self._items)

    def scores(self, visitor_id: str, row: VisitorRow, item_ids: Sequence[str]) -> Mapping[str, float]:
        """Scores of those items that the recommender can score for a visitor."""
        scores = self._model.score(_asking(visitor_id, row), item_ids).tolist()
        return {each: score for each, score in zip(item_ids, scores, strict=True) if score == score}

    def reasons(self, visitor_id: str, row: VisitorRow, item_id: str) -> Sequence[Reason]:
        """What speaks for an item, in the recommender's eyes; see Recommender.explain."""
        return self._model.explain(_asking(visitor_id, row), item_id)

    def _know(self, new: Sequence[str]) -> None:
        self._index.update((item_id, place) for place, item_id in enumerate(new, len(self._items)))
        # Another list: the catalogue knows by it which of its items must not be shown.
        self._items = [*self._items, *new]
        self._keys = np.concatenate([self._keys, item_keys(new)])


def _asking(visitor_id: str, row: VisitorRow) -> Visitor:
    """The visitor, to whom each item happened once: last."""
    return Visitor(visitor_id, list(dict.fromkeys(reversed(row.items)))[::-1])


def _best(scores: FloatArray, n: int, gone: IntArray, own: Sequence[int]) -> IntArray:
    """Places of the n highest scores, or of as many as there are; of equals the first come first."""
    left = np.where(np.isnan(scores), _NEVER, scores)
    left[gone] = _NEVER
    left[own] = _NEVER
    if n < len(left):
        # Of those that equal the n-th, the first ones: which ones a partition gives is not told.
        least = np.partition(left, -n)[-n]
        above = np.flatnonzero(left > least)
        level = np.flatnonzero(left == least)[: n - len(above)]
        chosen = np.concatenate([above, level])
    else:
        chosen = np.arange(len(left))
    chosen = chosen[left[chosen] > _NEVER]
    best: IntArray = chosen[np.lexsort((chosen, -left[chosen]))]
    return best
