"""Whether topics are still those that a worker started with, and visitor-states still whole.

In: settings. Out: Kafka's ids of the topics, or an error that says what became of them. A consumer
notices none of this: it goes on in a topic made anew wherever its offset falls.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Final

from kafka import TopicPartition
from kafka.admin import OffsetSpec

from streamrec.config import Settings
from streamrec.errors import AccessError, BrokerError, StateError, TopicError
from streamrec.topics.connection import connect
from streamrec.topics.operations import require

__all__ = ["known_topics", "watch_topics"]

log = logging.getLogger(__name__)

_LOOK_S: Final = 15.0
_STATES: Final = "visitor-states"


def known_topics(settings: Settings, names: Iterable[str]) -> dict[str, str]:
    """Kafka's ids of topics, by name without prefix: made anew, a topic has another.

    Raises TopicError if one does not exist. Raises StateError if visitor-states is among them and
    does not begin at offset 0: compaction leaves the beginning of a log where it is, so rows were cut off.
    """
    kafka = settings.kafka
    full = {kafka.topic(name): name for name in names}
    with connect(kafka) as admin:
        topics = require(admin, kafka, list(full))
        states = topics.get(kafka.topic(_STATES), {"partitions": []})
        places = [
            TopicPartition(kafka.topic(_STATES), each["partition_index"]) for each in states["partitions"]
        ]
        first = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST)) if places else {}
    for place in places:
        if first[place].offset > 0:
            raise StateError(
                f"{place.topic}[{place.partition}] begins at offset {first[place].offset}: the rows before "
                "it were deleted, as under another cleanup.policy than compact; "
                "run `streamrec state rebuild` to make them again"
            )
    return {name: str(topics[topic]["topic_id"]) for topic, name in full.items()}


async def watch_topics(settings: Settings, known: Mapping[str, str]) -> None:
    """Look at topics for as long as the app runs; known: their ids as it started.

    Raises StateError if one was made anew or visitor-states was cut off, TopicError if one is gone.
    """
    away = missed = False
    while True:
        await asyncio.sleep(_LOOK_S)
        try:
            found = await asyncio.to_thread(known_topics, settings, list(known))
        except AccessError:
            raise
        except BrokerError as error:
            if not away:
                log.warning("the topics cannot be looked at: %s", error)
            away, missed = True, False
            continue
        except TopicError:
            # A broker that has just started may not know its topics yet.
            if missed:
                raise
            missed = True
            continue
        away = missed = False
        for name, topic_id in found.items():
            if topic_id != known[name]:
                raise StateError(
                    f"{settings.kafka.topic(name)} was made anew while this worker ran: its id is "
                    f"{topic_id}, it was {known[name]}; stop all workers and run `streamrec state rebuild`"
                )
