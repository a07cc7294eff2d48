"""Sums of pairs of rows: sparse, growing by single events, a row's pairs read at once.

Enters: pairs and what they add. Leaves: the pairs of rows that are asked for, with their sums so far.
Written by hand: of scipy's sparse matrices one would be needed for each sum, none of which can grow in place.

Sums are computed in double precision and kept in single as long as that holds all of them exactly: those of
ratings in whole or half points take half the memory, and no answer differs by a bit.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
_NAMES: Final = ("", "recent_")
_BLOCK: Final = 1 << 17
"""Pairs that are put in at a time, about: what training takes beside the table itself."""


class PairTable:
    """Sums by ordered pair of dense indices below 2³¹; both orders of a pair are entries of their own."""

    def __init__(self, n_sums: int) -> None:
        self._n_sums = n_sums
        # Two disjoint levels, all and recent.
        self._levels = [_Level.empty(n_sums), _Level.empty(n_sums)]

    def __len__(self) -> int:
        return sum(len(level.keys) for level in self._levels)

    def fill(self, lines: Iterable[tuple[Ints, Floats]]) -> None:
        """Set all pairs at once. lines: of each row in turn (m,) other rows, ascending, and (s, m) sums."""
        self._levels = [_Level.of(_blocks(lines), self._n_sums), _Level.empty(self._n_sums)]

    def add(self, rows: Ints, others: Ints, sums: Floats) -> None:
        """Add to pairs, each once at most; those that are new begin at 0. sums: (s, m)."""
        keys = (rows << _SHIFT) | others
        order = np.argsort(keys)
        keys, sums = keys[order], sums[:, order]
        for level in self._levels:
            places = np.searchsorted(level.keys, keys)
            found = places < len(level.keys)
            found[found] = level.keys[places[found]] == keys[found]
            level.add(places[found], sums[:, found])
            keys, sums = keys[~found], sums[:, ~found]
        everything, recent = self._levels
        recent.insert(keys, sums)
        if len(recent.keys) > _RECENT + len(everything.keys) // _SHARE:
            everything.insert(recent.keys, recent.sums)
            self._levels[1] = _Level.empty(self._n_sums)

    def of_rows(self, rows: Ints, among: NDArray[np.bool_] | None = None) -> tuple[Ints, Ints, Floats]:
        """Pairs of rows: (m,) places in `rows`, (m,) the other rows, (s, m) sums; ascending by both.

        among: which other rows are asked for, by index; all if None.
        """
        places, others, sums = [], [], []
        for level in self._levels:
            first = np.searchsorted(level.keys, rows << _SHIFT)
            lengths = np.searchsorted(level.keys, (rows + 1) << _SHIFT) - first
            place = np.repeat(np.arange(len(rows)), lengths)
            at = np.arange(len(place)) + np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
            other = level.keys[at] & ((1 << _SHIFT) - 1)
            if among is not None:
                asked = among[other]
                place, at, other = place[asked], at[asked], other[asked]
            places.append(place)
            others.append(other)
            sums.append(np.array([each[at] for each in level.sums], np.float64))
        if not len(places[1]):
            return places[0], others[0], sums[0]
        place, other = np.concatenate(places), np.concatenate(others)
        order = np.argsort((place << _SHIFT) | other)
        return place[order], other[order], np.concatenate(sums, axis=1)[:, order]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For files."""
        return {
            f"{name}{part}": array
            for name, level in zip(_NAMES, self._levels, strict=True)
            for part, array in level.arrays().items()
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `arrays` gave."""
        self._levels = [
            _Level(
                arrays[f"{name}keys"].astype(np.int64),
                [arrays[f"{name}sum{n}"] for n in range(self._n_sums)],
            )
            for name in _NAMES
        ]


class _Level:
    """Pairs in the order of their keys, (n,), with (n,) of each sum: single or double precision."""

    __slots__ = ("keys", "sums")

    def __init__(self, keys: Ints, sums: list[NDArray[Any]]) -> None:
        self.keys, self.sums = keys, sums

    @classmethod
    def empty(cls, n_sums: int) -> "_Level":
        """No pairs."""
        return cls(np.empty(0, np.int64), [np.empty(0, np.float32) for _ in range(n_sums)])

    @classmethod
    def of(cls, blocks: Iterable[tuple[Ints, Floats]], n_sums: int) -> "_Level":
        """All pairs, by ascending keys."""
        # Arrays that grow where they are: of blocks that are joined in the end memory would hold two each.
        keys, sums = array("q"), [array("f") for _ in range(n_sums)]
        for of_keys, of_sums in blocks:
            keys.frombytes(of_keys.tobytes())
            for n, of_sum in enumerate(of_sums):
                if sums[n].typecode == "f" and not _is_single(of_sum):
                    sums[n] = array("d", sums[n])
                sums[n].frombytes(of_sum.astype(sums[n].typecode).tobytes())
        return cls(np.frombuffer(keys, np.int64), [np.frombuffer(each, each.typecode) for each in sums])

    def add(self, places: Ints, sums: Floats) -> None:
        """Add to pairs that are there, each once at most."""
        for n, more in enumerate(sums):
            total = self.sums[n][places] + more
            self._hold(n, total)
            self.sums[n][places] = total

    def insert(self, keys: Ints, sums: Sequence[NDArray[Any]] | Floats) -> None:
        """Put in pairs that are not there; keys ascending."""
        places = np.searchsorted(self.keys, keys)
        self.keys = np.insert(self.keys, places, keys)
        for n, of_sum in enumerate(sums):
            self._hold(n, of_sum)
            self.sums[n] = np.insert(self.sums[n], places, of_sum)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For files."""
        return {"keys": self.keys, **{f"sum{n}": of_sum for n, of_sum in enumerate(self.sums)}}

    def _hold(self, n: int, sums: NDArray[Any]) -> None:
        """Go over to double precision if single does not hold these."""
        if self.sums[n].dtype == np.float32 and not _is_single(sums):
            self.sums[n] = self.sums[n].astype(np.float64)


def _is_single(sums: NDArray[Any]) -> bool:
    """Whether single precision holds them exactly."""
    with np.errstate(over="ignore"):
        return bool((sums.astype(np.float32) == sums).all())


def _blocks(lines: Iterable[tuple[Ints, Floats]]) -> Iterator[tuple[Ints, Floats]]:
    """Keys and sums of some rows at a time."""
    keys: list[Ints] = []
    sums: list[Floats] = []
    waiting = 0
    for row, (others, of_row) in enumerate(lines):
        keys.append((row << _SHIFT) | others)
        sums.append(of_row)
        waiting += len(others)
        if waiting >= _BLOCK:
            yield np.concatenate(keys), np.concatenate(sums, axis=1)
            keys, sums, waiting = [], [], 0
    if keys:
        yield np.concatenate(keys), np.concatenate(sums, axis=1)
