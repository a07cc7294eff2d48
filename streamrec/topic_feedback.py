"""The interactions topic as feedback for recommenders to train on.

In: the topic from its start to its present end. Out: `Feedback` of visitors; what the state app refuses or
recognises as a repeat is left out.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from streamrec.catalogue import Catalogue
from streamrec.config import Settings
from streamrec.errors import DatasetError
from streamrec.feedback import Feedback, Knowledge, make_feedback
from streamrec.topics import read_topic, topic_id
from streamrec.visits import Visits

__all__ = ["FeedbackCollector", "TopicFeedback", "read_feedback", "read_items"]

_RATING = "rating"


class TopicFeedback(NamedTuple):
    """Feedback of the topic, and where it is from."""

    feedback: Feedback
    data: dict[str, Any]
    """For the manifest: topic, its id, first offset and end by partition, records left out."""


def read_feedback(settings: Settings) -> TopicFeedback:
    """All feedback of the interactions topic up to its present end.

    Raises BrokerError or TopicError if it cannot be read, DatasetError if there is nothing in it.
    """
    collector = FeedbackCollector(settings)

    def take(records: list[Any]) -> None:
        for record in records:
            collector.take(record)

    offsets = read_topic(settings, "interactions", take)
    feedback = collector.feedback()
    topic = settings.kafka.topic("interactions")
    if not len(feedback):
        raise DatasetError(
            f"{topic} at {settings.kafka.bootstrap}: nothing to train on, left out were {collector.left_out}"
        )
    data = {
        "source": topic,
        "topic_id": topic_id(settings, "interactions"),
        "offsets": {str(partition): list(ends) for partition, ends in offsets.items()},
        "left_out": collector.left_out,
    }
    return TopicFeedback(feedback, data)


def read_items(settings: Settings) -> Knowledge:
    """What the items topic says of items, up to its present end. Errors as in read_feedback."""
    catalogue = Catalogue()

    def take(records: list[Any]) -> None:
        for record in records:
            catalogue.on_record(record.key, record.value)

    read_topic(settings, "items", take)
    return Knowledge(items=catalogue.items)


class FeedbackCollector:
    """Collects feedback from records, each partition's in their order.

    The value of a rating is what it says, that of any other interaction the weight of its type; of a weight
    of 0 or below it says nothing of what is liked, and is left out.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._visits: dict[int, Visits] = {}
        self._user_ids: list[str] = []
        self._item_ids: list[str] = []
        self._values: list[float] = []
        self._times: list[int] = []
        self.left_out = 0
        """Records that were refused, repeats, and those of a weight of 0 or below."""

    def feedback(self) -> Feedback:
        """The feedback so far."""
        return self.joined([self])

    @staticmethod
    def joined(collectors: Sequence["FeedbackCollector"]) -> Feedback:
        """The feedback of several sources: a visitor of the same id is the same."""
        return make_feedback(
            chain.from_iterable(each._user_ids for each in collectors),
            chain.from_iterable(each._item_ids for each in collectors),
            list(chain.from_iterable(each._values for each in collectors)),
            list(chain.from_iterable(each._times for each in collectors)),
        )

    def take(self, record: Any) -> None:
        """Take the partition's next record; with partition, and else as an InputRecord."""
        partition = record.partition
        if partition not in self._visits:
            self._visits[partition] = Visits(self._settings, partition)
        visit = self._visits[partition].take(record)
        if visit is None or not visit.asks:
            self.left_out += 1
            return
        event = visit.event
        is_rating = event.type == _RATING and event.value is not None
        self._user_ids.append(event.visitor_id)
        self._item_ids.append(event.item_id)
        self._values.append(event.value if is_rating else self._settings.state.weights[event.type])
        self._times.append(event.time)
