"""The last sessions of one partition that are over: a ring of rows, the oldest overwritten first."""

from collections import deque
from collections.abc import Iterable
from itertools import count

from streamrec.state.expiry import MOST_LEAVING
from streamrec.state.rows import Row, SessionRow, deletion, encode_row, session_key

__all__ = ["SessionRing"]


class SessionRing:
    """Which slot is next, and which are no longer wanted.

    size: most sessions kept; 0 keeps none. n_kept: sessions kept so far. slots: those that hold a row, each
    after the number of the session in it, in any order. What a larger ring has left leaves in portions, the
    oldest sessions first, so that slots may lie beyond the size.
    """

    def __init__(self, size: int, n_kept: int, slots: Iterable[tuple[int, int]] = ()) -> None:
        self.n_kept = n_kept
        self._size = size
        self._slots = deque(slot for _, slot in sorted(slots))
        taken = frozenset(self._slots)
        self._free = (slot for slot in count() if slot not in taken)

    @property
    def has_work(self) -> bool:
        """Whether the end of a session changes anything."""
        return self._size > 0 or bool(self._slots)

    def keep(self, items: list[str], time: int, offset: int) -> list[Row]:
        """Keep a session that is over if it has two items or more: one says nothing of what goes together.

        offset: that of the interaction which showed it. Returns the rows that this changes.
        """
        leaving = min(MOST_LEAVING, max(0, len(self._slots) - self._size))
        rows = [deletion(session_key(self._slots.popleft()), offset) for _ in range(leaving)]
        if self._size and len(items) > 1:
            slot = next(self._free) if len(self._slots) < self._size else self._slots.popleft()
            self._slots.append(slot)
            row = SessionRow(self.n_kept, time, items)
            rows.append((session_key(slot), encode_row(row), ()))
            self.n_kept += 1
        return rows
