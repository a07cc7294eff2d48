"""A state worker without Kafka: the real keeper on the engine's in-memory log."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from streamrec.agents.state import StateKeeper
from streamrec.config import Settings, load_settings
from streamrec.contracts import StepModel
from streamrec.engine.log import Append, Out
from streamrec.engine.memory import MemoryLog, MemoryRecord
from streamrec.engine.runner import Batch
from streamrec.engine.table import RowStore

TOPIC_ID = "topic-1"


def small_settings(**state: Any) -> Settings:
    """One partition, and bounds that a few interactions reach."""
    bounds = {
        "session_gap_s": 10,
        "session_items": 4,
        "recent_events": 3,
        "visitor_ttl_s": 60,
        "max_visitors": 4,
        "max_items": 5,
        "max_future_s": 100,
        "max_event_bytes": 400,
        "popularity_half_life_s": 20,
    }
    return load_settings(kafka={"partitions": 1}, state={**bounds, **state}, online_mf={"factors": 4})


class Killed(Exception):  # noqa: N818 (no error of ours: the process is gone)
    """The worker was killed."""


class FailingLog(MemoryLog):
    """A log whose writer is killed at a given write: before it (kill_before), or before it hears of it.

    Writes are counted from 1 over appends and dead letters alike; 0 never kills.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kill_before = 0
        self.kill_after = 0
        self._writes = 0

    def arm(self, *, before: int = 0, after: int = 0) -> None:
        """Count from here on."""
        self.kill_before, self.kill_after, self._writes = before, after, 0

    async def append(self, topic: str, partition: int, records: Sequence[Out]) -> Append:
        self._begin()
        written = await super().append(topic, partition, records)
        self._end()
        return written

    async def send(self, topic: str, partition: int, records: Iterable[Out]) -> None:
        self._begin()
        await super().send(topic, partition, records)
        self._end()

    def _begin(self) -> None:
        self._writes += 1
        if self._writes == self.kill_before:
            raise Killed

    def _end(self) -> None:
        if self._writes == self.kill_after:
            raise Killed


class MemoryTable:
    """Rows recovered from the log, and written to it, as PartitionTable does with Kafka's help."""

    def __init__(self, log: MemoryLog, topic: str, partitions: int = 1) -> None:
        self.store = RowStore()
        self._log = log
        self._topic = topic
        self._fresh: set[int] = set()
        for partition in range(partitions):
            self.recover(partition)

    def recover(self, partition: int) -> None:
        """Forget a partition's rows and read them anew."""
        self.store.drop(partition)
        self.store.apply(partition, self._log.records(self._topic, partition))

    def rows(self, partition: int) -> dict[bytes, bytes]:
        return self.store.rows(partition)

    def owns(self, partition: int) -> bool:
        return True

    def has_fresh_claim(self, partition: int) -> bool:
        return partition in self._fresh

    async def take_over(self, partition: int) -> None:
        """Hold all that was written until now, by whoever was here in between."""
        self.store.apply(partition, self._log.records(self._topic, partition))
        self._fresh.add(partition)

    def age(self) -> None:
        """Let all claims grow old."""
        self._fresh.clear()

    async def append(self, partition: int, rows: list[Out]) -> int:
        return (await self._log.append(self._topic, partition, rows)).size_bytes


class MemoryWorker:
    """A worker that has just started: everything it knows comes from the log."""

    def __init__(
        self,
        log: MemoryLog,
        settings: Settings,
        *,
        step_model: StepModel | None = None,
        committed: Callable[[int], int | None] = lambda _: None,
        topic_id: str = TOPIC_ID,
    ) -> None:
        self.log = log
        self.table = MemoryTable(log, settings.kafka.topic("visitor-states"), settings.kafka.partitions)
        self.asked_again: list[tuple[int, int, int]] = []
        """Ranges of the input that the keeper wanted to read again."""
        self._input = settings.kafka.topic("interactions")
        self._keeper = StateKeeper(
            settings,
            {"interactions": topic_id, "visitor-states": ""},
            self.table,
            log,
            missing=self._missing,
            committed=committed,
            step_model=lambda: step_model,
        )

    def handle(self, *batches: Batch) -> None:
        """Handle batches, one after the other."""

        async def all_of_them() -> None:
            for batch in batches:
                await self._keeper.handle(batch)

        asyncio.run(all_of_them())

    async def _missing(self, partition: int, start: int, end: int) -> AsyncIterator[list[MemoryRecord]]:
        self.asked_again.append((partition, start, end))
        yield [each for each in self.log.records(self._input, partition) if start <= each.offset < end]
