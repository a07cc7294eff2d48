"""Sums of pairs of rows: sparse, growing by single events, a row's pairs read at once.

Enters: pairs and what they add. Leaves: the pairs of rows that are asked for, with their sums so far.
Written by hand: of scipy's sparse matrices one would be needed for each sum, none of which can grow in place.

Sums are computed in double precision and kept in single as long as that holds all of them exactly: those of
ratings in whole or half points take half the memory, and no answer differs by a bit.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairTable"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Sums = NDArray[Any]
"""(s, n), in single or double precision."""

_SHIFT: Final = 32
# A pair that is new moves all behind it. So new ones are kept apart, until they are this many and a share
# of those there were: then moving everything costs little for each.
_RECENT: Final = 16_384
_SHARE: Final = 32
_BLOCK: Final = 1 << 18
"""Pairs that are put in at a time, about: what training takes beside the table itself."""


class PairTable:
    """Sums by ordered pair of dense indices below 2³¹; both orders of a pair are entries of their own."""

    def __init__(self, n_sums: int) -> None:
        # Two disjoint levels, all and recent.
        self._n_sums = n_sums
        self._levels = [_Level(*self._nothing()) for _ in range(2)]

    def __len__(self) -> int:
        return sum(len(level.keys) for level in self._levels)

    def fill(self, lines: Iterable[tuple[Ints, Floats]]) -> None:
        """Set all pairs at once. lines: of each row in turn the other rows, (m,) ascending, and (s, m) sums."""
        empty_keys, empty_sums = self._nothing()
        keys, sums = [empty_keys], [empty_sums]
        for of_keys, of_sums in _blocks(lines):
            keys.append(of_keys)
            sums.append(of_sums)
        self._levels = [_Level(_joined(keys), _joined(sums)), _Level(empty_keys, empty_sums)]

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
            self._levels[1] = _Level(*self._nothing())

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
            sums.append(level.sums[:, at].astype(np.float64))
        if not len(places[1]):
            return places[0], others[0], sums[0]
        place, other = np.concatenate(places), np.concatenate(others)
        order = np.argsort((place << _SHIFT) | other)
        return place[order], other[order], np.concatenate(sums, axis=1)[:, order]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For files."""
        everything, recent = self._levels
        return {
            "keys": everything.keys,
            "sums": everything.sums,
            "recent_keys": recent.keys,
            "recent_sums": recent.sums,
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `arrays` gave."""
        self._levels = [
            _Level(arrays[f"{name}keys"].astype(np.int64), arrays[f"{name}sums"]) for name in ("", "recent_")
        ]

    def _nothing(self) -> tuple[Ints, Sums]:
        return np.empty(0, np.int64), np.empty((self._n_sums, 0), np.float32)


class _Level:
    """Pairs in the order of their keys: (n,) keys and (s, n) sums."""

    __slots__ = ("keys", "sums")

    def __init__(self, keys: Ints, sums: Sums) -> None:
        self.keys, self.sums = keys, sums

    def add(self, places: Ints, sums: Floats) -> None:
        """Add to pairs that are there, each once at most."""
        total = self.sums[:, places] + sums
        self._hold(total)
        self.sums[:, places] = total

    def insert(self, keys: Ints, sums: Sums) -> None:
        """Put in pairs that are not there; keys ascending."""
        self._hold(sums)
        places = np.searchsorted(self.keys, keys)
        self.keys = np.insert(self.keys, places, keys)
        self.sums = np.insert(self.sums, places, sums, axis=1)

    def _hold(self, sums: Sums) -> None:
        """Go over to double precision if single does not hold these."""
        if self.sums.dtype == np.float32 and _narrowed(sums).dtype != np.float32:
            self.sums = self.sums.astype(np.float64)


def _narrowed(sums: Sums) -> Sums:
    """In single precision if that holds them exactly."""
    with np.errstate(over="ignore"):
        single = sums.astype(np.float32)
    return single if (single == sums).all() else sums


def _blocks(lines: Iterable[tuple[Ints, Floats]]) -> Iterator[tuple[Ints, Sums]]:
    """Keys and sums of some rows at a time."""
    keys: list[Ints] = []
    sums: list[Floats] = []
    waiting = 0
    for row, (others, of_row) in enumerate(lines):
        keys.append((row << _SHIFT) | others)
        sums.append(of_row)
        waiting += len(others)
        if waiting >= _BLOCK:
            yield np.concatenate(keys), _narrowed(np.concatenate(sums, axis=1))
            keys, sums, waiting = [], [], 0
    if keys:
        yield np.concatenate(keys), _narrowed(np.concatenate(sums, axis=1))


def _joined(blocks: list[NDArray[Any]]) -> NDArray[Any]:
    """All blocks in one array, along the last axis; the list is emptied.

    Each block is let go once it is copied: memory holds everything once, not twice.
    """
    shape = (*blocks[0].shape[:-1], sum(block.shape[-1] for block in blocks))
    joined = np.empty(shape, np.result_type(*blocks))
    end = shape[-1]
    while blocks:
        block = blocks.pop()
        start = end - block.shape[-1]
        joined[..., start:end] = block
        end = start
    return joined
