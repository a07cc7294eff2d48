"""A scoring worker without Kafka: the real list maker on the engine's in-memory log."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from memory_worker import MemoryWorker, small_settings
from state_parts import BASE, click

from streamrec.agents.scoring import ListMaker
from streamrec.agents.shadows import Shadows
from streamrec.catalogue import Catalogue
from streamrec.config import SESSION_SOURCES, Settings, load_settings
from streamrec.engine.log import Out
from streamrec.engine.memory import MemoryLog, MemoryRecord
from streamrec.engine.runner import Batch
from streamrec.events import Recommendation
from streamrec.scorer import load_scorer, load_step
from streamrec.shelf import ModelShelf

if TYPE_CHECKING:
    from session_models import Published

SETTINGS = small_settings(max_items=100, max_visitors=100).model_copy()
LEARNING = load_settings(
    **SETTINGS.model_dump(include={"kafka", "online_mf"}),
    state={**SETTINGS.state.model_dump(), "recent_sessions": 3},
    scoring={"weights": {"gru4rec": 1.0, "popularity": 0.1, **dict.fromkeys(SESSION_SOURCES, 0.5)}},
)
STATES = SETTINGS.kafka.topic("visitor-states")
LISTS = SETTINGS.kafka.topic("recommendations")


def states(published: "Published", n: int = 60, settings: Settings = SETTINGS) -> MemoryLog:
    """A log of visitor-states: visitors go round the ring, with dislikes, impressions and expiry."""
    from session_models import RING

    log = MemoryLog()
    time = BASE
    for offset in range(n):
        time += (0, 300, 900, 25_000)[offset % 4]
        kind = ("click", "click", "impression", "click", "dislike")[offset % 5]
        item, session_id = RING[offset * offset % 11], f"s{offset // 15}"
        record = click(offset, f"v{offset % 6}", item, time, type=kind, session_id=session_id)
        log.publish(settings.kafka.topic("interactions"), 0, Out(record.key, record.value), record.timestamp)
    worker = MemoryWorker(log, settings, step_model=load_step(published.registry, published.version))
    worker.handle(*log.batches(settings.kafka.topic("interactions"), 0, size=11))
    return log


class MemoryMaker:
    """A scoring worker that has just started."""

    def __init__(
        self,
        log: MemoryLog,
        published: "Published",
        settings: Settings = SETTINGS,
        shadows: Shadows | None = None,
    ) -> None:
        self.log = log
        self.reread: list[int] = []
        """Offsets from which the log was read again."""
        self.committed: int | None = None
        """What the group has committed."""
        self.is_compacted = False
        """Whether what is read again has been compacted, but for the last rows: those are too young."""
        self.catalogue = Catalogue()
        self.shelf = ModelShelf("gru4rec", partial(load_scorer, published.registry))
        self.maker = ListMaker(
            settings,
            log,
            self.shelf,
            self.catalogue,
            table_id="",
            missing=self._missing,
            committed=lambda _: self.committed,
            shadows=shadows,
        )

    def handle(self, *batches: Batch) -> None:
        async def all_of_them() -> None:
            for batch in batches:
                await self.maker.handle(batch)

        asyncio.run(all_of_them())

    async def _missing(self, partition: int, start: int, end: int) -> AsyncIterator[list[MemoryRecord]]:
        if start >= end:
            return
        self.reread.append(start)
        records = list(self.log.records(STATES, partition)[start:end])
        old = records[:-20] if self.is_compacted else []
        newest = {record.key: record for record in old}
        yield [*newest.values(), *records[len(old) :]]


def cut(log: MemoryLog, sizes: list[int], start: int = 0) -> Iterator[Batch]:
    records = log.records(STATES, 0)
    first = start
    while first < len(records):
        size = sizes[first % len(sizes)]
        yield Batch(0, records[first : first + size])
        first += size


def lists(log: MemoryLog) -> list[dict[str, Any]]:
    """The lists sent, without the time of their sending."""
    decoded = [msgspec.json.decode(each.value, type=Recommendation) for each in log.records(LISTS, 0)]
    return [{**msgspec.structs.asdict(each), "emit_time": 0} for each in decoded]
