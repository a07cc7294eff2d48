"""The most recent sessions, found by item: where session nearest neighbours come from.

In: sessions under keys, whole or click by click, in any order of time. Out: the sessions that hold
an item, most recent first. What was put in, grew, was put in anew and was removed leaves no trace: the index
is always the one that is built at once from the sessions that it holds.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import eq, itemgetter
from typing import Final, NamedTuple

__all__ = ["IndexedSession", "SessionIndex"]

_BLOCK: Final = 512
_LAST: Final = itemgetter(-1)


class IndexedSession(NamedTuple):
    """A session in the index. Sessions compare by recency: the time of the last click, then the key."""

    time_ms: int
    """Of the last click, ms since 1970."""
    key: str
    items: tuple[str, ...]
    """Clicks, oldest first."""


class SessionIndex:
    """Sessions by key and by item; bounded, the least recent leave first.

    A session of one click is kept, as it may grow, but not listed: it says nothing about
    which items go together.

    sessions: those to start from; of several under one key the last counts.
    max_sessions: most sessions kept, listed or not.
    max_items: most clicks kept of a session, the last ones; a click costs in proportion to them.
    """

    def __init__(
        self, sessions: Iterable[IndexedSession] = (), *, max_sessions: int = 1_000_000, max_items: int = 100
    ) -> None:
        if max_sessions < 1 or max_items < 2:
            raise ValueError(
                f"an index of {max_sessions} sessions of {max_items} items holds no neighbours; "
                "it needs max_sessions of at least 1 and max_items of at least 2"
            )
        self._max_sessions = max_sessions
        self._max_items = max_items
        by_key = {session.key: self._cut(*session) for session in sessions}
        recent = sorted(by_key.values())[-max_sessions:]
        holding: dict[str, list[IndexedSession]] = {}
        for session in recent:
            for item in _listed_under(session):
                holding.setdefault(item, []).append(session)
        self._sessions = {session.key: session for session in recent}
        self._order = _Timeline(recent)
        self._holding = {item: _Timeline(listed) for item, listed in holding.items()}
        self._n_listed = self._n_steps = self._n_repeats = 0
        for session in recent:
            self._count(session, 1)

    def __len__(self) -> int:
        """Sessions kept, listed or not."""
        return len(self._sessions)

    def __iter__(self) -> Iterator[IndexedSession]:
        """Sessions kept, most recent first."""
        return self._order.newest_first()

    @property
    def n_listed(self) -> int:
        """Sessions of two clicks or more."""
        return self._n_listed

    @property
    def repeat_share(self) -> float:
        """Of all clicks but each session's first, those on the same item as the click before."""
        return self._n_repeats / self._n_steps if self._n_steps else 0.0

    @property
    def items(self) -> Iterable[str]:
        """Items that a listed session holds, in no particular order."""
        return self._holding.keys()

    def get(self, key: str) -> IndexedSession | None:
        """The session under a key, listed or not."""
        return self._sessions.get(key)

    def holding(self, item: str) -> Iterator[IndexedSession]:
        """The listed sessions that hold an item, most recent first. The index must not change meanwhile."""
        timeline = self._holding.get(item)
        return iter(()) if timeline is None else timeline.newest_first()

    def n_holding(self, item: str) -> int:
        """Number of listed sessions that hold an item."""
        timeline = self._holding.get(item)
        return 0 if timeline is None else timeline.length

    def put(self, key: str, items: Sequence[str], time_ms: int) -> None:
        """Keep a session under a key, in place of the one that is there.

        items: clicks, oldest first; time_ms: of the last one. If the index is full, the least
        recent session leaves it, be it this one. Raises ValueError if there are no items.
        """
        session = self._cut(time_ms, key, items)
        self.remove(key)
        self._sessions[key] = session
        self._order.add(session)
        self._count(session, 1)
        for item in _listed_under(session):
            timeline = self._holding.get(item)
            if timeline is None:
                self._holding[item] = _Timeline([session])
            else:
                timeline.add(session)
        if len(self._sessions) > self._max_sessions:
            self.remove(self._order.oldest.key)

    def click(self, key: str, item: str, time_ms: int) -> None:
        """One more click of a session, of a new one if there is none under the key.

        A late click comes last all the same, and the session's time does not fall.
        """
        session = self._sessions.get(key)
        if session is None:
            self.put(key, (item,), time_ms)
        else:
            self.put(key, (*session.items, item), max(time_ms, session.time_ms))

    def remove(self, key: str) -> None:
        """Forget a session. Unknown keys are ignored."""
        session = self._sessions.pop(key, None)
        if session is None:
            return
        self._order.remove(session)
        self._count(session, -1)
        for item in _listed_under(session):
            timeline = self._holding[item]
            timeline.remove(session)
            if not timeline.length:
                del self._holding[item]

    def _count(self, session: IndexedSession, sign: int) -> None:
        if len(session.items) > 1:
            self._n_listed += sign
            self._n_steps += sign * (len(session.items) - 1)
            self._n_repeats += sign * sum(map(eq, session.items, session.items[1:]))

    def _cut(self, time_ms: int, key: str, items: Sequence[str]) -> IndexedSession:
        if not items:
            raise ValueError(f"session {key!r} has no items; remove it instead")
        return IndexedSession(time_ms, key, tuple(items[-self._max_items :]))


def _listed_under(session: IndexedSession) -> Iterable[str]:
    """The items of a session, each once; none for a single click."""
    return dict.fromkeys(session.items) if len(session.items) > 1 else ()


class _Timeline:
    """Sessions by recency, in sorted blocks, so that a change moves the places of one block only.

    An ongoing session lies in the last block or near it, wherever the others are.
    """

    __slots__ = ("_blocks", "length")

    def __init__(self, ordered: Sequence[IndexedSession]) -> None:
        self._blocks = [list(ordered[n : n + _BLOCK]) for n in range(0, len(ordered), _BLOCK)]
        self.length = len(ordered)

    @property
    def oldest(self) -> IndexedSession:
        return self._blocks[0][0]

    def newest_first(self) -> Iterator[IndexedSession]:
        return chain.from_iterable(map(reversed, reversed(self._blocks)))

    def add(self, session: IndexedSession) -> None:
        self.length += 1
        if not self._blocks:
            self._blocks.append([session])
            return
        place = self._block_of(session)
        block = self._blocks[place]
        insort(block, session)
        if len(block) > 2 * _BLOCK:
            self._blocks[place : place + 1] = [block[:_BLOCK], block[_BLOCK:]]

    def remove(self, session: IndexedSession) -> None:
        self.length -= 1
        place = self._block_of(session)
        block = self._blocks[place]
        del block[bisect_left(block, session)]
        if not block:
            del self._blocks[place]

    def _block_of(self, session: IndexedSession) -> int:
        """Where a session is or belongs: the first block that ends with it or later, or the last block."""
        return min(bisect_left(self._blocks, session, key=_LAST), len(self._blocks) - 1)
