"""Least squares of a factorisation machine, column after column, and how far its weights are held back.

Enters: columns of features of which one each occurs in a rating, and ratings above their mean. Leaves: a
weight and factors for each feature. Features of one column never occur together: given all others, their
least squares are solved at once, exactly.

What holds them back, λ, is given, or found from the ratings: by how much the numbers of a column vary, for
each factor by itself, beside the squared error that is left. So a column of three labels is hardly held back
where it says something, and a factor that a column does not need vanishes. Where λ is found, each factor is
known only so far: the variance of what it is multiplied with holds it back, too.

Source: Rendle, "Factorization Machines with libFM", ACM TIST 3(3), 2012, alternating least squares, and λ
by column and factor (there drawn, section 4.4); Lim and Teh, "Variational Bayesian Approach to Movie Rating
Prediction", KDD Cup and Workshop 2007, for finding it by turns. We differ: of the error only what is left of
the ratings counts, not the variances. That is a little too sure of the ratings; on small data, where it
makes a difference, to be surer of them was better.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import IntArray

__all__ = ["Machine", "pairs"]

Vector = NDArray[np.float64]

_LEAST_NOISE: Final = 0.05
"""Share of the ratings' variance that counts as error at least: few ratings can be fitted exactly."""
_START: Final = (5.0, 10.0)
"""λ of weights and of factors in the first turn, where it is found: what fits films rated from 1 to 5."""


class Machine:
    """Weights and factors by column while they are learned."""

    def __init__(
        self,
        columns: Sequence[IntArray],
        above: Vector,
        factors: Sequence[Vector],
        weight_regularisation: float | None,
        regularisation: float | None,
    ) -> None:
        """columns: (n,) each. above: (n,). factors: to start from, (features, factors), one for each column.

        weight_regularisation, regularisation: λ; None to find it.
        """
        self.weights: list[Vector] = [np.zeros(len(table)) for table in factors]
        self.factors = [table.copy() for table in factors]
        self._columns = columns
        self._counts = [
            np.bincount(column, minlength=len(table)) for column, table in zip(columns, factors, strict=True)
        ]
        self._left = above - pairs([table[column] for table, column in zip(factors, columns, strict=True)])
        # Ratings that all are the same have no variance; what is measured by it does not matter then.
        self._variance = float(above.var()) or 1.0
        self._noise = self._variance
        width = factors[0].shape[1]
        self._found = weight_regularisation is None, regularisation is None
        self._of_weights = np.full(len(columns), weight_regularisation or _START[0])
        self._of_factors = np.full((len(columns), width), regularisation or _START[1])
        # By how much numbers may be off: their variances, 0 where λ is given.
        self._unsure = [np.zeros(len(table)) for table in factors]
        self._unsure_factors = [np.zeros(table.shape) for table in factors]

    def epochs(self, n: int) -> Iterator[float]:
        """Solve everything n times; gives the mean squared error that is left after each."""
        for _ in range(n):
            for place in range(len(self._columns)):
                self._solve_weights(place)
            for factor in range(self._of_factors.shape[1]):
                self._solve_factor(factor)
            loss = float(np.mean(self._left**2))
            self._noise = max(loss, _LEAST_NOISE * self._variance)
            self._hold_back()
            yield loss

    def held_back(self, place: int) -> Vector:
        """λ of a column, (1 + factors,): that of the weights first."""
        return np.append(self._of_weights[place], self._of_factors[place])

    def centre(self, place: int) -> float:
        """Make a column's mean over the ratings zero, so that without it a rating is that of the mean label.

        What the mean says goes into the weights of the other columns, and into the number returned, which
        is to be added to all ratings: they stay what they are.
        """
        share = self._counts[place] / self._counts[place].sum()
        weight, mean = float(share @ self.weights[place]), share @ self.factors[place]
        self.weights[place] -= weight
        self.factors[place] -= mean
        for other, factors in enumerate(self.factors):
            if other != place:
                self.weights[other] += factors @ mean
        return weight

    def _solve_weights(self, place: int) -> None:
        column, table = self._columns[place], self.weights[place]
        left = self._left + table[column]
        certain = self._counts[place] + self._of_weights[place]
        table[:] = np.bincount(column, left, minlength=len(table)) / certain
        self._unsure[place] = self._noise / certain
        self._left = left - table[column]

    def _solve_factor(self, factor: int) -> None:
        """One factor of every column, column after column."""
        tables = [table[:, factor] for table in self.factors]
        unsure = [table[:, factor] for table in self._unsure_factors]
        total = _sums(tables, self._columns)
        variance = _sums(unsure, self._columns)
        for place, (column, table) in enumerate(zip(self._columns, tables, strict=True)):
            others = total - table[column]
            variance_of_others = variance - unsure[place][column]
            left = self._left + others * table[column]
            certain = np.bincount(column, others**2 + variance_of_others, minlength=len(table))
            certain += self._of_factors[place, factor]
            table[:] = np.bincount(column, others * left, minlength=len(table)) / certain
            self._left = left - others * table[column]
            total = others + table[column]
            if self._found[1]:
                unsure[place][:] = self._noise / certain
                variance = variance_of_others + unsure[place][column]

    def _hold_back(self) -> None:
        """λ anew: the error that is left by how much the numbers vary, for all that is known."""
        for place, (weights, factors) in enumerate(zip(self.weights, self.factors, strict=True)):
            # One more number of the ratings' own size, so that a column of few labels is not held at zero.
            n = len(weights) + 1
            if self._found[0]:
                spread = np.sum(weights**2 + self._unsure[place])
                self._of_weights[place] = n * self._noise / (spread + self._variance)
            if self._found[1]:
                spreads = np.sum(factors**2 + self._unsure_factors[place], axis=0)
                self._of_factors[place] = n * self._noise / (spreads + np.sqrt(self._variance))


def _sums(tables: Sequence[Vector], columns: Sequence[IntArray]) -> Vector:
    """Of each rating, the sum of what its features have, (n,)."""
    found: Vector = np.sum([table[column] for table, column in zip(tables, columns, strict=True)], axis=0)
    return found


def pairs(rows: Sequence[Vector]) -> Vector:
    """The sum of products of all pairs of columns, (n,). rows: a column each, (n, factors)."""
    total = np.sum(rows, axis=0)
    products: Vector = (total**2 - np.sum([row**2 for row in rows], axis=0)).sum(axis=1) / 2
    return products
