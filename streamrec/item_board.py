"""What lists know of a partition's items: factors and popularity, as of the last tick.

In: the item rows of a partition, in the order of its log. Out: the items that suit a
visitor's vector and the popular ones, best first, the same on every machine.

Item rows wait until event time reaches the next tick, so that a list never sees what was
learned from later clicks, however the log was cut into batches.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import StateError
from streamrec.state.rows import ITEM, Factors, ItemRow, decode_item_row

__all__ = ["ItemBoard"]

# Factors are whole multiples of 2⁻¹⁶ between ±64 and computed with as float64. The product
# of two is below 2⁴⁴ and a sum of 256 of them below 2⁵³: every sum is exact, so a score
# depends neither on the order of addition nor on the batch, the item's place or the BLAS.
_STEPS: Final = 2.0**16
_LIMIT: Final = 64.0
_SPARE: Final = 16
_LEAST: Final = 256

_Numbers = NDArray[np.float64]


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
        self._bias: _Numbers = np.zeros(0)
        self._heat: _Numbers = np.zeros(0)
        self._popular: dict[int, list[str]] = {}

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
        for item_id, row in self._pending.items():
            if row is None:
                self._remove(item_id)
            else:
                self._put(item_id, row)
        self._pending.clear()
        self._popular.clear()

    def suiting(self, visitors: Sequence[Factors]) -> _Numbers:
        """Scores of the visible items for each visitor, shape (B, items), exact.

        -inf for items without a vector. Raises StateError on vectors of another length.
        """
        n, width = len(self._ids), self._matrix.shape[1]
        vectors = np.zeros((len(visitors), width))
        if width:
            for i, factors in enumerate(visitors):
                vectors[i] = self._fixed("visitor", factors)
        scores: _Numbers = vectors @ self._matrix[:n].T + self._bias[:n]
        return scores

    def best(self, scores: _Numbers, n: int, *excluded: AbstractSet[str]) -> list[str]:
        """The n items with the highest scores, best first, without those in any set; ties by item id.

        scores: one for every visible item, as from `suiting`; -inf leaves the item out.
        """
        return _first(n, lambda wanted: self._highest(scores, wanted), len(scores), excluded)

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

    def popular(self, n: int, *excluded: AbstractSet[str]) -> list[str]:
        """The n items with the highest decayed counts, without those in any set; ties by item id."""
        return _first(n, self._hottest, len(self._ids), excluded)

    def _hottest(self, n: int) -> list[str]:
        hottest = self._popular.get(n)
        if hottest is None:
            hottest = self._popular[n] = self._highest(self._heat[: len(self._ids)], n)
        return hottest

    def _highest(self, scores: _Numbers, n: int) -> list[str]:
        if n < len(scores):
            cut = len(scores) - n
            places = np.flatnonzero(scores >= np.partition(scores, cut)[cut])
        else:
            places = np.arange(len(scores))
        ids = self._ids
        ranked = sorted(
            (-score, ids[place])
            for score, place in zip(scores[places].tolist(), places.tolist(), strict=True)
            if score > -math.inf
        )
        return [item_id for _, item_id in ranked]

    def _put(self, item_id: str, row: ItemRow) -> None:
        self._make_room(len(row.factors.vector) // 8)
        place = self._places.get(item_id)
        if place is None:
            place = self._places[item_id] = len(self._ids)
            self._ids.append(item_id)
        # log₂ of the count plus the half-lives from 1970 to its time: orders items as
        # their decayed counts do, whatever the clock says.
        heat = math.log2(row.count) + row.time / self._half_life_ms if row.count > 0 else -math.inf
        self._heat[place] = heat
        if row.factors.vector:
            self._matrix[place] = self._fixed(f"item {item_id}", row.factors)
            # In the unit of the product of two factors, so that the sum stays exact.
            self._bias[place] = round(max(-_LIMIT, min(row.factors.bias, _LIMIT)) * _STEPS**2)
        else:
            self._bias[place] = -math.inf

    def _remove(self, item_id: str) -> None:
        place = self._places.pop(item_id, None)
        if place is None:
            return
        last = len(self._ids) - 1
        moved = self._ids.pop()
        if place != last:
            self._ids[place] = moved
            self._places[moved] = place
            for column in (self._matrix, self._bias, self._heat):
                column[place] = column[last]

    def _make_room(self, width: int) -> None:
        rows = len(self._ids)
        capacity, old_width = self._matrix.shape
        if rows < capacity and (width == old_width or not width):
            return
        capacity = max(_LEAST, capacity if rows < capacity else 2 * capacity)
        matrix = np.zeros((capacity, old_width or width))
        matrix[:rows, :old_width] = self._matrix[:rows]
        bias, heat = np.zeros(capacity), np.zeros(capacity)
        bias[:rows], heat[:rows] = self._bias[:rows], self._heat[:rows]
        self._matrix, self._bias, self._heat = matrix, bias, heat

    def _fixed(self, owner: str, factors: Factors) -> _Numbers:
        vector = np.frombuffer(factors.vector, dtype="<f8")
        if len(vector) != self._matrix.shape[1]:
            raise StateError(
                f"{owner}: a vector has {len(vector)} factors where others of the partition have "
                f"{self._matrix.shape[1]}; rebuild the state after changing online_mf.factors"
            )
        fixed: _Numbers = np.rint(np.clip(vector, -_LIMIT, _LIMIT) * _STEPS)
        return fixed


def _first(
    n: int, best: Callable[[int], list[str]], most: int, excluded: Iterable[AbstractSet[str]]
) -> list[str]:
    """The first n of a ranking without the excluded; `best` gives its first so many."""
    barred = [some for some in excluded if some]
    wanted = n + _SPARE if barred else n
    while True:
        found = best(wanted)
        for some in barred:
            found = [item_id for item_id in found if item_id not in some]
        if len(found) >= n or wanted >= most:
            return found[:n]
        wanted *= 4
