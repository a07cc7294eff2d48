"""Ends a worker that stands still while there is work, instead of letting it stand for days.

In: what the app was handed and has done, and what the broker says there is. Out: an EngineError
after `stall_timeout_s` without a step. Agents of Faust and fetches of aiokafka have stopped in
silence after broker outages and rebalances (faust-streaming issues 175, 523, 532, 629). A
supervisor starts the process again, and Kafka has all that it needs.
"""

import asyncio
import faulthandler
import logging
import math
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


Steps = Mapping[Any, float]
"""Numbers that grow when a worker gets on."""


class StallClock:
    """How long there has been work and nothing got on. Times are seconds of one monotonic clock.

    Going to and fro is no step: a number counts when it is higher than ever since the last batch was done.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._done: Steps = {}
        self._best: dict[Any, float] = {}

    def look(self, now_s: float, done: Steps, others: Steps, *, working: bool) -> float:
        """Seconds since the first of an unbroken row of looks at work that found no step.

        done: what was brought to its end. others: what shows that something is under way.
        """
        finished = _grown(self._done, done)
        if finished or not working:
            self._best = {}
        stepped = finished or _grown(self._best, others)
        self._done = dict(done)
        self._best.update({key: max(n, self._best.get(key, n)) for key, n in others.items()})
        if not working or self._since is None or stepped:
            self._since = now_s if working else None
            return 0.0
        return now_s - self._since

    def forget(self) -> None:
        """Begin anew: nothing is known of the time since the last look."""
        self._since = None


def _grown(before: Steps, now: Steps) -> bool:
    return any(n > before.get(key, -math.inf) for key, n in now.items())


class _Work(NamedTuple):
    """What there is to do, as far as one look tells."""

    waiting: str
    """What waits, for people; empty if nothing does."""
    under_way: Steps


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
            except RuntimeError:
                if app.should_stop:
                    return  # the thread that was asked has ended
                raise
            stalled_s = clock.look(time.monotonic(), done, work.under_way, working=bool(work.waiting))
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
        return _Work("the app has not started", {})
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
    remaining = app.tables.recovery.active_remaining()
    under_way: dict[Any, float] = {"reread": metrics.total(metrics.reread_records)}
    under_way |= {("fetched", partition): position for partition, position in positions.items()}
    under_way |= {("recovered", tp.partition): -n for tp, n in remaining.items()}
    return _Work("; ".join(waiting), under_way)
