"""Ratings by row and by column, and what each row has in common with each other.

Enters: ratings, all at once or one by one; rows are the side that is compared, visitors or items. Leaves:
similarities of rows. One by one comes to what all at once does: exactly, but for the rounding of sums.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamrec.models._growing import Growing
from streamrec.models._pair_table import PairTable
from streamrec.models._similarity import (
    ADDITIVE,
    BY_TOTALS,
    N_STATISTICS,
    Scale,
    Similarity,
    Totals,
    similarities,
    statistics,
)

__all__ = ["CoRatings", "Lines"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

_NO_INTS: Final = np.empty(0, np.int64)
_NO_FLOATS: Final = np.empty(0)
_PAIRS_AT_ONCE: Final = 1 << 20
"""Whose sums are in memory while similarities are made of them, at most, as far as one row has no more."""


class Lines:
    """Sparse lines of ratings, each by ascending index of the other side; a pair is rated once."""

    def __init__(self) -> None:
        self.indices: list[Ints] = []
        self.values: list[Floats] = []
        self._count, self._total, self._square = (Growing(_NO_FLOATS) for _ in range(3))

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def count(self) -> Floats:
        """How many ratings each line has, (n,)."""
        return self._count.values

    @property
    def total(self) -> Floats:
        """Their sum, (n,)."""
        return self._total.values

    @property
    def square(self) -> Floats:
        """The sum of their squares, (n,)."""
        return self._square.values

    def fill(self, lines: Ints, others: Ints, values: Floats) -> None:
        """Set all ratings at once; every line has one."""
        order = np.lexsort((others, lines))
        self._split(np.bincount(lines), others[order], values[order])
        self._total = Growing(np.bincount(lines, values).astype(np.float64))
        self._square = Growing(np.bincount(lines, values**2).astype(np.float64))

    def put(self, line: int, other: int, value: float) -> float | None:
        """Add a rating, or replace it: then the one before is given. A line is new or there."""
        if line == len(self):
            self.indices.append(_NO_INTS)
            self.values.append(_NO_FLOATS)
            for column in (self._count, self._total, self._square):
                column.append(0.0)
        there, place = self.indices[line], int(np.searchsorted(self.indices[line], other))
        before = None
        if place < len(there) and there[place] == other:
            before = float(self.values[line][place])
            self.values[line][place] = value
        else:
            self.indices[line] = np.insert(there, place, other)
            self.values[line] = np.insert(self.values[line], place, value)
            self.count[line] += 1
        self.total[line] += value - (before or 0.0)
        self.square[line] += value**2 - (before or 0.0) ** 2
        return before

    def gather(self, lines: Sequence[int]) -> tuple[Ints, Ints, Floats]:
        """Ratings of lines, one after the other: (n,) how many each has; (m,) indices, (m,) values."""
        indices = [self.indices[line] for line in lines]
        lengths = np.array([len(each) for each in indices], np.int64)
        values = [self.values[line] for line in lines]
        return lengths, np.concatenate([_NO_INTS, *indices]), np.concatenate([_NO_FLOATS, *values])

    def means(self) -> Floats:
        """The mean of each line, (n,)."""
        return self.total / np.maximum(self.count, 1)

    def totals(self, lines: Ints) -> Totals:
        """Of lines, as similarities take them."""
        return Totals(self.count[lines], self.square[lines])

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """For files, by names that begin with `name`."""
        lengths, indices, values = self.gather(range(len(self)))
        columns = {
            "lengths": lengths,
            "indices": indices,
            "values": values,
            "total": self.total,
            "square": self.square,
        }
        return {f"{name}_{key}": column for key, column in columns.items()}

    def restore(self, arrays: Arrays, name: str) -> None:
        """Take over what `arrays` gave."""
        self._split(arrays[f"{name}_lengths"], arrays[f"{name}_indices"], arrays[f"{name}_values"])
        self._total, self._square = (Growing(arrays[f"{name}_{key}"]) for key in ("total", "square"))

    def _split(self, lengths: Ints, indices: Ints, values: Floats) -> None:
        ends = np.cumsum(lengths)[:-1]
        # Copies: views would keep all ratings in memory as long as one line is as it was.
        self.indices = [each.copy() for each in np.split(indices, ends)]
        self.values = [each.copy() for each in np.split(values, ends)]
        self._count = Growing(lengths.astype(np.float64))


class CoRatings:
    """Ratings, and the sums of all pairs of rows that share a column. Memory: ratings and such pairs."""

    def __init__(self, kind: Similarity, significance: int = 0) -> None:
        """significance: shared columns below which a similarity counts for less; 0 for none."""
        self.rows, self.columns = Lines(), Lines()
        self._kind: Similarity = kind
        self._significance = significance
        self._scale = Scale(np.inf, -np.inf)
        self._table = PairTable(N_STATISTICS[kind])
        self._kept = True

    @property
    def scale(self) -> Scale:
        """Lowest and highest rating ever given."""
        return self._scale

    def fill(
        self,
        rows: Ints,
        columns: Ints,
        values: Floats,
        on_row: Callable[[int], object],
        scale: Scale | None = None,
    ) -> None:
        """Set all ratings at once, each pair once.

        on_row: told how many rows are done. scale: None if no rating was replaced.
        """
        self.rows.fill(rows, columns, values)
        self.columns.fill(columns, rows, values)
        self._scale = scale or Scale(float(values.min()), float(values.max()))

        def lines() -> Iterator[tuple[Ints, Floats]]:
            for row in range(len(self.rows)):
                yield self._of_line(self.rows.indices[row], self.rows.values[row], row)
                on_row(row + 1)

        self._table.fill(lines())

    def put(self, row: int, column: int, value: float) -> None:
        """Add a rating, or replace it. Row and column are there or are the next new one."""
        before = self.rows.put(row, column, value)
        self.columns.put(column, row, value)
        self._scale = Scale(min(self._scale.lowest, value), max(self._scale.highest, value))
        if self._kind not in ADDITIVE:
            # Sums of pairs of other rows have changed, too: from now on they are made when asked for.
            self._kept = False
            return
        there = self.columns.indices[column] != row
        others, other = self.columns.indices[column][there], self.columns.values[column][there]
        mine = np.full(len(others), row)
        self._table.add(mine, others, self._change(np.full(len(other), value), other, before, own_first=True))
        self._table.add(
            others, mine, self._change(np.full(len(other), value), other, before, own_first=False)
        )

    def of_rows(self, rows: Ints, among: NDArray[np.bool_] | None = None) -> tuple[Ints, Ints, Floats]:
        """Similarities of rows: (m,) places in `rows`, (m,) other rows, ascending by both; (m,) numbers.

        among: (all rows,) which other rows are asked for; all if None.
        """
        step = max(1, _PAIRS_AT_ONCE // max(1, len(self.rows)))
        parts = [self._of_some(rows[at : at + step], among) for at in range(0, len(rows), step)]
        if len(parts) == 1:
            return parts[0]
        places = [place + n * step for n, (place, _, _) in enumerate(parts)]
        return (
            np.concatenate([_NO_INTS, *places]),
            np.concatenate([_NO_INTS, *(others for _, others, _ in parts)]),
            np.concatenate([_NO_FLOATS, *(found for _, _, found in parts)]),
        )

    def of_stranger(self, columns: Ints, values: Floats) -> tuple[Ints, Floats]:
        """Similarities of a row that is not there: (m,) other rows, (m,) similarities."""
        others, sums = self._of_line(columns, values, -1)
        count, square = np.full(len(others), len(values), float), np.full(len(others), np.sum(values**2))
        return others, self._weighted(sums, Totals(count, square), others)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For files."""
        state = {"scale": np.array(self._scale), "kept": np.array(self._kept), **self._table.arrays()}
        return {**state, **self.rows.arrays("rows"), **self.columns.arrays("columns")}

    def restore(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        lowest, highest = arrays["scale"].tolist()
        self._scale, self._kept = Scale(lowest, highest), bool(arrays["kept"])
        self._table.restore(arrays)
        self.rows.restore(arrays, "rows")
        self.columns.restore(arrays, "columns")

    def _of_some(self, rows: Ints, among: NDArray[np.bool_] | None) -> tuple[Ints, Ints, Floats]:
        """As of_rows, all at once."""
        if self._kept:
            places, others, sums = self._table.of_rows(rows, among)
        else:
            found = [self._of_line(self.rows.indices[row], self.rows.values[row], row) for row in rows]
            places = np.repeat(np.arange(len(rows)), [len(other) for other, _ in found])
            others = np.concatenate([_NO_INTS, *(other for other, _ in found)])
            empty = np.empty((N_STATISTICS[self._kind], 0))
            sums = np.concatenate([empty, *(of_row for _, of_row in found)], axis=1)
            if among is not None:
                asked = among[others]
                places, others, sums = places[asked], others[asked], sums[:, asked]
        return places, others, self._weighted(sums, self._totals(rows[places]), others)

    def _of_line(self, columns: Ints, values: Floats, row: int) -> tuple[Ints, Floats]:
        """Sums of a line with all rows but `row` that share a column with it: rows, ascending, and sums."""
        lengths, others, other = self.columns.gather(columns.tolist())
        mean = np.repeat(self.columns.total[columns] / self.columns.count[columns], lengths)
        added = statistics(self._kind, np.repeat(values, lengths), other, mean, self._scale)
        sums: Floats = np.stack([np.bincount(others, each, len(self.rows)) for each in added])
        shared = sums[0] > 0
        if row >= 0:
            shared[row] = False
        found: Ints = np.flatnonzero(shared)
        return found, sums[:, shared]

    def _change(self, value: Floats, other: Floats, before: float | None, *, own_first: bool) -> Floats:
        def added(mine: Floats) -> Floats:
            own, its = (mine, other) if own_first else (other, mine)
            return statistics(self._kind, own, its, np.zeros(len(other)), self._scale)

        return added(value) if before is None else added(value) - added(np.full(len(other), before))

    def _totals(self, rows: Ints) -> Totals:
        """Of rows, where similarities take them at all: of many pairs they are not had for nothing."""
        return self.rows.totals(rows) if self._kind in BY_TOTALS else Totals(_NO_FLOATS, _NO_FLOATS)

    def _weighted(self, sums: Floats, own: Totals, others: Ints) -> Floats:
        found = similarities(self._kind, sums, own, self._totals(others))
        if self._significance:
            found *= np.minimum(sums[0], self._significance) / self._significance
        return found
