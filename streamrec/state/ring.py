"""The last sessions of one partition that are over: a ring of rows, the oldest overwritten first."""

from collections.abc import Iterable

from streamrec.state.expiry import MOST_LEAVING
from streamrec.state.rows import Row, SessionRow, deletion, encode_row, session_key

__all__ = ["SessionRing"]


class SessionRing:
    """Which slot is next, and which are no longer wanted.

    size: slots; 0 keeps no session. n_kept: sessions kept so far. slots: those that hold a row; what
    lies beyond the size is of a larger ring, and leaves in portions.
    """

    def __init__(self, size: int, n_kept: int, slots: Iterable[int] = ()) -> None:
        self.n_kept = n_kept
        self._size = size
        self._surplus = sorted(slot for slot in slots if slot >= size)

    @property
    def has_work(self) -> bool:
        """Whether the end of a session changes anything."""
        return self._size > 0 or bool(self._surplus)

    def keep(self, items: list[str], time: int, offset: int) -> list[Row]:
        """Keep a session that is over if it has two items or more: one says nothing of what goes together.

        offset: that of the interaction which showed it. Returns the rows that this changes.
        """
        leaving = min(MOST_LEAVING, len(self._surplus))
        rows = [deletion(session_key(self._surplus.pop()), offset) for _ in range(leaving)]
        if self._size and len(items) > 1:
            row = SessionRow(time, items)
            rows.append((session_key(self.n_kept % self._size), encode_row(row), ()))
            self.n_kept += 1
        return rows
