"""The rows of visitor-states in memory, kept by Faust's table recovery, batch-wise.

`RowStore` holds the rows of each partition as bytes. `PartitionTable` hangs it into
Faust: which partitions are ours, and when they are recovered, is Faust's decision; a
changelog record batch is applied in one go instead of row by row, and rows are written
by `Log.append` instead of Faust's record-by-record sends.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import faust
from faust.types import TP

from streamrec.engine.log import Log, Record

__all__ = ["OWNER_KEY", "PartitionTable", "RowStore"]

OWNER_KEY = b"o:"
"""Key of the record without a value that a partition's new owner appends first."""

Rows = dict[bytes, bytes]

# Kafka forgets a transactional id, and whom it shuts out, when it was not asked for within
# transactional.id.expiration.ms (7 days): appends do not count.
_CLAIM_S = 6 * 3600.0


class RowStore:
    """Rows by partition. The dict of a partition is the recovered state, byte for byte."""

    def __init__(self) -> None:
        self._partitions: dict[int, Rows] = {}

    def rows(self, partition: int) -> Rows:
        """The rows of a partition; the same dict until the partition is dropped."""
        return self._partitions.setdefault(partition, {})

    def apply(self, partition: int, records: Iterable[Any]) -> None:
        """Apply changelog records in order; a null value deletes."""
        rows = self.rows(partition)
        for record in records:
            if record.value is None:
                rows.pop(record.key, None)
            else:
                rows[record.key] = record.value

    def drop(self, partition: int) -> None:
        """Forget a partition that is no longer ours."""
        self._partitions.pop(partition, None)


class PartitionTable(faust.Table):
    """A Faust table whose changelog is visitor-states and whose writes are whole appends.

    missing: reads the changelog again: (partition, start, end) -> batches of records.
    """

    def __init__(
        self,
        app: faust.App,
        *,
        topic: str,
        log: Log,
        partitions: int,
        missing: Callable[[int, int, int], AsyncIterator[list[Any]]],
        **options: Any,
    ) -> None:
        super().__init__(
            app,
            changelog_topic=app.topic(
                topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
            ),
            partitions=partitions,
            # Counted in messages, which are batches here: keep few in memory.
            recovery_buffer_size=2,
            **options,
        )
        self.store = RowStore()
        self._log = log
        self._topic = topic
        self._missing = missing
        self._applied: dict[TP, int] = {}
        self._claimed_at: dict[int, float] = {}

    def rows(self, partition: int) -> Rows:
        """The rows of a partition of ours. Change them only after their append."""
        return self.store.rows(partition)

    def owns(self, partition: int) -> bool:
        """Whether a partition was taken over and has not moved away since, as far as this worker knows."""
        return partition in self._claimed_at

    def has_fresh_claim(self, partition: int) -> bool:
        """Whether a partition that we own was taken over not long ago; else it has to be before an append."""
        return time.monotonic() < self._claimed_at.get(partition, -math.inf) + _CLAIM_S

    async def take_over(self, partition: int) -> None:
        """Shut out whoever owned the partition before; then hold all that was written until now.

        A worker that was out of touch (stopped, cut off) does not know that it has lost the
        partition, and may append behind our recovery. Our first append ends that; what came
        before it is read.
        """
        await self._log.claim(self._topic, partition)
        ours = await self._log.append(self._topic, partition, [(OWNER_KEY, None, ())])
        tp = TP(self._topic, partition)
        async for records in self._missing(partition, self._applied.get(tp, -1) + 1, ours.last_offset):
            self.store.apply(partition, records)
        self._applied[tp] = ours.last_offset
        self._claimed_at[partition] = time.monotonic()

    async def append(self, partition: int, rows: Sequence[Record]) -> int:
        """Make changed rows durable in one append, whose size in bytes is returned.

        The caller then changes `rows`: memory follows the log and never leads it.
        """
        written = await self._log.append(self._topic, partition, rows)
        self._applied[TP(self._topic, partition)] = written.last_offset
        return written.size_bytes

    def persisted_offset(self, tp: TP) -> int | None:
        """Where recovery may begin: what we hold needs no second reading. Called by Faust."""
        return self._applied.get(tp)

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Apply recovered batches that go on where we are. Called by Faust's recovery.

        In rebalances Faust hands on batches that were fetched before them, and then leaves out the
        ones before those as known. What is left out here is read when the partition is taken over.
        """
        for event in batch:
            message, fetched = event.message, event.message.value
            applied = self._applied.get(message.tp, -1)
            if fetched.start <= applied + 1 < fetched.end:
                new = [record for record in fetched if record.offset > applied]
                self.store.apply(message.partition, new)
                self._applied[message.tp] = fetched.end - 1

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Give up partitions that moved away. Called by Faust."""
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        for tp in revoked:
            # A partition's input always moves; its changelog stays if this worker is its standby now.
            self._claimed_at.pop(tp.partition, None)
            await self._log.release(self._topic, tp.partition)
            if tp.topic == self._topic:
                self.store.drop(tp.partition)
                self._applied.pop(tp, None)
