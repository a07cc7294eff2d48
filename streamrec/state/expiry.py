"""Which of many entries has been silent the longest."""

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush, heapreplace
from math import inf
from typing import Final

__all__ = ["MOST_LEAVING", "Expiry"]

MOST_LEAVING: Final = 64
"""Most entries to let go of at one interaction. A clock that jumps, or a bound that is lowered, could
drop a million at once, more than an append holds; new ones come singly, so this many catch up."""


class Expiry:
    """Entries in order of (last time, id), oldest first.

    Only the entry's first time is noted, one place per id: later times need no call, which
    keeps the common case free and memory bounded. An entry that comes up with an outdated
    time is put back with its true one, so the order of leaving is that of the true times.
    Needs: the time of an entry never falls.

    last_time: the true time of an entry.
    entries: (time, id) of what is there at the start, in any order.
    """

    def __init__(self, last_time: Callable[[str], int], entries: Iterable[tuple[int, str]] = ()) -> None:
        self._last_time = last_time
        self._heap = list(entries)
        heapify(self._heap)

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def earliest(self) -> float:
        """No entry is older than this time, ms."""
        return self._heap[0][0] if self._heap else inf

    def add(self, time: int, entry_id: str) -> None:
        """Enter an id that is not there."""
        heappush(self._heap, (time, entry_id))

    def pop(self) -> str:
        """Take out the oldest entry. Raises IndexError if there is none."""
        while True:
            noted, entry_id = self._heap[0]
            time = self._last_time(entry_id)
            if time == noted:
                heappop(self._heap)
                return entry_id
            heapreplace(self._heap, (time, entry_id))

    def pop_before(self, time: int) -> str | None:
        """Take out the oldest entry if its time is below `time`; else None."""
        heap = self._heap
        while heap and heap[0][0] < time:
            noted, entry_id = heap[0]
            true_time = self._last_time(entry_id)
            if true_time == noted:
                heappop(heap)
                return entry_id
            heapreplace(heap, (true_time, entry_id))
        return None
