"""Reading without a consumer group: ranges of partitions, or a whole broadcast topic.

Broadcast topics (items, models) are small and every worker needs all of them. Faust's
GlobalTable would do, but its recovery can loop; an assigned consumer cannot.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamrec import metrics
from streamrec.access import client_options, may
from streamrec.config import KafkaSettings
from streamrec.engine.log import MAX_FETCH_BYTES
from streamrec.errors import TopicError

__all__ = ["BroadcastReader", "RangeReader", "open_consumer", "read_range"]

_MAX_RECORDS = 2000


@asynccontextmanager
async def open_consumer(settings: KafkaSettings, topic: str) -> AsyncIterator[Any]:
    """A consumer of no group that is to read `topic`, closed at the end."""
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        client_id=f"{settings.prefix}reader",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_FETCH_BYTES,
    )
    with may(settings, "READ", topic):
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()


async def read_range(
    settings: KafkaSettings, topic: str, partition: int, start: int, end: int
) -> AsyncIterator[list[Any]]:
    """Batches of the records of a partition with start <= offset < end, in order.

    What retention or compaction has removed is missing; the rest comes whole. Waits for
    records below `end` that are not there yet only as far as the log's end goes.
    """
    if start >= end:
        return
    tp = TopicPartition(topic, partition)
    async with open_consumer(settings, topic) as consumer:
        consumer.assign([tp])
        beginning = (await consumer.beginning_offsets([tp]))[tp]
        end = min(end, (await consumer.end_offsets([tp]))[tp])
        consumer.seek(tp, max(start, beginning))
        while await consumer.position(tp) < end:
            fetched = await consumer.getmany(tp, timeout_ms=1000, max_records=_MAX_RECORDS)
            records = [record for record in fetched.get(tp, ()) if record.offset < end]
            if records:
                metrics.reread_records.inc(len(records))
                yield records


class RangeReader:
    """Reads range after range of a topic's partitions over one connection, fetching ahead in between.

    For the other side of a join: what is read is the caller's to say, and no group's.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._places = [TopicPartition(topic, partition) for partition in range(settings.partitions)]
        self._topic = topic
        self._positions: dict[int, int] = {}
        self._consumer: Any = None
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Stay connected until cancelled. Nothing can be read before or after."""
        async with open_consumer(self._settings, self._topic) as consumer:
            consumer.assign(self._places)
            consumer.pause(*self._places)
            self._consumer = consumer
            self.connected.set()
            await asyncio.Event().wait()

    def keep(self, partitions: Collection[int]) -> None:
        """Fetch no further in all other partitions."""
        if self._consumer is not None:
            self._consumer.pause(*(each for each in self._places if each.partition not in partitions))

    async def end(self, partition: int) -> int:
        """The offset after the partition's last record."""
        tp = self._places[partition]
        end: int = (await self._consumer.end_offsets([tp]))[tp]
        return end

    async def read(self, partition: int, start: int, end: int) -> AsyncIterator[list[Any]]:
        """As `read_range`: quick where `start` is where the last range of the partition ended."""
        tp, consumer, position = self._places[partition], self._consumer, start
        if position < end and self._positions.pop(partition, None) != start:
            consumer.seek(tp, start)
        consumer.resume(tp)
        while position < end:
            # No more than asked for: what lies behind it is for the next range, and stays fetched.
            most = min(_MAX_RECORDS, end - position)
            fetched = await consumer.getmany(tp, timeout_ms=1000, max_records=most)
            position = await consumer.position(tp)
            records = [record for record in fetched.get(tp, ()) if record.offset < end]
            if records:
                metrics.reread_records.inc(len(records))
                self._positions[partition] = position
                yield records
            else:
                end = min(end, await self.end(partition))


class BroadcastReader:
    """Follows a topic from its beginning and hands every record to `on_record`.

    on_record: called with key and value of each record, in order, in the event loop.
    `caught_up` is set once everything that was there at the start has been handed on.
    """

    def __init__(
        self, settings: KafkaSettings, topic: str, on_record: Callable[[bytes | None, bytes | None], None]
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._on_record = on_record
        self.caught_up = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled. Raises TopicError if the topic does not exist."""
        async with open_consumer(self._settings, self._topic) as consumer:
            partitions = consumer.partitions_for_topic(self._topic) or await self._partitions(consumer)
            tps = [TopicPartition(self._topic, partition) for partition in sorted(partitions)]
            consumer.assign(tps)
            ends = await consumer.end_offsets(tps)
            await consumer.seek_to_beginning(*tps)
            while True:
                if not self.caught_up.is_set():
                    reached = [await consumer.position(tp) >= ends[tp] for tp in tps]
                    if all(reached):
                        self.caught_up.set()
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        self._on_record(record.key, record.value)

    async def _partitions(self, consumer: Any) -> set[int]:
        # A consumer without a subscription asks for no topic: ask for this one.
        await consumer._client.force_metadata_update()
        metadata = await consumer._client.fetch_all_metadata()
        partitions = metadata.partitions_for_topic(self._topic)
        if not partitions:
            raise TopicError(
                f"topic {self._topic} does not exist at {self._settings.bootstrap}; "
                "create it with `streamrec topics create`"
            )
        return set(partitions)
