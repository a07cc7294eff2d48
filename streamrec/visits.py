"""Which session an interaction belongs to: the state app's rules, without its models.

In: the records of one partition, in their order. Out: what state accepts of them, each with its
session. What it refuses or recognises as a repeat is left out, and whom it forgets is forgotten.
Only what a model fails on is accepted here: that takes the model to know.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from streamrec.advance.records import InputRecord, Intake
from streamrec.config import Settings
from streamrec.errors import RecordError
from streamrec.events import Interaction
from streamrec.state.expiry import MOST_LEAVING, Expiry
from streamrec.state.sessions import event_digest, is_repeat, remember, session_window

__all__ = ["Visit", "Visits"]


class Visit(NamedTuple):
    """An accepted interaction."""

    event: Interaction
    offset: int
    timestamp: int
    """Kafka's time of the record, ms."""
    asks: bool
    """Whether its weight is above 0: it is a click, and asks for a list."""
    session: int
    """Offset of the session's first interaction. The ids of sessions are the apps' and may come again."""
    session_time: int
    """Highest event time of the session so far, ms."""


class _Visitor(msgspec.Struct, gc=False):
    """What the rules need to know of a visitor. Fields as in VisitorRow."""

    session_id: str
    session_time: int
    session: int
    recent_events: bytes
    last_time: int


def _nothing(_: str) -> None:
    pass


class Visits:
    """The visitors of one partition.

    max_visitors: beyond it those silent the longest are forgotten; by default as many as state keeps.
    on_forget: called with every visitor who is forgotten, for lack of room or for silence.
    """

    def __init__(
        self,
        settings: Settings,
        partition: int,
        *,
        max_visitors: int | None = None,
        on_forget: Callable[[str], None] = _nothing,
    ) -> None:
        self._settings = settings.state
        self._intake = Intake(settings.state, partition, settings.kafka.partitions)
        self._max_visitors = max_visitors or settings.state.max_visitors
        self._on_forget = on_forget
        self._visitors: dict[str, _Visitor] = {}
        self._silence: Expiry[str] = Expiry(lambda visitor_id: self._visitors[visitor_id].last_time)
        self._clock_ms = 0
        self.crowded_out = 0
        """Visitors forgotten for lack of room."""

    def take(self, record: InputRecord) -> Visit | None:
        """Take the partition's next record; None if it is refused or a repeat."""
        settings, intake = self._settings, self._intake
        try:
            event, key = intake.read(record)
            intake.check_partition(key)
            clock_ms = max(event.time, self._clock_ms)
            horizon = clock_ms - settings.visitor_ttl_s * 1000
            weight = intake.weight(event, record.timestamp, horizon)
        except RecordError:
            return None
        visitor = self._visitors.get(event.visitor_id)
        if visitor is not None and visitor.last_time < horizon:
            visitor = None
        recent = b"" if visitor is None else visitor.recent_events
        digest = event_digest(event.event_id)
        if is_repeat(recent, digest):
            return None
        self._clock_ms = clock_ms
        self._part_with_silent(horizon)
        if visitor is None:
            self._welcome(event)
        gap_ms = settings.session_gap_s * 1000
        window = session_window(visitor, event.visitor_id, event.session_id, event.time, gap_ms)
        new = self._visitors[event.visitor_id] = _Visitor(
            window.session_id,
            window.session_time,
            record.offset if visitor is None or window.is_new else visitor.session,
            remember(recent, digest, settings.recent_events),
            event.time if visitor is None else max(event.time, visitor.last_time),
        )
        return Visit(event, record.offset, record.timestamp, weight > 0, new.session, new.session_time)

    def _part_with_silent(self, horizon: int) -> None:
        """Forget visitors who have been silent since before `horizon`."""
        for _ in range(MOST_LEAVING):
            visitor_id = self._silence.pop_before(horizon)
            if visitor_id is None:
                return
            self._forget(visitor_id)

    def _welcome(self, event: Interaction) -> None:
        """Make room for a visitor who is new, or was silent for too long and starts afresh."""
        if event.visitor_id in self._visitors:
            self._forget(event.visitor_id)  # whose place in the order of silence serves again
            return
        for _ in range(MOST_LEAVING):
            if len(self._silence) < self._max_visitors:
                break
            self._forget(self._silence.pop())
            self.crowded_out += 1
        self._silence.add(event.time, event.visitor_id)

    def _forget(self, visitor_id: str) -> None:
        del self._visitors[visitor_id]
        self._on_forget(visitor_id)
