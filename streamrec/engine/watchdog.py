"""Ends a worker that stands still while there is work, instead of letting it stand for days.

In: what the app was handed and has done, and what the broker says there is. Out: an EngineError
after `stall_timeout_s` without a step. Agents of Faust and fetches of aiokafka have stopped in
silence after broker outages and rebalances (faust-streaming issues 175, 523, 532, 629). A
supervisor starts the process again, and Kafka has all that it needs.
"""

import asyncio
import faulthandler
import logging
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import faust
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from streamrec import metrics
from streamrec.config import KafkaSettings
from streamrec.engine.reader import open_consumer
from streamrec.errors import EngineError

__all__ = ["StallClock", "watch"]

log = logging.getLogger(__name__)

_LOOKS_PER_TIMEOUT = 6


class StallClock:
    """How long there has been work and no step was made. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._progress: object = None

    def look(self, now_s: float, progress: object, *, working: bool) -> float:
        """Seconds since the first of an unbroken row of looks at work that left `progress` as it was."""
        if not working or self._since is None or progress != self._progress:
            self._since = now_s if working else None
            self._progress = progress
            return 0.0
        return now_s - self._since

    def forget(self) -> None:
        """Begin anew: nothing is known of the time since the last look."""
        self._since = None


class _Work(NamedTuple):
    """What there is to do, as far as one look tells; any change of `progress` is a step."""

    waiting: str
    """What waits, for people; empty if nothing does."""
    progress: object


async def watch(app: faust.App, settings: KafkaSettings, topic: str, done: Mapping[int, int]) -> None:
    """Look after an app for as long as it runs.

    topic: what it reads. done: by partition, the offset after the last batch that was handled.
    Raises EngineError once the app stands still. If not even the event loop turns, the
    process ends with status 1 and the stacks of all threads on stderr.
    """
    try:
        await _watch(app, settings, topic, done)
    finally:
        faulthandler.cancel_dump_traceback_later()


async def _watch(app: faust.App, settings: KafkaSettings, topic: str, done: Mapping[int, int]) -> None:
    clock = StallClock()
    timeout_s = settings.stall_timeout_s
    async with open_consumer(settings, topic) as broker:
        while True:
            faulthandler.dump_traceback_later(timeout_s, exit=True)
            await asyncio.sleep(timeout_s / _LOOKS_PER_TIMEOUT)
            try:
                work = await asyncio.wait_for(_work(app, broker, topic, done), timeout_s / 2)
            except (KafkaError, TimeoutError) as error:
                # Whether there is work is not known, and a broker that is away ends no worker.
                log.warning(
                    "Kafka at %s does not tell the end of %s (%r): waiting for it, the state is safe there",
                    settings.bootstrap,
                    topic,
                    error,
                )
                clock.forget()
                continue
            stalled_s = clock.look(time.monotonic(), work.progress, working=bool(work.waiting))
            if stalled_s >= timeout_s:
                raise EngineError(
                    f"nothing has moved for {stalled_s:.0f} s: {work.waiting}. The state is safe in Kafka; "
                    "start this worker again (STREAMREC_KAFKA__STALL_TIMEOUT_S: how long it may stand still)"
                )


async def _position(app: faust.App, tp: TP) -> int:
    """Where the next fetch begins; 0 as long as the consumer does not know, as before a recovery."""
    try:
        return await asyncio.wait_for(app.consumer.position(tp), 1.0) or 0
    except TimeoutError:
        return 0


async def _work(app: faust.App, broker: Any, topic: str, done: Mapping[int, int]) -> _Work:
    try:
        assigned = [tp for tp in app.consumer.assignment() if tp.topic == topic]
    except ConsumerNotStarted:
        return _Work("the app has not started", None)
    ends = await broker.end_offsets([TopicPartition(*tp) for tp in assigned])
    positions = {tp.partition: await _position(app, tp) for tp in assigned}
    handed = {tp.partition: offset for tp, offset in app.consumer.handed.items() if tp.topic == topic}
    waiting = [
        f"{topic}[{partition}] is done to {done.get(partition)}, fetched to {positions[partition]} of {end}"
        for (_, partition), end in sorted(ends.items())
        if end > positions[partition] or handed.get(partition, 0) > done.get(partition, 0)
    ]
    if app.rebalancing:
        waiting.append("the group is rebalancing")
    if not app.tables.actives_ready:
        waiting.append("the table is being recovered")
    progress = (
        dict(done),
        positions,
        app.tables.recovery.active_remaining(),
        metrics.total(metrics.reread_records),
    )
    return _Work("; ".join(waiting), progress)
