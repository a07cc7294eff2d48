"""Sums of pairs of rows: sparse, growing by single events, a row's pairs read at once.

Enters: pairs and what they add. Leaves: the pairs of rows that are asked for, with their sums so far.
Written by hand: of scipy's sparse matrices one would be needed for each sum, none of which can grow in place.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairTable"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_SHIFT: Final = 32
# A pair that is new moves all behind it. So new ones are kept apart, until they are this many and a share
# of those there were: then moving everything costs little for each.
_RECENT: Final = 16_384
_SHARE: Final = 32


class PairTable:
    """Sums by ordered pair of dense indices below 2³¹; both orders of a pair are entries of their own."""

    def __init__(self, n_sums: int) -> None:
        # Two disjoint levels, all and recent: (n,) keys, ascending, and (s, n) sums.
        self._levels = [(np.empty(0, np.int64), np.empty((n_sums, 0))) for _ in range(2)]

    def __len__(self) -> int:
        return sum(len(keys) for keys, _ in self._levels)

    def fill(self, rows: Ints, others: Ints, sums: Floats) -> None:
        """Set all pairs at once. rows, others: (n,) ascending by row, then other; sums: (s, n)."""
        empty = (np.empty(0, np.int64), np.empty((len(sums), 0)))
        self._levels = [((rows << _SHIFT) | others, sums), empty]

    def add(self, rows: Ints, others: Ints, sums: Floats) -> None:
        """Add to pairs, each once at most; those that are new begin at 0. sums: (s, m)."""
        keys = (rows << _SHIFT) | others
        order = np.argsort(keys)
        keys, sums = keys[order], sums[:, order]
        for at, known in self._levels:
            places = np.searchsorted(at, keys)
            found = places < len(at)
            found[found] = at[places[found]] == keys[found]
            known[:, places[found]] += sums[:, found]
            keys, sums = keys[~found], sums[:, ~found]
        self._levels[1] = _inserted(self._levels[1], keys, sums)
        if len(self._levels[1][0]) > _RECENT + len(self._levels[0][0]) // _SHARE:
            self._levels[0] = _inserted(self._levels[0], *self._levels[1])
            self._levels[1] = (np.empty(0, np.int64), np.empty((len(sums), 0)))

    def of_rows(self, rows: Ints) -> tuple[Ints, Ints, Floats]:
        """All pairs of rows: (m,) places in `rows`, (m,) the other rows, (s, m) sums; ascending by both."""
        places, others, sums = [], [], []
        for keys, known in self._levels:
            first = np.searchsorted(keys, rows << _SHIFT)
            lengths = np.searchsorted(keys, (rows + 1) << _SHIFT) - first
            place = np.repeat(np.arange(len(rows)), lengths)
            at = np.arange(len(place)) + np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
            places.append(place)
            others.append(keys[at] & ((1 << _SHIFT) - 1))
            sums.append(known[:, at])
        if not len(places[1]):
            return places[0], others[0], sums[0]
        place, other = np.concatenate(places), np.concatenate(others)
        order = np.argsort((place << _SHIFT) | other)
        return place[order], other[order], np.concatenate(sums, axis=1)[:, order]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For files."""
        (keys, sums), (recent_keys, recent_sums) = self._levels
        return {"keys": keys, "sums": sums, "recent_keys": recent_keys, "recent_sums": recent_sums}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `arrays` gave."""
        self._levels = [
            (arrays[f"{level}keys"].astype(np.int64), arrays[f"{level}sums"].astype(np.float64))
            for level in ("", "recent_")
        ]


def _inserted(level: tuple[Ints, Floats], keys: Ints, sums: Floats) -> tuple[Ints, Floats]:
    """A level with more pairs; keys ascending, none in the level yet."""
    places = np.searchsorted(level[0], keys)
    return np.insert(level[0], places, keys), np.insert(level[1], places, sums, axis=1)
