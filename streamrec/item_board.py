"""What lists know of a partition's items: factors and popularity, as of the last tick.

In: the item rows of a partition, in the order of its log. Out: the items that suit visitors'
vectors and the popular ones, best first, the same on every machine.

Item rows wait until event time reaches the next tick, so that a list never sees what was
learned from later clicks, however the log was cut into batches.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import StateError
from streamrec.proposals import Keys, Proposals, item_keys, of_lists
from streamrec.state.rows import ITEM, Factors, ItemRow, decode_item_row

__all__ = ["ItemBoard"]

# Factors are whole multiples of 2⁻¹⁶ between ±64 and computed with as float64. The product
# of two is below 2⁴⁴ and a sum of 256 of them below 2⁵³: every sum is exact, so a score
# depends neither on the order of addition nor on the batch, the item's place or the BLAS.
_STEPS: Final = 2.0**16
_LIMIT: Final = 64.0
_SPARE: Final = 16
_LEAST: Final = 256
_GROUPS_PER_ITEM: Final = 4
"""Wanted: the more, the fewer items reach the bound by chance, and the longer the maxima take."""

_ROUNDING: Final = 2.0**-24
"""Of single precision: the most that a rounding changes a number, in proportion."""

_Numbers = NDArray[np.float64]
_Places = NDArray[np.int64]


class ItemBoard:
    """The items of one partition.

    tick_ms: distance of the ticks of event time. half_life_s: time in which an
    interaction loses half its weight in the popularity.
    """

    def __init__(self, tick_ms: int, half_life_s: float) -> None:
        self._tick_ms = tick_ms
        self._half_life_ms = half_life_s * 1000.0
        self._tick = -1
        self._pending: dict[str, ItemRow | None] = {}
        self._places: dict[str, int] = {}
        self._ids: list[str] = []
        self._matrix: _Numbers = np.zeros((0, 0))
        self._rough: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._longest = self._most_bias = 0.0
        self._bias: _Numbers = np.zeros(0)
        self._heat: _Numbers = np.zeros(0)
        self._keys: Keys = np.zeros(0, np.uint64)
        self._popular: dict[int, Proposals] = {}

    def __len__(self) -> int:
        """Number of visible items."""
        return len(self._ids)

    def __contains__(self, item_id: str) -> bool:
        """Whether an item is visible."""
        return item_id in self._places

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Note an item row, or its end (None); visible from the next tick on."""
        item_id = key[len(ITEM) :].decode()
        self._pending[item_id] = None if value is None else decode_item_row(value)

    def starts_tick(self, clock_ms: int) -> bool:
        """Whether `advance_to(clock_ms)` would begin a new tick."""
        return clock_ms // self._tick_ms > self._tick

    def advance_to(self, clock_ms: int) -> None:
        """Make pending rows visible if the partition's clock has passed a tick."""
        if not self.starts_tick(clock_ms):
            return
        self._tick = clock_ms // self._tick_ms
        if any(row is None or item_id not in self._places for item_id, row in self._pending.items()):
            self._ids = self._ids.copy()  # what was proposed goes by the places of before
        for item_id in [each for each, row in self._pending.items() if row is None]:
            self._remove(item_id)
        self._put([(item_id, row) for item_id, row in self._pending.items() if row is not None])
        self._pending.clear()
        self._popular.clear()

    def suiting(self, visitors: Sequence[Factors]) -> _Numbers:
        """Scores of the visible items for each visitor, shape (B, items), exact.

        -inf for items without a vector. Raises StateError on vectors of another length.
        """
        n, width = len(self._ids), self._matrix.shape[1]
        if not width:
            return np.full((len(visitors), n), -math.inf)
        scores = self._fixed([("visitor", each) for each in visitors]) @ self._matrix[:n].T
        scores += self._bias[:n]
        return scores

    def best(
        self,
        visitors: Sequence[Factors],
        n: int,
        unavailable: AbstractSet[str],
        excluded: Sequence[AbstractSet[str]],
    ) -> Proposals:
        """For each visitor the n items with the highest scores, best first; ties by the items' keys.

        unavailable: for nobody; excluded: for each visitor. Errors as in `suiting`.
        """
        items, width = len(self._ids), self._matrix.shape[1]
        if not width:
            return of_lists([[] for _ in visitors])
        vectors = self._fixed([("visitor", each) for each in visitors])
        rough = vectors.astype(np.float32) @ self._rough[:items].T
        rough += self._bias[:items]
        # The most that a sum loses in single precision, in whatever order it is added, and as much again:
        # Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1.
        sizes = np.linalg.norm(vectors, axis=1) * self._longest + self._most_bias
        lost = 2 * (width + 2) * _ROUNDING * sizes

        def exact(rows: _Places, places: _Places) -> _Numbers:
            found: _Numbers = np.einsum("ij,ij->i", vectors[rows], self._matrix[places])
            found += self._bias[places]
            return found

        def highest(wanted: int) -> Proposals:
            # An item among the n best is at most twice the loss below the n-th best of the rough scores.
            least = _bounds(rough, wanted) - 2 * lost
            least = np.maximum(least - 2 * _ROUNDING * np.abs(least), _lowest(rough)).astype(np.float32)
            return self._ranked(rough >= least[:, None], exact, wanted)

        return self._first(n, highest, unavailable, excluded)

    def suits(self, factors: Factors, item_ids: Iterable[str]) -> dict[str, float]:
        """Scores of some items for one visitor, in the unit of the factors: bias and product.

        Items that are not visible or have no vector are left out.
        """
        (scores,) = self.suiting([factors])
        found = {each: float(scores[self._places[each]]) / _STEPS**2 for each in item_ids if each in self}
        return {each: score for each, score in found.items() if score > -math.inf}

    def counts(self, item_ids: Iterable[str], clock_ms: int) -> dict[str, float]:
        """Weighted interactions of some items, decayed to `clock_ms`; without those that are not visible."""
        now = clock_ms / self._half_life_ms
        return {
            each: 2.0 ** (float(self._heat[self._places[each]]) - now) for each in item_ids if each in self
        }

    def popular(
        self, n: int, unavailable: AbstractSet[str], excluded: Sequence[AbstractSet[str]]
    ) -> Proposals:
        """For each visitor the n items with the highest decayed counts; otherwise as `best`."""
        everybody = np.zeros(len(excluded), np.int64)
        return self._first(n, lambda wanted: self._hottest(wanted).of(everybody), unavailable, excluded)

    def _hottest(self, n: int) -> Proposals:
        hottest = self._popular.get(n)
        if hottest is None:
            heat = self._heat[None, : len(self._ids)]
            reached = heat >= _bounds(heat, n)[:, None]
            hottest = self._popular[n] = self._ranked(reached, lambda _, places: self._heat[places], n)
        return hottest

    def _first(
        self,
        n: int,
        best: Callable[[int], Proposals],
        unavailable: AbstractSet[str],
        excluded: Sequence[AbstractSet[str]],
    ) -> Proposals:
        """The first n without what is left out; `best` gives the first so many with it."""
        if not unavailable and not any(excluded):
            return best(n)
        wanted = n + _SPARE
        while True:
            found = best(wanted).without(unavailable, excluded)
            if wanted >= len(self._ids) or found.lengths().min(initial=n) >= n:
                return found.first(n)
            wanted *= 4

    def _ranked(
        self, reached: NDArray[np.bool_], score: Callable[[_Places, _Places], _Numbers], n: int
    ) -> Proposals:
        """The n best in each row of the items that are marked there; score: of rows and places."""
        rows, places = np.divmod(np.flatnonzero(reached), max(1, reached.shape[1]))
        nth = np.arange(len(rows)) - np.searchsorted(rows, rows)
        shape = len(reached), int(nth.max(initial=-1)) + 1
        scores = np.full(shape, -math.inf)
        keys, at = np.zeros(shape, np.uint64), np.zeros(shape, np.int64)
        scores[rows, nth], keys[rows, nth], at[rows, nth] = score(rows, places), self._keys[places], places
        best = np.lexsort((keys, -scores), axis=1)[:, :n]
        return Proposals(
            np.take_along_axis(keys, best, axis=1), np.take_along_axis(at, best, axis=1), self._ids
        )

    def _put(self, rows: Sequence[tuple[str, ItemRow]]) -> None:
        known = len(self._ids)
        places = [self._place(item_id) for item_id, _ in rows]
        learned = [
            (place, f"item {item_id}", row.factors)
            for place, (item_id, row) in zip(places, rows, strict=True)
            if row.factors.vector
        ]
        self._make_room(max((len(factors.vector) // 8 for _, _, factors in learned), default=0))
        self._keys[known : len(self._ids)] = item_keys(self._ids[known:])
        # log₂ of the count plus the half-lives from 1970 to its time: orders items as
        # their decayed counts do, whatever the clock says.
        self._heat[places] = [
            math.log2(row.count) + row.time / self._half_life_ms if row.count > 0 else -math.inf
            for _, row in rows
        ]
        self._bias[places] = -math.inf
        if learned:
            with_vector = [place for place, _, _ in learned]
            vectors = self._fixed([(owner, factors) for _, owner, factors in learned])
            # Whole numbers below 2²⁴, so that single precision has them exactly as well.
            self._matrix[with_vector] = self._rough[with_vector] = vectors
            self._longest = max(self._longest, float(np.linalg.norm(vectors, axis=1).max()))
            biases = np.array([factors.bias for _, _, factors in learned])
            # In the unit of the product of two factors, so that the sum stays exact.
            self._bias[with_vector] = np.rint(np.clip(biases, -_LIMIT, _LIMIT) * _STEPS**2)
            self._most_bias = max(self._most_bias, float(np.abs(self._bias[with_vector]).max()))

    def _place(self, item_id: str) -> int:
        place = self._places.get(item_id)
        if place is None:
            place = self._places[item_id] = len(self._ids)
            self._ids.append(item_id)
        return place

    def _remove(self, item_id: str) -> None:
        place = self._places.pop(item_id, None)
        if place is None:
            return
        last = len(self._ids) - 1
        moved = self._ids.pop()
        if place != last:
            self._ids[place] = moved
            self._places[moved] = place
            for column in (self._matrix, self._rough, self._bias, self._heat, self._keys):
                column[place] = column[last]

    def _make_room(self, width: int) -> None:
        """A row for every id, wide enough for its vector."""
        (before, old_width), capacity = self._matrix.shape, len(self._matrix)
        if len(self._ids) <= capacity and (old_width or not width):
            return
        while capacity < len(self._ids):
            capacity = max(_LEAST, 2 * capacity)
        matrix = np.zeros((capacity, old_width or width))
        matrix[:before, :old_width] = self._matrix
        self._rough = matrix.astype(np.float32)
        bias, heat, keys = np.zeros(capacity), np.zeros(capacity), np.zeros(capacity, np.uint64)
        bias[:before], heat[:before], keys[:before] = self._bias, self._heat, self._keys
        self._matrix, self._bias, self._heat, self._keys = matrix, bias, heat, keys

    def _fixed(self, owned: Sequence[tuple[str, Factors]]) -> _Numbers:
        """Vectors as whole numbers, one a row; each with the name of its owner."""
        width = self._matrix.shape[1]
        for owner, factors in owned:
            if len(factors.vector) != 8 * width:
                raise StateError(
                    f"{owner}: a vector has {len(factors.vector) // 8} factors where others of the partition "
                    f"have {width}; rebuild the state after changing online_mf.factors"
                )
        vectors = np.frombuffer(b"".join([factors.vector for _, factors in owned]), dtype="<f8")
        fixed: _Numbers = np.rint(np.clip(vectors.reshape(-1, width), -_LIMIT, _LIMIT) * _STEPS)
        return fixed


def _lowest(scores: NDArray[Any]) -> float:
    return float(np.finfo(scores.dtype).min)


def _bounds(scores: NDArray[Any], n: int) -> _Numbers:
    """For each row a score that n items reach at least, and few more do, (B,); the least number that there
    is, where there are fewer.

    The n-th best of the maxima of groups: a partition of all scores takes ten times as long.
    """
    rows, items = scores.shape
    per_group = max(1, items // (_GROUPS_PER_ITEM * n))
    groups = items // per_group
    if groups < n:
        return np.full(rows, _lowest(scores))
    best = scores[:, : per_group * groups].reshape(rows, per_group, groups).max(axis=1)
    bounds = np.partition(best, groups - n, axis=1)[:, groups - n]
    return np.maximum(bounds.astype(np.float64), _lowest(scores))
