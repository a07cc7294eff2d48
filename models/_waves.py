"""Interactions learned in waves: many at once, and as if one after the other.

Enters: interactions in order, each with the rows of its visitor and its items. Leaves: the vectors of
those rows, learned by stochastic gradient descent.

An interaction stands in the wave behind the last one that changes a vector it begins with. No two of a wave
have a vector in common, so that a wave takes a few calls of numpy, however many are in it.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Descent", "Vectors", "Waves"]

Vectors = NDArray[np.float64]

_FEW: Final = 2
"""Interactions of a wave up to which they are learned faster one by one."""
_ROOM_KEPT: Final = 1 << 16
"""Numbers in matrices that are kept for the next waves of their size: 512 KiB."""


class _Wave(NamedTuple):
    """Interactions that have no vector in common."""

    rows: list[int]
    """Of each, the row of its visitor and those of its items, one interaction behind the other."""
    numbers: list[int]
    """Of each, the row where its visitor's vector goes."""
    targets: list[float]


class Waves:
    """Puts interactions into waves.

    Vectors are named by their rows in one array. In front stand the visitors' after each interaction, by its
    number; at the back, -1, -2, ..., those from before: a visitor's stays, an item's is overwritten.
    """

    __slots__ = ("_last", "_numbers", "_waves")

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._last: list[int] = []
        self._waves: dict[tuple[int, tuple[int, ...]], _Wave] = {}

    def __len__(self) -> int:
        """How many interactions there are."""
        return len(self._numbers)

    def __iter__(self) -> Iterator[tuple[tuple[int, ...], _Wave]]:
        """The waves in order, each behind the pairs of its interactions: which of the rows are the items'."""
        for key in sorted(self._waves):
            yield key[1], self._waves[key]

    def start(self) -> int:
        """The row of a vector that was there before."""
        self._last.append(-1)
        return -len(self._last)

    def add(self, rows: list[int], target: float) -> int:
        """Put in an interaction; returns its number.

        rows: of its visitor, or the number of the interaction that it goes on from; of its item; and of its
        negatives, whose target is 0.
        """
        last, numbers = self._last, self._numbers
        visitor, items = rows[0], rows[1:]
        before = numbers[visitor] if visitor >= 0 else -1
        for row in items:
            if last[~row] > before:
                before = last[~row]
        wave = before + 1
        for row in items:
            last[~row] = wave
        pairs = tuple(range(1, len(rows)))
        if len(set(items)) < len(items):
            unique = list(dict.fromkeys(items))
            rows, pairs = [visitor, *unique], tuple([unique.index(row) + 1 for row in items])
        key = wave, pairs
        waves = self._waves
        if key in waves:
            of_rows, of_numbers, targets = waves[key]
        else:
            of_rows, of_numbers, targets = waves[key] = _Wave([], [], [])
        of_rows += rows
        of_numbers.append(len(numbers))
        targets.append(target)
        numbers.append(wave)
        return len(numbers) - 1


class _Pair(NamedTuple):
    """What the step of a pair takes, for all interactions of a wave."""

    item: int
    """Which of an interaction's vectors is the item's; 0 is the visitor's."""
    mixers: Vectors
    """(interactions, vectors, vectors): what the vectors are multiplied with."""
    of_item: Vectors
    """Entries of those, (interactions,): how much of the item's vector goes into the visitor's. A view."""
    of_visitor: Vectors
    """And how much of the visitor's goes into the item's."""


class Descent:
    """Steps of gradient descent on the squared error of ⟨visitor, item⟩.

    A step takes a pair, the visitor and one item, and mixes their vectors. That is a product with a matrix,
    the identity but for four entries, of which two follow from the error. numpy has BLAS take one dot product
    and one matrix product after the other: an outcome depends on nothing else in the wave, bit for bit.
    """

    def __init__(
        self,
        *,
        passes: int,
        visitor_rate: float,
        item_rate: float,
        regularization: float,
        max_gradient: float,
    ) -> None:
        self._passes = passes
        # The gradient is twice the error: the bound on it is halved here, and the rates are doubled.
        self._most, self._least = np.array(max_gradient / 2), np.array(-max_gradient / 2)
        self._shares = -2 * visitor_rate, -2 * item_rate
        self._kept = 1 - visitor_rate * regularization, 1 - item_rate * regularization
        self._room_left = _ROOM_KEPT
        self._rooms: dict[tuple[int, tuple[int, ...]], list[_Pair]] = {}

    def learn(self, vectors: Vectors, waves: Waves) -> None:
        """Learn all interactions. vectors: (rows, factors), changed in place."""
        for pairs, wave in waves:
            if len(wave.numbers) > _FEW:
                self._learn_wave(vectors, wave, pairs)
            else:
                width = len(wave.rows) // len(wave.numbers)
                for place, (number, target) in enumerate(zip(wave.numbers, wave.targets, strict=True)):
                    rows = wave.rows[place * width : (place + 1) * width]
                    self._learn_one(vectors, rows, number, target, pairs)

    def _learn_wave(self, vectors: Vectors, wave: _Wave, pairs: tuple[int, ...]) -> None:
        n = len(wave.numbers)
        rows = np.array(wave.rows).reshape(n, -1)
        targets, most, least = np.array(wave.targets), self._most, self._least
        of_item, of_visitor = self._shares
        mixed = vectors.take(rows, 0)  # (interactions, vectors, factors)
        room = self._room(n, pairs)
        for _ in range(self._passes):
            for place, pair in enumerate(room):
                errors = np.vecdot(mixed[:, 0], mixed[:, pair.item])
                if place == 0:
                    errors -= targets
                np.minimum(errors, most, out=errors)
                np.maximum(errors, least, out=errors)
                np.multiply(errors, of_item, out=pair.of_item)
                np.multiply(errors, of_visitor, out=pair.of_visitor)
                mixed = np.matmul(pair.mixers, mixed)
        rows[:, 0] = wave.numbers
        vectors[rows] = mixed

    def _learn_one(
        self, vectors: Vectors, rows: list[int], number: int, target: float, pairs: tuple[int, ...]
    ) -> None:
        """The same for a single interaction, with plain numbers, which are faster than arrays of one."""
        most, least = float(self._most), float(self._least)
        of_item, of_visitor = self._shares
        mixed = vectors.take(rows, 0)
        room = [(pair.item, pair.mixers[0]) for pair in self._room(1, pairs)]
        for _ in range(self._passes):
            wanted = target
            for item, mixer in room:
                error = float(mixed[0].dot(mixed[item])) - wanted
                wanted = 0.0
                # In this order, what is no number stays none.
                error = max(min(error, most), least)
                mixer[0, item] = of_item * error
                mixer[item, 0] = of_visitor * error
                mixed = mixer.dot(mixed)
        vectors[number] = mixed[0]
        for row, vector in zip(rows[1:], mixed[1:], strict=True):
            vectors[row] = vector

    def _room(self, n: int, pairs: tuple[int, ...]) -> list[_Pair]:
        """What the steps of n interactions take, pair after pair."""
        room = self._rooms.get((n, pairs))
        if room is None:
            made: dict[int, _Pair] = {}
            n_vectors = max(pairs) + 1
            for item in pairs:
                mixer = np.eye(n_vectors)
                mixer[0, 0], mixer[item, item] = self._kept
                mixers = np.repeat(mixer[None], n, 0)
                made[item] = _Pair(item, mixers, mixers[:, 0, item], mixers[:, item, 0])
            room = [made[item] for item in pairs]
            size = sum(pair.mixers.size for pair in made.values())
            if size <= self._room_left:
                self._room_left -= size
                self._rooms[n, pairs] = room
        return room
