"""Counts of items and of pairs of items, for models that count: added, and taken away again.

All counts are whole numbers, so that what is left after any additions and removals is exactly what
counting the rest would have given. What falls to zero takes no memory.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from streamrec.contracts import FloatArray

__all__ = ["ItemCounts", "PairCounts", "most_first"]

_NONE: Final[Mapping[str, int]] = {}


def most_first(counts: Mapping[str, int]) -> list[str]:
    """Items by falling count; ties by id."""
    return sorted(counts, key=lambda item_id: (-counts[item_id], item_id))


class ItemCounts:
    """Counts of items, and the dense index that follows from them: the highest first, ties by id."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._items: list[str] | None = []
        self._index: dict[str, int] = {}

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts by item."""
        return self._counts

    @property
    def items(self) -> Sequence[str]:
        """The items counted, by dense index."""
        if self._items is None:
            self._items = most_first(self._counts)
            self._index = {item_id: index for index, item_id in enumerate(self._items)}
        return self._items

    def add(self, item_id: str) -> None:
        """Count an item once more."""
        self._counts[item_id] = self._counts.get(item_id, 0) + 1
        self._items = None

    def lacks(self, counts: Mapping[str, int]) -> str | None:
        """An item that has not been counted as often as this; None if all have been."""
        return next((item_id for item_id, n in counts.items() if self._counts.get(item_id, 0) < n), None)

    def remove(self, counts: Mapping[str, int]) -> None:
        """Take away counts that were added."""
        for item_id, n in counts.items():
            _take(self._counts, item_id, n)
        self._items = None

    def dense(self, scores: Mapping[str, float]) -> FloatArray:
        """Scores by dense index, shape (N,); NaN where there is none."""
        row = np.full(len(self.items), np.nan, np.float32)
        row[[self._index[item_id] for item_id in scores]] = list(scores.values())
        return row


class PairCounts:
    """Counts of ordered pairs of items."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, int]] = {}

    def __len__(self) -> int:
        """Number of pairs counted; memory grows with it."""
        return sum(map(len, self._rows.values()))

    def row(self, first: str) -> Mapping[str, int]:
        """The items counted with `first` in front of them."""
        return self._rows.get(first, _NONE)

    def add(self, first: str, second: str, n: int = 1) -> None:
        """Count a pair n times more."""
        row = self._rows.get(first)
        if row is None:
            row = self._rows[first] = {}
        row[second] = row.get(second, 0) + n

    def lacks(self, pairs: Mapping[tuple[str, str], int]) -> str | None:
        """A pair that has not been counted as often as this; None if all have been."""
        return next((f"{a}, {b}" for (a, b), n in pairs.items() if self.row(a).get(b, 0) < n), None)

    def remove(self, pairs: Mapping[tuple[str, str], int]) -> None:
        """Take away counts that were added."""
        for (first, second), n in pairs.items():
            row = self._rows[first]
            _take(row, second, n)
            if not row:
                del self._rows[first]


def _take(counts: dict[str, int], item_id: str, n: int) -> None:
    if counts[item_id] == n:
        del counts[item_id]
    else:
        counts[item_id] -= n
