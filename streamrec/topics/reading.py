"""A topic read once, without a group: for work beside the stream."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streamrec.access import client_options, refusal
from streamrec.config import Settings
from streamrec.errors import BrokerError
from streamrec.topics.first_contact import SET_BOOTSTRAP
from streamrec.topics.operations import require_topics

__all__ = ["answering", "offset_at", "read_partition", "read_tail", "read_topic", "topic_range"]

_POLL_MS: Final = 500
_MAX_RECORDS: Final = 5000


def read_topic(
    settings: Settings, name: str, take: Callable[[list[Any]], None]
) -> dict[int, tuple[int, int]]:
    """Hand all records of a topic (name without prefix) to `take`, in lists of one partition, in order.

    What arrives after the start is left. Returns each partition's first offset and its end, the
    offset after the last. Raises TopicError, or BrokerError if Kafka stops answering.
    """
    require_topics(settings, [name], to="READ")
    return _read(settings, name, take, offsets=None)


def read_tail(settings: Settings, name: str, offsets: int) -> dict[int, list[Any]]:
    """The newest records of every partition of a topic (name without prefix), in order.

    offsets: how far back to begin; less records come where offsets hold none. Errors as in `read_topic`.
    """
    require_topics(settings, [name], to="READ")
    found: dict[int, list[Any]] = {}

    def take(records: list[Any]) -> None:
        for record in records:
            found.setdefault(record.partition, []).append(record)

    places = _read(settings, name, take, offsets=offsets)
    return {partition: found.get(partition, []) for partition in places}


def _read(
    settings: Settings, name: str, take: Callable[[list[Any]], None], offsets: int | None
) -> dict[int, tuple[int, int]]:
    with _consumer(settings, name) as (consumer, places):
        first, end = consumer.beginning_offsets(places), consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, first[place] if offsets is None else max(first[place], end[place] - offsets))
        for records in _up_to(consumer, end):
            take(records)
    return {place.partition: (first[place], end[place]) for place in places}


def topic_range(settings: Settings, name: str) -> dict[int, tuple[int, int]]:
    """Each partition's first offset and its end, the offset after the last. Errors as in `read_topic`."""
    require_topics(settings, [name], to="READ")
    with _consumer(settings, name) as (consumer, places):
        first, end = consumer.beginning_offsets(places), consumer.end_offsets(places)
    return {place.partition: (first[place], end[place]) for place in places}


def offset_at(settings: Settings, name: str, partition: int, time_ms: int) -> int | None:
    """The offset of a partition's first record of `time_ms` or later, by Kafka's time; None without one.

    Errors as in `read_partition`.
    """
    with _consumer(settings, name, partition) as (consumer, places):
        found = consumer.offsets_for_times({places[0]: time_ms})[places[0]]
    return None if found is None else int(found.offset)


def read_partition(
    settings: Settings, name: str, partition: int, start: int, end: int
) -> Generator[list[Any], None, None]:
    """Batches of the records of one partition with start <= offset < end, in order.

    What is behind the end of the log is waited for. Raises AccessError or BrokerError.
    """
    if start >= end:
        return
    with _consumer(settings, name, partition) as (consumer, places):
        consumer.seek(places[0], start)
        yield from _up_to(consumer, {places[0]: end})


@contextmanager
def _consumer(settings: Settings, name: str, partition: int | None = None) -> Iterator[tuple[Any, list[Any]]]:
    """A consumer without a group, and the places assigned to it: all of the topic's, or one."""
    topic = settings.kafka.topic(name)
    with answering(settings, "READ", topic):
        consumer = KafkaConsumer(
            **client_options(settings.kafka),
            group_id=None,
            enable_auto_commit=False,
            # Where retention takes the start away meanwhile, go on with what is left.
            auto_offset_reset="earliest",
            max_poll_records=_MAX_RECORDS,
        )
        try:
            numbers = sorted(consumer.partitions_for_topic(topic)) if partition is None else [partition]
            places = [TopicPartition(topic, each) for each in numbers]
            consumer.assign(places)
            yield consumer, places
        finally:
            consumer.close()


def _up_to(consumer: Any, end: Mapping[Any, int]) -> Iterator[list[Any]]:
    """Records of one partition at a time, in order, until every place has reached its end."""
    # By position, not by count: offsets of transactions and compacted records hold nothing.
    while any(consumer.position(place) < end[place] for place in end):
        for place, records in consumer.poll(timeout_ms=_POLL_MS).items():
            if found := [record for record in records if record.offset < end[place]]:
                yield found


@contextmanager
def answering(settings: Settings, operation: str, topic: str) -> Iterator[None]:
    """Kafka's errors inside are BrokerErrors outside; a refused operation on the topic is an AccessError."""
    try:
        yield
    except KafkaError as error:
        raise refusal(settings.kafka, error, operation, topic) or BrokerError(
            f"Kafka at {settings.kafka.bootstrap} does not answer as it should: {error!r}; {SET_BOOTSTRAP}"
        ) from error
