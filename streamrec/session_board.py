"""What lists know of a partition's sessions, as of the last tick: those that are over, and those going on.

In: session rows and visitor rows of a partition, in the order of its log. Out: what the sources that
learn from sessions propose. A source knows exactly the sessions whose rows are in sight, whatever came
and went before: what a list holds follows from the log alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from heapq import nsmallest

from streamrec.contracts import SessionLearner, SessionSource
from streamrec.state.rows import VisitorRow, decode_session_row

__all__ = ["SessionBoard"]

_Known = tuple[Sequence[str], int]
"""Items of a session, oldest first, and its time, ms."""


class SessionBoard:
    """The sessions of one partition that have two items or more.

    learners: what learns from them; sources: by name, what proposes with what was learned. Without a
    source nothing is kept. Ticks are those of the item board.
    """

    def __init__(
        self, learners: Iterable[SessionLearner] = (), sources: Mapping[str, SessionSource] | None = None
    ) -> None:
        self._learners = list(learners)
        self._sources = dict(sources or {})
        self._pending: dict[str, _Known | None] = {}
        self._due: dict[str, _Known | None] = {}

    @property
    def sources(self) -> Iterable[str]:
        """Names of the sources."""
        return self._sources.keys()

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Note a session row, or its end (None); in sight from the next tick on."""
        if self._sources:
            row = None if value is None else decode_session_row(value)
            self._note(key.decode(), None if row is None else (row.items, row.time))

    def visit(self, visitor_id: str, row: VisitorRow | None) -> None:
        """Note the session that a visitor is in, or that the visitor is forgotten; as `apply`."""
        if self._sources:
            self._note(f"v:{visitor_id}", None if row is None else (row.items, row.session_time))

    def begin_tick(self) -> None:
        """Bring what was noted in sight."""
        # To be learned when somebody asks: of a log that is only read through, the newest rows count.
        self._due |= self._pending
        self._pending.clear()

    def learn(self, at_once: int) -> Iterator[int]:
        """Learn the sessions in sight, so many at once; yields the number of those left.

        Lists do so by themselves. Who has read much of a log does it beforehand, with other things in
        between: a session takes tens of microseconds, and there can be a million.
        """
        while self._due:
            self._learn(at_once)
            yield len(self._due)

    def _learn(self, most: int) -> None:
        for _ in range(min(most, len(self._due))):
            key, session = self._due.popitem()
            for learner in self._learners:
                if session is None:
                    learner.remove(key)
                else:
                    learner.put(key, *session)

    def best(self, source: str, items: Sequence[str], n: int, *excluded: AbstractSet[str]) -> list[str]:
        """A source's n best items after those of a session, best first, without those in any set; ties by id.

        items: oldest first.
        """
        proposed = self.scores(source, items)
        for barred in filter(None, excluded):
            proposed = {item_id: score for item_id, score in proposed.items() if item_id not in barred}
        return [item_id for _, item_id in nsmallest(n, ((-score, each) for each, score in proposed.items()))]

    def scores(self, source: str, items: Sequence[str]) -> Mapping[str, float]:
        """What a source gives each item that it proposes after those of a session; items as in `best`."""
        self._learn(len(self._due))
        return self._sources[source].proposals(items)

    def _note(self, key: str, session: _Known | None) -> None:
        self._pending[key] = session if session is not None and len(session[0]) > 1 else None
