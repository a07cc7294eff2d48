"""The archiver on the engine's in-memory log: workers that are killed, overlap, and lose partitions."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from streamrec.config import Settings, load_settings
from streamrec.engine.log import Out
from streamrec.engine.memory import MemoryLog, MemoryRecord
from streamrec.engine.runner import Batch
from streamrec.history.archiver import Archiver
from streamrec.history.names import DAY_MS
from streamrec.history.store import HistoryStore

TOPIC_ID = "00000000-0000-0000-0000-000000000001"
BASE = 20_000 * DAY_MS
"""A midnight, UTC."""


def at(folder: Path | str, partitions: int = 1, **history: Any) -> Settings:
    """Settings of a history in a folder, or at a URL."""
    return load_settings(kafka={"partitions": partitions}, history={"url": str(folder), **history})


def value(n: int, visitor: str = "v", **fields: Any) -> bytes:
    """An interaction."""
    event = {"event_id": f"e{n}", "type": "click", "visitor_id": visitor, "item_id": f"i{n % 5}"}
    return json.dumps({**event, "time": BASE + n * 1000, **fields}).encode()


class MemoryTopic:
    """An interactions topic: records by partition, of which retention can take the oldest."""

    def __init__(self, settings: Settings) -> None:
        self.log = MemoryLog()
        self.name = settings.kafka.topic("interactions")
        self.first: dict[int, int] = {}
        """The first offset that is left of a partition."""
        self.missing: set[tuple[int, int]] = set()
        """Offsets that never had a record, as where a transaction ends."""

    def publish(self, partition: int, record: Out, timestamp_ms: int) -> int:
        return self.log.publish(self.name, partition, record, timestamp_ms)

    def records(self, partition: int, start: int = 0, end: int | None = None) -> list[MemoryRecord]:
        first = max(start, self.first.get(partition, 0))
        return [
            each
            for each in self.log.records(self.name, partition)[first:end]
            if (partition, each.offset) not in self.missing
        ]

    async def read(self, partition: int, start: int, end: int) -> AsyncIterator[list[MemoryRecord]]:
        records = self.records(partition, start, end)
        for first in range(0, len(records), 7):
            yield records[first : first + 7]

    async def start(self, partition: int) -> int:
        return self.first.get(partition, 0)


class MemoryArchive:
    """An archive worker that has just started."""

    def __init__(self, topic: MemoryTopic, settings: Settings) -> None:
        self.topic = topic
        self.archiver = Archiver(
            settings, HistoryStore(settings), TOPIC_ID, missing=topic.read, log_start=topic.start
        )

    def assign(self, *partitions: int) -> None:
        self.archiver.assign(partitions)

    def tend(self) -> None:
        asyncio.run(self.archiver.tend())

    def handle(self, partition: int, start: int, end: int) -> None:
        """Hand it the records of a range, if there are any."""
        records = self.topic.records(partition, start, end)
        if records:
            asyncio.run(self.archiver.handle(Batch(partition, records)))

    def finish(self) -> None:
        asyncio.run(self.archiver.finish())


def raw(records: Iterable[Any]) -> list[tuple[Any, ...]]:
    """All that Kafka has of records."""
    return [(each.offset, each.timestamp, each.key, each.value, tuple(each.headers)) for each in records]
