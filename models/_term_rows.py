"""Rows of terms: a sparse matrix of items that follows their records while it serves.

Enters: the rows of training, and rows of records that come, change and go. Leaves: a row for each item, as
its record is now. What training left lies under that and comes back with its record, or when there is none:
so the rows follow from training and the records that there are, not from those that were in between.
"""

from array import array
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from xxhash import xxh3_64_intdigest

from streamrec.contracts import IntArray
from streamrec.events import Item

__all__ = ["TermRows", "digest"]

Vector = NDArray[np.float64]


def digest(item: Item | None) -> int:
    """A number for what a record says of contents, the same everywhere; 0 for no record."""
    if item is None:
        return 0
    return xxh3_64_intdigest(msgspec.msgpack.encode((item.title, item.text, item.tags, item.categories))) or 1


class TermRows:
    """Items' rows of terms. A record costs what it has of terms, however much there is already.

    starts, terms, weights: of the rows of training, as of a sparse matrix; n_terms: its width. records: the
    digest of the record of each.
    """

    def __init__(
        self,
        starts: NDArray[Any],
        terms: NDArray[Any],
        weights: Vector,
        n_terms: int,
        records: Sequence[int],
    ) -> None:
        # One more, of nothing.
        self._starts = np.append(starts, starts[-1]).astype(np.int32)
        self._terms, self._weights, self._n_terms = terms.astype(np.int32), weights, n_terms
        self._n = len(starts)
        self._nothing = self._n - 1
        self._learned = array("Q", records)
        self._records = array("Q", records)
        self._row_of = array("q", range(self._nothing))
        self._left = 0
        self._matrix: Any = None
        self.version = 0
        """Another one whenever an item has another row."""

    @property
    def matrix(self) -> Any:
        """All rows there are, also of records that are no longer: `row_of` says which count."""
        if self._matrix is None:
            end = int(self._starts[self._n])
            parts = self._weights[:end], self._terms[:end], self._starts[: self._n + 1]
            self._matrix = sparse.csr_array(parts, shape=(self._n, self._n_terms))
        return self._matrix

    @property
    def row_of(self) -> IntArray:
        """The row of each item."""
        return np.array(self._row_of, np.int64)

    @property
    def records(self) -> Sequence[int]:
        """The digest of each item's record."""
        return self._records

    def of(self, items: IntArray) -> Any:
        """(len(items), n_terms), sparse."""
        return self.matrix[self.row_of[items]]

    def all(self) -> Any:
        """Of every item as it is now, (items, n_terms), sparse."""
        return self.matrix[self.row_of]

    def grow(self, n_items: int) -> None:
        """Have so many items; those that come have nothing."""
        more = n_items - len(self._row_of)
        self._row_of.extend([self._nothing] * more)
        self._records.extend([0] * more)

    def recall(self, item: int, record: int) -> bool:
        """Whether a record is the item's, now or in training: then it counts from here on."""
        if self._records[item] == record:
            return True
        if item >= len(self._learned) or self._learned[item] != record:
            return False
        self._point(item, record, item)
        return True

    def put(self, item: int, record: int, terms: Sequence[int], weights: Vector, n_terms: int) -> None:
        """Give an item the row of a record."""
        start = int(self._starts[self._n])
        end = start + len(terms)
        self._terms, self._weights = _room(self._terms, end), _room(self._weights, end)
        self._starts = _room(self._starts, self._n + 2)
        self._terms[start:end], self._weights[start:end] = terms, weights
        self._starts[self._n + 1] = end
        self._n, self._n_terms = self._n + 1, n_terms
        # To make it takes longer than a row does: it waits until somebody asks.
        self._matrix = None
        self._point(item, record, self._n - 1)

    def forget(self, item: int, *, is_known: bool) -> None:
        """Take an item's record away. is_known: that training had more of it than the record."""
        self._point(item, 0, item if is_known and item < self._nothing else self._nothing)

    def _point(self, item: int, record: int, row: int) -> None:
        self._left += self._row_of[item] > self._nothing
        self._row_of[item], self._records[item] = row, record
        self.version += 1
        if self._left > len(self._row_of) // 2 + 1000:
            self._clear()

    def _clear(self) -> None:
        """Leave out the rows that were replaced."""
        rows = self.row_of
        kept = np.sort(rows[rows > self._nothing])
        matrix = self.matrix[np.concatenate([np.arange(self._nothing + 1), kept])]
        self._starts, self._terms, self._weights = matrix.indptr, matrix.indices, matrix.data
        moved = self._nothing + 1 + np.searchsorted(kept, rows)
        self._row_of = array("q", np.where(rows > self._nothing, moved, rows).tolist())
        self._n, self._left, self._matrix = matrix.shape[0], 0, None


def _room(column: NDArray[Any], n: int) -> NDArray[Any]:
    """The column with room for n entries at least, and for many more if it had to move."""
    if n <= len(column):
        return column
    larger = np.empty(max(2 * len(column), n, 1000), column.dtype)
    larger[: len(column)] = column
    return larger
