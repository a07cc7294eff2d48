"""What rows that a visitor points to say about its taste: items that it rated, others whom it trusts.

Enters: ratings, and of each visitor a sparse row of weights. Leaves: a vector for each column of those rows,
so that their weighted sum, times the item's vector, comes closest to the ratings.
"""

from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, cg

from streamrec.models._ridge import FloatMatrix, IntArray, dots

__all__ = ["implied_factors"]


def implied_factors(
    start: FloatMatrix,
    targets: FloatMatrix,
    pointed: Any,
    design: FloatMatrix,
    pairs: tuple[IntArray, IntArray],
    penalty: FloatMatrix,
    steps: int,
) -> FloatMatrix:
    """A few conjugate gradient steps from `start` on, (columns, factors): one large ridge regression.

    targets: (n,) of the ratings. pointed: (visitors, columns), sparse. design: (items, factors). pairs: (n,)
    visitors and (n,) items of the ratings. penalty: (columns, 1) or (columns, factors).
    """
    users, items = pairs
    shape = pointed.shape[0], len(design)
    columns = pointed.T.tocsr()

    def back(of_ratings: FloatMatrix) -> FloatMatrix:
        found: FloatMatrix = columns @ (csr_array((of_ratings, (users, items)), shape) @ design)
        return found

    def squares(vector: FloatMatrix) -> FloatMatrix:
        implied = vector.reshape(start.shape)
        return (back(dots(pointed @ implied, design, users, items)) + penalty * implied).ravel()

    operator = LinearOperator((start.size, start.size), squares, dtype=np.float64)
    found, _ = cg(operator, back(targets).ravel(), start.ravel(), maxiter=steps)
    implied: FloatMatrix = found.reshape(start.shape)
    return implied
