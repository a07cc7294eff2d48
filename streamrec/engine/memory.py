"""The engine's seam without Kafka: what an app writes, it can read back, batch by batch.

For tests of handlers and of what stands on them. Appends are atomic here too, offsets
rise by one, and a batch can be cut anywhere, as polls cut it.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from aiokafka.producer.message_accumulator import BatchBuilder

from streamrec.engine.log import MAX_SENT_BYTES, Append, Out, Record, in_batches
from streamrec.engine.runner import Batch

__all__ = ["MemoryLog", "MemoryRecord"]


class MemoryRecord:
    """A record as a consumer sees it."""

    __slots__ = ("headers", "key", "offset", "timestamp", "value")

    def __init__(self, offset: int, timestamp: int, out: Out) -> None:
        self.offset = offset
        self.timestamp = timestamp
        self.key, self.value, headers = out
        self.headers = tuple(headers)


class MemoryLog:
    """Topics in memory, with the write side of the seam (Log) and a read side for tests."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, int], list[MemoryRecord]] = defaultdict(list)
        self.appends: list[tuple[str, int, int]] = []
        """Topic, partition and number of records of every append, in order."""
        self.sent_bytes: list[tuple[str, int, int]] = []
        """Topic, partition and size in bytes of every batch that was sent, in order."""

    def publish(self, topic: str, partition: int, record: Out, timestamp_ms: int | None = None) -> int:
        """Write one record as an app would; returns its offset."""
        records = self._records[topic, partition]
        now = time.time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms
        records.append(MemoryRecord(len(records), now, record))
        return len(records) - 1

    async def claim(self, topic: str, partition: int) -> None:
        """Nobody else writes here. See Log."""

    async def release(self, topic: str, partition: int) -> None:
        """Nothing is held. See Log."""

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> Append:
        """Write all records as one append. See Log."""
        self.appends.append((topic, partition, len(records)))
        for record in records:
            offset = self.publish(topic, partition, Out(*record))
        return Append(offset, sum(len(key or b"") + len(value or b"") for key, value, *_ in records))

    async def send(self, topic: str, partition: int, records: Iterable[Record]) -> None:
        """Write records in order. See Log."""
        records = list(records)
        for batch in in_batches(records, partial(BatchBuilder, MAX_SENT_BYTES, 0)):
            self.sent_bytes.append((topic, partition, batch.size()))
        for record in records:
            self.publish(topic, partition, Out(*record))

    def records(self, topic: str, partition: int) -> Sequence[MemoryRecord]:
        """Everything written to a partition so far."""
        return self._records[topic, partition]

    def batches(self, topic: str, partition: int, *, start: int = 0, size: int = 2000) -> Iterator[Batch]:
        """The records from offset `start` on, cut into batches of at most `size`."""
        records = self._records[topic, partition]
        for first in range(start, len(records), size):
            yield Batch(partition, records[first : first + size])
