"""A Kafka transport for Faust that moves batches: `batchkafka://host:port`.

All records that one poll brings for one partition travel through Faust as one message:
its value is the list of records, its offset the last one's. Faust's per-message costs
(four tasks, a queue, bookkeeping of acknowledgements) are then paid once a batch.
Registered under the entry point group `faust.transports`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streamrec.access import may
from streamrec.engine.app import App
from streamrec.engine.runner import fatal
from streamrec.errors import AccessError

__all__ = ["BatchConsumer", "Fetched", "FetchedResult", "ParsedRecords", "Transport"]

# Faust asks the broker to hold an empty fetch for 1.5 s. A partition whose records arrive just
# after such a fetch left without it would wait that long; this bounds the wait.
_FETCH_MAX_WAIT_MS = 50

# While batches wait to be taken into work: how often to look whether that has an end in another way.
_LOOK_S = 0.1
# Between two takes of a poll: about what a fetch takes.
_AGAIN_S = 0.003
# A batch of fewer records costs more in Faust and Kafka than in its records.
_FEW = 4
_LONGEST_PAUSE_S = 0.1


class ParsedRecords(fetcher.PartitionRecords):
    """Records as the client's parser made them, in C: offset, timestamp, key, value, headers.

    To wrap each one once more, for the topic, the partition and its sizes, costs as much as to parse it.
    """

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        if self._key_deserializer or self._value_deserializer:
            return super()._consumer_record(tp, record)
        return record


class Fetched(list[Any]):
    """Records of one partition as one poll gave them."""

    start: int = 0
    """Where the read began; right behind the last record of the one before, if it went on from there."""
    end: int = 0
    """Where it ended: of what lies between, nothing else is in the log."""


class FetchedResult(fetcher.FetchResult):
    """What a fetch brought for a partition."""

    def getall(self, max_records: int | None = None) -> Fetched:
        """The next records, and where in the log they are from."""
        records = self._partition_records
        start = 0 if records is None else records.next_fetch_offset
        found = Fetched(super().getall(max_records))
        if records is not None and records.next_fetch_offset > start:
            found.start, found.end = start, records.next_fetch_offset
            self._join(found)
        return found

    def _join(self, found: Fetched) -> None:
        """Count to a read what reads right before it passed behind their last record.

        Where transactions end, or compaction was, there is nothing; who is handed records alone cannot tell.
        """
        place = self._assignment.state_value(self._topic_partition)
        start, end = getattr(place, "passed", (found.start, found.start))
        if end == found.start:
            found.start = start
        place.passed = (found[-1].offset + 1 if found else found.start, found.end)


# aiokafka offers no settings for these: they hold for every consumer of aiokafka's in the process.
fetcher.PartitionRecords = ParsedRecords
fetcher.FetchResult = FetchedResult


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_consumer(self, loop: Any) -> Any:
        consumer = super()._create_consumer(loop)
        consumer._fetch_max_wait_ms = _FETCH_MAX_WAIT_MS  # Faust offers no setting for it
        commit = consumer.commit

        async def commit_or_end(offsets: Any) -> None:
            with _ending_when_refused(self.app):
                await commit(offsets)

        # Where it is called, Faust logs a refusal in fifty lines.
        consumer.commit = commit_or_end
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 (Faust's)
        max_records: int | None = None,
    ) -> Any:
        # As aiokafka's own getmany, which Faust passes by: of a group that was refused nothing else tells.
        consumer._coordinator.check_errors()
        # A copy: Faust changes its set meanwhile, in another thread, and to aiokafka an empty one means all.
        # What it then brings of others is dropped later, and nothing reads it again.
        full = self.app.full
        active_partitions = set(active_partitions) - full
        if not active_partitions:
            return {}
        room = dict.fromkeys(active_partitions, max_records or sys.maxsize)
        found = await self._take(consumer, room)
        if not found:
            # A poll sees no partition that comes back meanwhile, and Faust's take a second.
            timeout = _LOOK_S if full else timeout
            return await super()._fetch_records(
                consumer, active_partitions, timeout=timeout, max_records=max_records
            )
        # It has lain there since right after the last poll: a partition is not fetched again before what is
        # there is taken. What came since is on its way now.
        left = {tp: n - len(found.get(tp, ())) for tp, n in room.items()}
        if not any(left.values()):
            return found
        await asyncio.sleep(_AGAIN_S)
        for tp, more in (await self._take(consumer, left)).items():
            before = found.get(tp)
            # Behind a marker of a transaction the read goes on where the records before it end; see _join.
            if before is not None and more.start in (before.end, before[-1].offset + 1):
                more[:0], more.start = before, before.start
            found[tp] = more  # where they do not join the first is left out, which its handler makes up for
        return found

    async def _take(self, consumer: Any, room: Mapping[TP, int]) -> dict[TP, Fetched]:
        """What has been fetched by now, of each partition as much as there is room for.

        Of each: taken together, a partition with a backlog would leave the others nothing.
        """
        fetched = dict(consumer._fetcher._records)
        found: dict[TP, Fetched] = {}
        # Errors first: they are raised, and what was taken before would have to be read again.
        for tp in sorted(fetched, key=lambda tp: isinstance(fetched[tp], FetchedResult)):
            if room.get(tp, 0) > 0:
                found |= await super()._fetch_records(consumer, {tp}, timeout=0, max_records=room[tp])
        return found


@contextmanager
def _ending_when_refused(app: App) -> Iterator[None]:
    """A right that is gone ends the process, with its name and nothing committed."""
    try:
        with may(app.kafka, "READ"):
            yield
    except AccessError as error:
        fatal(error)


class BatchConsumer(driver.Consumer):
    """Faust's consumer, with one message for all records of a partition in a poll."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.handed: dict[TP, int] = {}
        """Offset after the last batch handed on, of the partitions assigned."""
        self._sought: dict[tuple[str, int], int | None] = {}
        self._handed_at = 0.0
        """When the batches of the last call were handed on, in the loop's time,"""
        self._few: list[int] = []
        """and their partitions if there were few records in them."""

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def committed(self, topic: str, partition: int) -> int | None:
        """The offset this group had committed when the partition was assigned; None if none.

        Faust's own note of it is gone before the last batch of a partition that moves away is handled.
        """
        return self._sought.get((topic, partition))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go on where the group is. Called by Faust; a partition with nothing committed stays where it is."""
        try:
            found: Mapping[TP, int] = await super().seek_to_committed()
        except (IllegalStateError, AssertionError):
            # Partitions went away meanwhile: the rebalance that took them seeks anew, behind this.
            return {}
        self._sought.update(found)
        return found

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109 (Faust's)
        """One message per partition with new records. Called by Faust's fetcher.

        Of no partition of which one waits: what arrives meanwhile makes the next one larger, and a batch of
        each partition at most waits.
        """
        await self._until_room()
        if not self.app.tables.actives_ready:
            # A poll sees no partition that is let in meanwhile, and Faust's take a second.
            timeout = _LOOK_S
        with _ending_when_refused(self.app):
            records, active = await self._wait_next_records(timeout)
        if records is None or self.should_stop:
            return
        self._handed_at = asyncio.get_running_loop().time()
        few = sum(map(len, records.values())) < _FEW * len(records)
        self._few = [tp.partition for tp in records] if few else []
        generation = self.app.consumer_generation_id
        if not self.flow_active:
            # Fetched while a rebalance began: forget it, and read again from what is committed.
            await self.perform_seek()
            return
        for tp, batch in records.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            if active is not None and tp not in active:
                continue
            last = batch[-1]
            message = ConsumerMessage(
                tp.topic,
                tp.partition,
                last.offset,
                last.timestamp / 1000,
                last.timestamp_type,
                headers=None,
                key=None,
                value=batch,
                checksum=None,
                serialized_key_size=0,
                serialized_value_size=0,
                tp=tp,
                generation_id=generation,
            )
            # Faust drops what it believes read already; after a seek that raced with a delivery it
            # is wrong and loses events. The watermark recognises repeats, exactly.
            self._read_offset[tp] = None
            self.handed[tp] = last.offset + 1
            yield tp, message

    async def _until_room(self) -> None:
        """Wait until a batch could be begun or wait; after small ones for their end, and as long again.

        A worker that polls without a pause keeps a core busy with batches of a few records.
        """
        while self._no_room() and self.flow_active and not self.should_stop:
            self.app.taken.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.app.taken.wait(), _LOOK_S)
        if self._few:
            few, self._few = self._few, []
            if self.app.works is not None:
                await self.app.works.ended(few, _LONGEST_PAUSE_S)
            took_s = asyncio.get_running_loop().time() - self._handed_at
            await asyncio.sleep(min(took_s, _LONGEST_PAUSE_S))

    def _no_room(self) -> bool:
        full = self.app.full
        return self.app.batches_queued() > 0 or bool(full and full >= self._get_active_partitions())

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish the batch in work and commit it, before the partitions go. Called in a rebalance."""
        self.stop_flow()
        self.app.flow_control.suspend()
        self.app.flow_control.clear()
        if self.app.works is not None:
            await self.app.works.end()
        # Faust forgets what is acknowledged next; another worker would handle it once more.
        await self.commit()
        self.handed.clear()
        await super().on_partitions_revoked(revoked)

    async def on_stop(self) -> None:
        """Finish the batches in work and commit them. Called by Faust, before it stops agents."""
        if self.app.works is not None:
            await self.app.works.end()
        await super().on_stop()

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what is handled by now. Called by Faust too, at intervals, and when it stops.

        While another is under way Faust's own only waits for that one, which lacks what was handled since.
        """
        await self.maybe_wait_for_commit_to_finish()
        return bool(await super().commit(topics, start_new_transaction))

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: the watchdog knows better whether a partition stands still. Called by Faust."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets inside a batch are no gaps; real ones are the handler's to judge."""

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: the end of the last batch acknowledged.

        Batches of a partition are acknowledged in order, one at a time.
        """
        acked = self._acked[tp]
        if not acked:
            return None
        last = int(max(acked))
        acked.clear()
        self._acked_index[tp].clear()
        return last + 1


class Transport(driver.Transport):
    """aiokafka with the batch consumer."""

    Consumer = BatchConsumer
