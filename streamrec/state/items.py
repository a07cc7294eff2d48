"""The items of one partition: dense slots, decayed counts, and which rows have changed.

What is learned of an item (its factors) lives in the online model; here is everything
else of an ItemRow. Rows are made by `flush`, one per item changed since the last one.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from struct import Struct
from typing import Final

from streamrec.state.expiry import Expiry
from streamrec.state.rows import Factors, ItemRow, Row, deletion, encode_row, item_key

__all__ = ["NO_FACTORS", "ItemIndex"]

NO_FACTORS: Final = Factors()
_ROW_BYTES: Final = 64
"""Room for an item row's fixed fields and its place in a record batch."""
_WORDS: Final = Struct("<16I")


class ItemIndex:
    """Items by id and by slot; bounded, the longest unused leave first.

    rows: the rows to start from, with their ids.
    max_items: most items held; a new one beyond it takes the place of the longest unused.
    half_life_ms: time in which a count loses half its weight.
    draw_key: what makes the draws of this partition its own, at most 64 bytes.
    factors_bytes: length of the factors in a row, encoded.
    Raises ValueError if the slots of `rows` are not exactly 0 to n-1.
    """

    def __init__(
        self,
        rows: Iterable[tuple[str, ItemRow]],
        *,
        max_items: int,
        half_life_ms: float,
        draw_key: bytes,
        factors_bytes: int = 0,
    ) -> None:
        self._rows = dict(rows)
        self._max_items = max_items
        self._half_life_ms = half_life_ms
        self._draws = blake2b(key=draw_key, digest_size=_WORDS.size)
        self._slots = sorted(self._rows, key=lambda item_id: self._rows[item_id].slot)
        if any(self._rows[item_id].slot != slot for slot, item_id in enumerate(self._slots)):
            raise ValueError("the slots of the items have holes or are taken twice")
        for row in self._rows.values():
            row.factors = NO_FACTORS
        self._expiry = Expiry(self._time_of, ((row.time, item_id) for item_id, row in self._rows.items()))
        self._changed: dict[str, int] = {}
        self.changed_bytes = 0
        """About how many bytes the next flush takes."""
        self.factors_bytes = factors_bytes

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._rows

    def __iter__(self) -> Iterator[str]:
        """Item ids in the order of their slots."""
        return iter(self._slots)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self._rows) >= self._max_items

    def _time_of(self, item_id: str) -> int:
        return self._rows[item_id].time

    def evict(self, offset: int) -> str:
        """Drop the longest unused item and return its id. The item of the last slot moves into the hole."""
        item_id = self._expiry.pop()
        slot = self._rows.pop(item_id).slot
        last = self._slots.pop()
        if last != item_id:
            self._slots[slot] = last
            self._rows[last].slot = slot
            self.touch(last, offset)
        self.touch(item_id, offset)
        return item_id

    def add(self, item_id: str, count: float, time: int, offset: int) -> None:
        """Give a new item the next slot."""
        self._rows[item_id] = ItemRow(offset, len(self._slots), time, count, NO_FACTORS)
        self._slots.append(item_id)
        self._expiry.add(time, item_id)
        self.touch(item_id, offset)

    def count(self, item_id: str, weight: float, time: int, offset: int) -> bool:
        """Decay an item's count to `time` and add `weight`; a late one is added undecayed.

        False, and nothing changed, if there is no such item.
        """
        row = self._rows.get(item_id)
        if row is None:
            return False
        if time > row.time:
            row.count *= 2.0 ** ((row.time - time) / self._half_life_ms)
            row.time = time
        row.count += weight
        self.touch(item_id, offset)
        return True

    def touch(self, item_id: str, offset: int) -> None:
        """Note that an item's row has changed, or gone, at this input offset."""
        if item_id not in self._changed:
            self.changed_bytes += _ROW_BYTES + 4 * len(item_id) + self.factors_bytes
        self._changed[item_id] = offset

    def draw(self, n: int, offset: int, without: str) -> list[str]:
        """At most n different items, uniformly over the slots; the same ones for the same offset.

        Of n draws, those that meet `without` or an item drawn before are left out.
        """
        slots = self._slots
        n_items = len(slots)
        drawn: list[str] = []
        for block in range(0, n, 16):
            hasher = self._draws.copy()
            hasher.update(b"%d/%d" % (offset, block))
            for word in _WORDS.unpack(hasher.digest())[: n - block]:
                item_id = slots[word * n_items >> 32]
                if item_id != without and item_id not in drawn:
                    drawn.append(item_id)
        return drawn

    def flush(self, factors_of: Callable[[str], Factors] | None) -> list[Row]:
        """Rows of the items changed since the last flush, those gone first.

        factors_of: factors of an item by its id; None leaves them empty.
        """
        gone: list[Row] = []
        rows: list[Row] = []
        for item_id, offset in self._changed.items():
            row = self._rows.get(item_id)
            if row is None:
                gone.append(deletion(item_key(item_id), offset))
                continue
            row.offset = offset
            if factors_of is not None:
                row.factors = factors_of(item_id)
            rows.append((item_key(item_id), encode_row(row), ()))
            row.factors = NO_FACTORS
        self._changed.clear()
        self.changed_bytes = 0
        return gone + rows
