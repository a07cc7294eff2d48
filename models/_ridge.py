"""Ridge regressions by the thousand: one for each visitor, or one for each item.

Enters: pairs of a row and a column, each with a target, and a vector of each column. Leaves: for each row the
vector x that minimises Σ w (target - ⟨x, column⟩)² + xᵀ B x + Σ damping (x - towards)², over the row's pairs:
a half of alternating least squares. By hand as libraries' solvers take one regression, or implicit feedback
alone.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FloatMatrix", "IntArray", "Rows", "dots", "ridge", "rows_of"]

FloatMatrix = NDArray[np.float64]
IntArray = NDArray[np.int64]

_NUMBERS_AT_ONCE: Final = 1 << 22
"""Of matrices that are held at a time: 32 MiB."""
_IN_CACHE: Final = 1 << 15
"""Numbers of vectors that are multiplied at a time: 256 KiB, as more would not stay near the processor."""


class Rows(NamedTuple):
    """Pairs in the order of their rows."""

    order: IntArray
    """(n,) places of the pairs as they were given."""
    starts: IntArray
    """(rows + 1,) where each row's pairs begin in that order."""
    columns: IntArray
    """(n,) in that order."""

    @property
    def counts(self) -> IntArray:
        """(rows,) pairs of each."""
        return np.diff(self.starts)


def rows_of(rows: IntArray, columns: IntArray, n_rows: int) -> Rows:
    """Put pairs in the order of their rows; within a row their order stays."""
    order = np.argsort(rows, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))])
    return Rows(order, starts, columns[order])


def ridge(
    rows: Rows,
    targets: FloatMatrix,
    design: FloatMatrix,
    damping: FloatMatrix,
    weights: FloatMatrix | None = None,
    base: FloatMatrix | None = None,
    towards: FloatMatrix | None = None,
) -> FloatMatrix:
    """The vectors of all rows, (rows, factors).

    targets: (n,) in the pairs' own order, those of pairs with a weight already times it. design: (columns,
    factors). damping: (rows, factors), above 0 where a row has fewer pairs than factors. weights: (n,), 1
    each if None. base: (factors, factors), B, the same for all rows. towards: (rows, factors), 0 if None.
    """
    n_rows, size = len(rows.starts) - 1, design.shape[1]
    found = np.empty((n_rows, size))
    targets = targets[rows.order]
    weights = None if weights is None else weights[rows.order]
    step = max(1, _NUMBERS_AT_ONCE // max(1, size * size))
    diagonal = np.arange(size)
    for first in range(0, n_rows, step):
        last = min(first + step, n_rows)
        squares, sums = np.empty((last - first, size, size)), np.empty((last - first, size, 1))
        for place in range(last - first):
            start, end = rows.starts[first + place], rows.starts[first + place + 1]
            vectors = design[rows.columns[start:end]]
            weighted = vectors if weights is None else vectors * weights[start:end, None]
            squares[place] = vectors.T @ weighted
            sums[place, :, 0] = targets[start:end] @ vectors
        if base is not None:
            squares += base
        squares[:, diagonal, diagonal] += damping[first:last]
        if towards is not None:
            sums[:, :, 0] += damping[first:last] * towards[first:last]
        found[first:last] = np.linalg.solve(squares, sums)[..., 0]
    return found


def dots(left: FloatMatrix, right: FloatMatrix, rows: IntArray, columns: IntArray) -> FloatMatrix:
    """⟨left[row], right[column]⟩ of each pair, (n,); without the vectors of all pairs in memory at once."""
    found = np.empty(len(rows))
    step = max(1, _IN_CACHE // max(1, left.shape[1]))
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        found[part] = np.einsum("nk,nk->n", left[rows[part]], right[columns[part]])
    return found
