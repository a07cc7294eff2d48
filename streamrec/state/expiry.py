"""Which of many entries has been silent the longest."""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush, heapreplace
from math import inf
from typing import Final, Generic, TypeVar

__all__ = ["MOST_LEAVING", "Expiry"]

MOST_LEAVING: Final = 64
"""Most entries to let go of at one interaction. A clock that jumps, or a bound that is lowered, could
drop a million at once, more than an append holds; new ones come singly, so this many catch up."""

_SPAN_MS: Final = 60_000
"""Entries of one minute wait together: few lists in a month, few entries put in order at once."""

Entry = TypeVar("Entry", bound=str | bytes)


class Expiry(Generic[Entry]):
    """Entries in order of (last time, id), oldest first.

    Only the entry's first time is noted, and of that only the minute until its turn comes: later times need
    no call, and a million entries take hardly more than their places in lists. An entry that comes up with
    an outdated time is put back with its true one, so the order of leaving is that of the true times.
    Needs: the time of an entry never falls.

    last_time: the true time of an entry, ms.
    entries: (time, id) of what is there at the start, in any order.
    """

    def __init__(self, last_time: Callable[[Entry], int], entries: Iterable[tuple[int, Entry]] = ()) -> None:
        self._last_time = last_time
        self._size = 0
        self._next: list[tuple[int, Entry]] = []
        """A heap of those whose turn is near, with the times noted,"""
        self._minute = -1
        """which are of this minute or before."""
        self._waiting: dict[int, list[Entry]] = {}
        """The others, by minute,"""
        self._minutes: list[int] = []
        """and a heap of the minutes."""
        for time, entry_id in entries:
            self.add(time, entry_id)

    def __len__(self) -> int:
        return self._size

    @property
    def earliest(self) -> float:
        """No entry is older than this time, ms."""
        if self._next:
            return self._next[0][0]
        return self._minutes[0] * _SPAN_MS if self._minutes else inf

    def add(self, time: int, entry_id: Entry) -> None:
        """Enter an id that is not there."""
        self._size += 1
        self._put(time, entry_id)

    def pop(self) -> Entry:
        """Take out the oldest entry. Raises IndexError if there is none."""
        entry_id = self.pop_before(inf)
        if entry_id is None:
            raise IndexError("there is no entry")
        return entry_id

    def pop_before(self, time: float) -> Entry | None:
        """Take out the oldest entry if its time is below `time`, ms; else None."""
        while self.earliest < time:
            if not self._next:
                self._begin_minute()
                continue
            noted, entry_id = self._next[0]
            true_time = self._last_time(entry_id)
            if true_time == noted:
                heappop(self._next)
                self._size -= 1
                return entry_id
            if true_time // _SPAN_MS <= self._minute:
                heapreplace(self._next, (true_time, entry_id))
            else:
                heappop(self._next)
                self._put(true_time, entry_id)
        return None

    def _begin_minute(self) -> None:
        """The earliest minute has its turn. Most of it may have been seen since, and waits on."""
        self._minute = heappop(self._minutes)
        for entry_id in self._waiting.pop(self._minute):
            self._put(self._last_time(entry_id), entry_id)

    def _put(self, time: int, entry_id: Entry) -> None:
        minute = time // _SPAN_MS
        if minute <= self._minute:
            heappush(self._next, (time, entry_id))
        elif minute in self._waiting:
            self._waiting[minute].append(entry_id)
        else:
            self._waiting[minute] = [entry_id]
            heappush(self._minutes, minute)
