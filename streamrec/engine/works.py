"""The batches that an agent has taken: in work, or waiting for that.

In: events of batches, as Faust hands them on. Out: work on them, of each partition in order, one at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any, Final

__all__ = ["Works"]

# Each of another partition: enough to wait for Kafka together, and a start with hundreds of partitions does
# not read them all at once.
_AT_ONCE: Final = 8


class Works:
    """Batches in work and batches that wait. A slow partition keeps no other waiting.

    work: awaited with each batch's event; does not raise. on_change: called when a batch has begun or ended,
    with the partitions of those that wait.
    """

    def __init__(
        self, work: Callable[[Any], Awaitable[None]], on_change: Callable[[frozenset[int]], None]
    ) -> None:
        self._work = work
        self._on_change = on_change
        self._working: dict[int, asyncio.Task[None]] = {}
        self._waiting: list[Any] = []

    def take(self, event: Any) -> None:
        """Begin one more batch, or have it wait for the one before it in its partition, or for a place."""
        self._waiting.append(event)
        self._begin()

    async def ended(self, partitions: Collection[int], timeout_s: float) -> None:
        """Wait until no batch of these partitions is in work, or so long."""
        tasks = [self._working[n] for n in partitions if n in self._working]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def end(self) -> None:
        """Finish what is in work. What waits is given up: it is not acknowledged, so it is read again."""
        self._waiting.clear()
        while self._working:
            await asyncio.wait(self._working.values())

    def _begin(self) -> None:
        for event in list(self._waiting):
            if len(self._working) == _AT_ONCE:
                break
            partition = event.message.partition
            if partition not in self._working:
                self._waiting.remove(event)
                task = asyncio.ensure_future(self._work(event))
                self._working[partition] = task
                task.add_done_callback(partial(self._go_on, partition))
        self._on_change(frozenset(event.message.partition for event in self._waiting))

    def _go_on(self, partition: int, _: object) -> None:
        del self._working[partition]
        self._begin()
