"""The interactions topic as clicks to train on.

In: the topic from its start to its present end. Out: `Clicks`, cut into sessions by the same
rules as the state app's; what that one refuses or recognises as a repeat is left out.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from streamrec.config import Settings
from streamrec.datasets import Clicks, make_clicks
from streamrec.errors import DatasetError
from streamrec.topics import read_topic, topic_id
from streamrec.visits import Visits

__all__ = ["SessionCutter", "TopicClicks", "read_clicks"]


class TopicClicks(NamedTuple):
    """Clicks of the topic, and where they are from."""

    clicks: Clicks
    data: dict[str, Any]
    """For the manifest: topic, its id, first offset and end by partition, records left out."""


def read_clicks(settings: Settings, *, until: Mapping[int, int] | None = None) -> TopicClicks:
    """All clicks of the interactions topic up to its present end, or to `until`, the end by partition.

    Raises BrokerError or TopicError if it cannot be read, DatasetError if there is no click in it.
    """
    cutter = SessionCutter(settings)

    def take(records: list[Any]) -> None:
        for record in records:
            if until is None or record.offset < until.get(record.partition, 0):
                cutter.take(record)

    offsets = read_topic(settings, "interactions", take)
    if until is not None:
        offsets = {n: (first, min(end, until.get(n, 0))) for n, (first, end) in offsets.items()}
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
        self._visits: dict[int, Visits] = {}
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
        partition = record.partition
        if partition not in self._visits:
            self._visits[partition] = Visits(self._settings, partition)
        visit = self._visits[partition].take(record)
        if visit is None:
            self.left_out += 1
        elif visit.asks:
            self._session_ids.append(f"{partition}-{visit.session}")
            self._item_ids.append(visit.event.item_id)
            # By the session's clock and not its own, so that a late click stays where it came.
            self._times.append(visit.session_time)
