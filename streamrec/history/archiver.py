"""What the archive app does: batches of interactions into files of history.

The files are the truth. Whenever partitions are assigned, the worker looks up how far history reaches and
reads from there to the end of the log, whatever the group has committed; so a worker that is killed, or
loses a partition, loses what it had in memory and nothing else, and the next one reads that again, also
where nothing new comes. Two workers that take each other for dead
write files that overlap, and readers take each offset once.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from streamrec import metrics
from streamrec.config import Settings
from streamrec.errors import StorageError
from streamrec.history.coverage import covered
from streamrec.history.roll import Roll
from streamrec.history.store import HistoryStore

__all__ = ["Archiver", "Read"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_LOG_END: Final = 2**63 - 1
_LONGEST_WAIT_S: Final = 10.0
"""Between two tries to write."""


class Read(Protocol):
    """A batch: records of one partition, and where the read of them began."""

    @property
    def partition(self) -> int: ...
    @property
    def records(self) -> Sequence[Any]: ...
    @property
    def start(self) -> int: ...


class _Range(NamedTuple):
    start: int
    end: int


class Archiver:
    """Archives this worker's partitions. `handle` is the agent's handler, `run` goes on beside it.

    missing: reads the topic again: (partition, start, end) -> batches of records.
    log_start: asks Kafka for the first offset that a partition still has.
    """

    def __init__(
        self,
        settings: Settings,
        store: HistoryStore,
        topic_id: str,
        *,
        missing: Callable[[int, int, int], AsyncIterator[list[Any]]],
        log_start: Callable[[int], Awaitable[int]],
    ) -> None:
        self._settings = settings
        self._store = store
        self._topic = settings.kafka.topic("interactions")
        self._topic_id = topic_id
        self._missing = missing
        self._log_start = log_start
        self._assigned: frozenset[int] = frozenset()
        self._rolls: dict[int, Roll] = {}
        # Longer, and the watchdog would end the worker for standing still.
        self._patience_s = min(settings.history.patience_s, settings.kafka.stall_timeout_s / 2)
        self._busy = asyncio.Lock()

    def assign(self, partitions: Collection[int]) -> None:
        """These are this worker's from now on. What waits is let go: others may have written meanwhile."""
        self._assigned = frozenset(partitions)
        self._rolls = {}

    @property
    def has_caught_up(self) -> bool:
        """Whether history and what waits reach to where the log ended when the partitions were assigned."""
        return self._rolls.keys() >= self._assigned

    def waiting(self) -> dict[tuple[str, ...], float]:
        """Seconds that the oldest record of each partition has waited for its file."""
        now = time.monotonic()
        return {
            (str(n),): now - roll.since_s if roll.records else 0.0 for n, roll in sorted(self._rolls.items())
        }

    async def handle(self, batch: Read) -> None:
        """Take a batch, and what lies between it and the end of history."""
        async with self._busy:
            roll = self._rolls.get(batch.partition)
            if roll is None:
                roll = await self._begin(batch.partition)
            if batch.start > roll.end:
                await self._read(batch.partition, roll, batch.start)
            await self._take(batch.partition, roll, batch.records)
        metrics.batch_size.labels("archive").observe(len(batch.records))

    async def run(self) -> None:
        """Catch up with what is assigned, and write what has waited for long enough, until cancelled."""
        while True:
            await self.tend()
            await asyncio.sleep(min(1.0, self._settings.history.roll_s / 4))

    async def tend(self) -> None:
        """One round of `run`."""
        async with self._busy:
            for partition in sorted(self._assigned - self._rolls.keys()):
                # What was committed and never written comes in no batch.
                await self._read(partition, await self._begin(partition), _LOG_END)
            for partition, roll in list(self._rolls.items()):
                if roll.is_due(time.monotonic()):
                    await self._write(partition, roll)

    async def finish(self) -> None:
        """Write what waits, once nothing more comes; a store that is away then is not waited for."""
        self._patience_s = 0.0
        async with self._busy:
            for partition, roll in self._rolls.items():
                if roll.records:
                    try:
                        await self._write(partition, roll)
                    except StorageError as error:
                        log.warning("left to the next worker, which reads it again: %s", error)

    async def _begin(self, partition: int) -> Roll:
        """What comes next in a partition that is new here, once the holes before it are filled."""
        assigned = self._rolls
        names = await self._patiently(lambda: self._store.names(self._topic))
        found = covered(
            name for name in names if name.topic_id == self._topic_id and name.partition == partition
        )
        gaps = found.gaps
        if found.first > (left := await self._log_start(partition) if found.first else 0):
            gaps = ((left, found.first), *gaps)
        for start, end in gaps:
            # Of a file that was taken away; what retention took is not there to be read.
            roll = Roll(self._settings.history, start)
            await self._read(partition, roll, end)
            if roll.records:
                roll.end = end
                await self._write(partition, roll)
        # Into what was there at the beginning: a new assignment has begun anew meanwhile.
        return assigned.setdefault(partition, Roll(self._settings.history, found.end))

    async def _read(self, partition: int, roll: Roll, end: int) -> None:
        """Take what the log has from the end of `roll` to `end`."""
        async for records in self._missing(partition, roll.end, end):
            await self._take(partition, roll, records)

    async def _take(self, partition: int, roll: Roll, records: Sequence[Any]) -> None:
        new = [record for record in records if record.offset >= roll.end]
        if new and new[0].offset > roll.end:
            await self._step_over(partition, roll, _Range(roll.end, new[0].offset))
        for _ in roll.take(new, time.monotonic()):
            await self._write(partition, roll)

    async def _step_over(self, partition: int, roll: Roll, hole: _Range) -> None:
        """Find out whether offsets without a record never had one, as where transactions end, or are lost."""
        first = min(await self._log_start(partition), hole.end)
        if first <= hole.start:
            return
        if roll.records:
            await self._write(partition, roll)
        roll.skip_to(first)
        metrics.archive_gaps.inc(first - hole.start)
        log.error(
            "%s[%d]: offsets %d to %d were gone before they were archived: retention was shorter than the "
            "archive app was away",
            *(self._topic, partition, hole.start, first - 1),
        )

    async def _write(self, partition: int, roll: Roll) -> None:
        """Write the file that a roll has become."""
        name = roll.name(self._topic, self._topic_id, partition)
        about = {"partitions": str(self._settings.kafka.partitions)}
        records = roll.records
        size = await self._patiently(lambda: self._store.write(self._topic, name, records, about))
        roll.clear()
        metrics.archive_records.inc(len(records))
        metrics.archive_files.inc()
        metrics.archive_bytes.inc(size)
        metrics.archive_last_file.set_to_current_time()

    async def _patiently(self, work: Callable[[], T]) -> T:
        """Do something with the store, again and again while it is away. Raises StorageError in the end."""
        wait_s, started = 0.25, time.monotonic()
        while True:
            try:
                return await asyncio.to_thread(work)
            except StorageError as error:
                metrics.archive_failures.inc()
                waited_s = time.monotonic() - started
                if waited_s >= self._patience_s:
                    raise StorageError(
                        f"{error}. Given up after {waited_s:.0f} s; nothing is lost: started again, this "
                        "worker reads from Kafka what is not in history"
                    ) from error
                log.warning("history cannot be reached, trying again: %s", error)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            await asyncio.sleep(min(wait_s, self._patience_s))
