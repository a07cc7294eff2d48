"""History as live traffic: clicks published to `interactions` at a multiple of their speed.

Event times are shifted to now and divided by the speed-up; session ids stay. Whoever replays
scales half-lives by the same factor.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from streamrec.config import Settings
from streamrec.datasets import Clicks
from streamrec.events import Interaction, encode

__all__ = ["Sent", "interaction_at", "replay"]

# Acknowledgements not yet here; beyond it publishing waits, and the delay shows.
_MAX_UNDER_WAY = 5000


class Sent(NamedTuple):
    """Where a click went and when."""

    place: int
    """Its place in the clicks."""
    partition: int
    offset: int
    time_ms: int
    """Kafka's timestamp of the record."""


def interaction_at(clicks: Clicks, place: int, start_ms: int, speed_up: float) -> Interaction:
    """The click at a place as an interaction of a replay that began at `start_ms`.

    The session is the visitor, as these files know no other.
    """
    session_id = clicks.session_ids[place]
    return Interaction(
        event_id=f"{session_id}-{place}",
        type="click",
        visitor_id=session_id,
        session_id=session_id,
        item_id=clicks.item_ids[place],
        time=start_ms + round((int(clicks.time_ms[place]) - clicks.first_ms) / speed_up),
    )


async def replay(
    settings: Settings, clicks: Clicks, *, speed_up: float, on_sent: Callable[[Sent], None]
) -> float:
    """Publish all clicks, each when its time has come; returns the seconds it took.

    Open loop: a click is not held back because answers are late. on_sent: called with each
    acknowledged click, in the order of its partition. Raises KafkaError if one cannot be written.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap.split(","),
        enable_idempotence=True,
        acks="all",
        linger_ms=1,
    )
    await producer.start()
    topic = settings.kafka.topic("interactions")
    started, start_ms = time.monotonic(), time.time_ns() // 1_000_000
    under_way: set[asyncio.Future[Any]] = set()
    try:
        for place in range(len(clicks)):
            due = (int(clicks.time_ms[place]) - clicks.first_ms) / 1000 / speed_up
            ahead = due - (time.monotonic() - started)
            if ahead > 0.001:
                await asyncio.sleep(ahead)
            event = interaction_at(clicks, place, start_ms, speed_up)
            sent = await producer.send(topic, key=event.visitor_id.encode(), value=encode(event))
            sent.add_done_callback(_acknowledged(place, on_sent))
            under_way.add(sent)
            sent.add_done_callback(under_way.discard)
            if len(under_way) >= _MAX_UNDER_WAY:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*under_way)
    finally:
        await producer.stop()
    return time.monotonic() - started


def _acknowledged(place: int, on_sent: Callable[[Sent], None]) -> Callable[[Any], None]:
    def call(future: Any) -> None:
        if not future.cancelled() and future.exception() is None:
            written = future.result()
            on_sent(Sent(place, written.partition, written.offset, written.timestamp))

    return call
