"""What sources propose to the visitors of a batch: item ids in order, in arrays.

An item is known by its key, a hash of its id, so that the same item is found in what several sources
propose without a table of all ids: of two items one in 2⁶⁴ pairs has the same key.
"""

from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

__all__ = ["Keys", "Proposals", "item_keys", "of_lists"]

Keys = NDArray[np.uint64]
_Places = NDArray[np.int64]


class Proposals(NamedTuple):
    """What one source proposes to each visitor of a batch, best first; B rows of D."""

    keys: Keys
    """(B, D); 0 where a row has ended."""
    places: _Places
    """(B, D): where in `ids` each one is; anything where a row has ended."""
    ids: Sequence[str]
    """Of more items than are proposed."""

    def of(self, visitors: Sequence[int] | _Places) -> "Proposals":
        """Those to some of the visitors."""
        return Proposals(self.keys[visitors], self.places[visitors], self.ids)

    def first(self, n: int) -> "Proposals":
        """The n best."""
        return Proposals(self.keys[:, :n], self.places[:, :n], self.ids)

    def spread(self, visitors: Sequence[int], n: int) -> "Proposals":
        """The same in a batch of n visitors, of whom the others have none."""
        nothing = np.zeros((n, self.keys.shape[1]), np.uint64), np.zeros((n, self.keys.shape[1]), np.int64)
        return Proposals(*nothing, self.ids).replaced(visitors, self)

    def replaced(self, visitors: Sequence[int] | _Places, others: "Proposals") -> "Proposals":
        """With others, no deeper and of the same ids, in place of those of some visitors."""
        keys, places, depth = self.keys.copy(), self.places.copy(), others.keys.shape[1]
        keys[visitors] = 0
        keys[visitors, :depth], places[visitors, :depth] = others.keys, others.places
        return Proposals(keys, places, self.ids)

    def names(self, visitor: int) -> list[str]:
        """The ids proposed to one visitor."""
        places = self.places[visitor, self.keys[visitor] != 0]
        return [self.ids[place] for place in places.tolist()]

    def lengths(self) -> _Places:
        """How many are proposed to each visitor, (B,)."""
        lengths: _Places = np.count_nonzero(self.keys, axis=1)
        return lengths

    def without(self, unavailable: Set[str], excluded: Sequence[Set[str]]) -> "Proposals":
        """What is left when some items are for nobody, and some not for a visitor: those behind move up."""
        gone = np.zeros(self.keys.shape, bool)
        for row, (keys, places) in enumerate(zip(self.keys.tolist(), self.places.tolist(), strict=True)):
            ids = [self.ids[place] if key else "" for key, place in zip(keys, places, strict=True)]
            gone[row] = [item_id in unavailable or item_id in excluded[row] for item_id in ids]
        gone &= self.keys != 0
        order = np.argsort(gone, axis=1, kind="stable")
        keys = np.take_along_axis(np.where(gone, np.uint64(0), self.keys), order, axis=1)
        return Proposals(keys, np.take_along_axis(self.places, order, axis=1), self.ids)


def item_keys(item_ids: Iterable[str]) -> Keys:
    """The key of each item, none of them 0. XXH3, the same everywhere."""
    return np.array([xxh3_64_intdigest(item_id.encode()) or 1 for item_id in item_ids], dtype=np.uint64)


def of_lists(lists: Sequence[Sequence[str]]) -> Proposals:
    """Proposals out of ids, best first, for each visitor."""
    depth = max(map(len, lists), default=0)
    ids = [item_id for each in lists for item_id in each]
    there = np.arange(depth) < np.array([len(each) for each in lists], dtype=np.int64)[:, None]
    keys = np.zeros(there.shape, np.uint64)
    places = np.zeros(there.shape, np.int64)
    keys[there], places[there] = item_keys(ids), np.arange(len(ids))
    return Proposals(keys, places, ids)
