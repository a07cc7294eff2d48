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
from streamrec.visits import Visit, Visits

__all__ = ["FeedbackCollector", "TopicFeedback", "nothing", "read_feedback", "read_items"]

_RATING = "rating"
"""The type of interactions whose value is a rating; that of others may be anything, a price for instance."""


class TopicFeedback(NamedTuple):
    """Feedback of the topic, and where it is from."""

    feedback: Feedback
    data: dict[str, Any]
    """For the manifest: topic, its id, first offset and end by partition, records left out."""


def read_feedback(settings: Settings, *, ratings: bool = False) -> TopicFeedback:
    """All feedback of the interactions topic up to its present end.

    ratings: as FeedbackCollector. Raises BrokerError or TopicError if it cannot be read, DatasetError if
    there is nothing in it.
    """
    collector = FeedbackCollector(settings, ratings=ratings)

    def take(records: list[Any]) -> None:
        for record in records:
            collector.take(record)

    offsets = read_topic(settings, "interactions", take)
    feedback = collector.feedback()
    topic = settings.kafka.topic("interactions")
    if not len(feedback):
        raise DatasetError(
            f"{topic} at {settings.kafka.bootstrap}: {nothing(ratings)}, left out were {collector.left_out}"
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

    ratings: interactions of type rating alone, with their values, whatever the weight of the type. Without it
    every interaction, with the weight of its type, if that is above 0: else nobody wanted the item.
    """

    def __init__(self, settings: Settings, *, ratings: bool = False) -> None:
        self._settings = settings
        self._ratings = ratings
        self._visits: dict[int, Visits] = {}
        self._user_ids: list[str] = []
        self._item_ids: list[str] = []
        self._values: list[float] = []
        self._times: list[int] = []
        self.left_out = 0
        """Records that were refused, repeats, and what is no feedback."""

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
        value = None if visit is None else self._value(visit)
        if visit is None or value is None:
            self.left_out += 1
            return
        self._user_ids.append(visit.event.visitor_id)
        self._item_ids.append(visit.event.item_id)
        self._values.append(value)
        self._times.append(visit.event.time)

    def _value(self, visit: Visit) -> float | None:
        """What an interaction says of how much the item is liked; None if it says nothing."""
        if self._ratings:
            return visit.event.value if visit.event.type == _RATING else None
        return self._settings.state.weights[visit.event.type] if visit.asks else None


def nothing(ratings: bool) -> str:
    """What is missing, for a message."""
    return f"no {'interaction of type rating with a value' if ratings else 'interaction of a weight above 0'}"
