"""Lists against what visitors clicked next: click n+1 of a session against the list for click n.

Test, then learn: a list is made before the state has seen the click that it is held against. An item
that no source knows counts as a miss like any other.
"""

from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from streamrec.backtest.partition import Asked
from streamrec.config import StateSettings
from streamrec.evaluation.lists import proposals
from streamrec.evaluation.ranks import FloatRanks
from streamrec.events import Recommendation
from streamrec.state.rows import VisitorRow

__all__ = ["NextClicks", "Pairs"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Lists and the next clicks that they are held against, Q of them."""

    places: NDArray[np.int64]
    """Which event of the history the list was made for, (Q,)."""
    sessions: NDArray[np.int64]
    """Which session it is of, (Q,): the place of the first list made in it."""
    ranks: Mapping[str, FloatRanks]
    """Rank of the next click in the list, and in that of each source alone; (Q,), inf if it is not in it."""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The pairs of several partitions, by place."""
        places = np.concatenate([part.places for part in parts])
        sessions = np.concatenate([part.sessions for part in parts])
        order = np.argsort(places)
        # A partition without pairs has no sources; all others have the same ones.
        sources = dict.fromkeys(source for part in parts for source in part.ranks)
        ranks = {
            source: np.concatenate([part.ranks[source] for part in parts if part.ranks])[order]
            for source in sources
        }
        return cls(places[order], sessions[order], ranks)


class _Waiting(NamedTuple):
    """A list that waits for the next click of its session."""

    session_id: str
    session: int
    place: int
    emit_time: int
    last_time: int
    """Highest event time of the visitor, ms."""
    proposals: dict[str, list[str]]


class NextClicks:
    """Judges the lists of one partition.

    k: how many places of a list count. place: the event at an offset; see History. bounds: whom state
    forgets, for silence or for lack of room: the list goes with the visitor.
    """

    def __init__(self, k: int, place: Callable[[int], int], bounds: StateSettings) -> None:
        self._k = k
        self._place = place
        self._ttl_ms = bounds.visitor_ttl_s * 1000
        self._most = bounds.max_visitors
        # Those silent the longest first.
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._places, self._sessions = array("q"), array("q")
        self._ranks: dict[str, array[float]] = {}
        self.too_late = 0
        """Lists that came after the click that they are held against."""
        self.lists: Counter[str] = Counter()
        """By release."""
        self.clicked: set[str] = set()
        """Items that lists were asked with."""
        self.recommended: dict[str, set[str]] = {}
        """Items within the first k places of some list, by source."""

    def take(self, asked: Asked) -> None:
        """Take what asked for a list, in the order of the log."""
        visitor_id, row, made = asked
        self.clicked.add(row.items[-1])
        self._forget(row.clock_ms - self._ttl_ms)
        before = self._waiting.pop(visitor_id, None)
        if before is not None and before.session_id != row.session_id:
            before = None
        if before is not None:
            self._hold_against(before, row)
        if made is not None:
            place = self._place(row.offset)
            session = place if before is None else before.session
            self._waiting[visitor_id] = _Waiting(
                row.session_id, session, place, made.emit_time, row.last_time, self._proposals(made)
            )

    def _forget(self, horizon: int) -> None:
        while self._waiting:
            oldest = next(iter(self._waiting.values()))
            if len(self._waiting) <= self._most and oldest.last_time >= horizon:
                return
            self._waiting.popitem(last=False)

    def _proposals(self, made: Recommendation) -> dict[str, list[str]]:
        self.lists[made.release] += 1
        found = proposals(made, self._k)
        for source, item_ids in found.items():
            self.recommended.setdefault(source, set()).update(item_ids)
        return found

    def _hold_against(self, waiting: _Waiting, row: VisitorRow) -> None:
        clicked = row.items[-1]
        self._places.append(waiting.place)
        self._sessions.append(waiting.session)
        self.too_late += row.record_time < waiting.emit_time
        for source, item_ids in waiting.proposals.items():
            rank = item_ids.index(clicked) + 1 if clicked in item_ids else np.inf
            self._ranks.setdefault(source, array("d")).append(rank)

    def pairs(self) -> Pairs:
        """All that was judged."""
        return Pairs(
            np.array(self._places, np.int64),
            np.array(self._sessions, np.int64),
            {source: np.array(ranks, np.float64) for source, ranks in self._ranks.items()},
        )
