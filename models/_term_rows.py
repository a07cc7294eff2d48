"""Rows of terms: a sparse matrix of items that can grow while it serves."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["TermRows"]

Vector = NDArray[np.float64]


class TermRows:
    """A sparse matrix that rows are appended to, at a cost that does not grow with it."""

    def __init__(self, starts: NDArray[Any], terms: NDArray[Any], weights: Vector, n_terms: int) -> None:
        self.n = len(starts) - 1
        self._starts, self._terms, self._weights = starts.astype(np.int32), terms.astype(np.int32), weights
        self._view(n_terms)

    def append(self, terms: NDArray[Any], weights: Vector, n_terms: int) -> int:
        """Put a row at the end; returns its number."""
        start = int(self._starts[self.n])
        end = start + len(terms)
        self._terms, self._weights = _room(self._terms, end), _room(self._weights, end)
        self._starts = _room(self._starts, self.n + 2)
        self._terms[start:end], self._weights[start:end] = terms, weights
        self._starts[self.n + 1] = end
        self.n += 1
        self._view(n_terms)
        return self.n - 1

    def _view(self, n_terms: int) -> None:
        end = int(self._starts[self.n])
        parts = self._weights[:end], self._terms[:end], self._starts[: self.n + 1]
        self.matrix = sparse.csr_array(parts, shape=(self.n, n_terms))


def _room(column: NDArray[Any], n: int) -> NDArray[Any]:
    """The column with room for n entries at least, and for many more if it had to move."""
    if n <= len(column):
        return column
    larger = np.empty(max(2 * len(column), n, 1000), column.dtype)
    larger[: len(column)] = column
    return larger
