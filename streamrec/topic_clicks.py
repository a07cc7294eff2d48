"""The interactions topic as clicks to train on.

In: the topic from its start to its present end. Out: `Clicks`, cut into sessions by the same
rules as the state app's; what that one refuses or recognises as a repeat is left out.
"""

from typing import Any, NamedTuple

from streamrec.advance.records import Intake
from streamrec.config import Settings
from streamrec.datasets import Clicks, make_clicks
from streamrec.errors import DatasetError, RecordError
from streamrec.events import Interaction
from streamrec.state.rows import VisitorRow
from streamrec.state.sessions import Window, event_digest, is_repeat, remember, session_window
from streamrec.topics import read_topic, topic_id

__all__ = ["SessionCutter", "TopicClicks", "read_clicks"]


class TopicClicks(NamedTuple):
    """Clicks of the topic, and where they are from."""

    clicks: Clicks
    data: dict[str, Any]
    """For the manifest: topic, its id, first offset and end by partition, records left out."""


def read_clicks(settings: Settings) -> TopicClicks:
    """All clicks of the interactions topic up to its present end.

    Raises BrokerError or TopicError if it cannot be read, DatasetError if there is no click in it.
    """
    cutter = SessionCutter(settings)

    def take(records: list[Any]) -> None:
        for record in records:
            cutter.take(record)

    offsets = read_topic(settings, "interactions", take)
    topic = settings.kafka.topic("interactions")
    clicks = cutter.clicks()
    if not len(clicks):
        raise DatasetError(
            f"{topic} at {settings.kafka.bootstrap}: no click to train on, left out were {cutter.left_out}"
        )
    data = {
        "source": topic,
        "topic_id": topic_id(settings, "interactions"),
        "offsets": {str(partition): list(ends) for partition, ends in offsets.items()},
        "left_out": cutter.left_out,
    }
    return TopicClicks(clicks, data)


class SessionCutter:
    """Cuts records, each partition's in their order, into sessions."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._intakes: dict[int, Intake] = {}
        self._visitors: dict[str, VisitorRow] = {}
        self._sessions: dict[str, str] = {}
        self._session_ids: list[str] = []
        self._item_ids: list[str] = []
        self._times: list[int] = []
        self.left_out = 0
        """Records that were refused, and repeats."""

    def clicks(self) -> Clicks:
        """The clicks so far: interactions of a weight above 0."""
        return make_clicks(self._session_ids, self._item_ids, self._times)

    def take(self, record: Any) -> None:
        """Take the partition's next record; with partition, and else as an InputRecord."""
        intake = self._intake(record.partition)
        try:
            event, key = intake.read(record)
            intake.check_partition(key)
            weight = intake.weight(event, record.timestamp, horizon=0)
        except RecordError:
            self.left_out += 1
            return
        visitor_id, state = event.visitor_id, self._settings.state
        row = self._visitors.get(visitor_id)
        recent = b"" if row is None else row.recent_events
        digest = event_digest(event.event_id)
        if is_repeat(recent, digest):
            self.left_out += 1
            return
        gap_ms = state.session_gap_s * 1000
        window = session_window(row, visitor_id, event.session_id, event.time, gap_ms)
        if window.is_new:
            # Session ids are the apps' and may come again: a place of the log does not.
            self._sessions[visitor_id] = f"{record.partition}-{record.offset}"
        self._visitors[visitor_id] = _row(
            event, record, window, remember(recent, digest, state.recent_events)
        )
        if weight > 0:
            self._session_ids.append(self._sessions[visitor_id])
            self._item_ids.append(event.item_id)
            # By the session's clock and not its own, so that a late click stays where it came.
            self._times.append(window.session_time)

    def _intake(self, partition: int) -> Intake:
        if partition not in self._intakes:
            self._intakes[partition] = Intake(
                self._settings.state, partition, self._settings.kafka.partitions
            )
        return self._intakes[partition]


def _row(event: Interaction, record: Any, window: Window, recent_events: bytes) -> VisitorRow:
    """What the rules for sessions and repeats need of a visitor."""
    return VisitorRow(
        offset=record.offset,
        clock_ms=event.time,
        event_id=event.event_id,
        event_time=event.time,
        record_time=record.timestamp,
        asks=False,
        session_id=window.session_id,
        session_time=window.session_time,
        items=[],
        recent_events=recent_events,
    )
