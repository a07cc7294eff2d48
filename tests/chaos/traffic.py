"""Clicks as an app sends them: real ones, at a steady pace, until told to stop."""

import asyncio
import json
import random
import threading
import time
from collections.abc import Iterator
from itertools import count
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer

from streamrec.backoff import with_backoff
from streamrec.config import Settings
from streamrec.datasets import bundled_clicks

_KINDS = ("click", "click", "view", "cart", "click", "impression", "dislike", "purchase")
_PATIENCE_MS = 600_000
"""An app that waits for a broker to come back."""


def real_clicks(seed: int) -> Iterator[dict[str, Any]]:
    """Interactions made of bundled clicks from a random place on, without their time."""
    clicks = bundled_clicks()
    draw = random.Random(seed)
    start = draw.randrange(len(clicks.item_ids))
    for n in count():
        place = (start + n) % len(clicks.item_ids)
        visitor_id = clicks.session_ids[place]
        event = {
            "event_id": f"{seed}-{n}",
            "type": draw.choice(_KINDS),
            "visitor_id": visitor_id,
            "item_id": clicks.item_ids[place],
        }
        if draw.random() < 0.5:
            event["session_id"] = visitor_id
        yield event


class Traffic:
    """A thread that publishes. `sent` counts what Kafka has acknowledged; a context manager."""

    def __init__(
        self, settings: Settings, events: Iterator[dict[str, Any]], per_s: float, clock_ahead_s: float = 0.0
    ) -> None:
        self._settings = settings
        self._events = events
        self._per_s = per_s
        self._ahead_ms = round(clock_ahead_s * 1000)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._error: BaseException | None = None
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        if error is not None:
            return  # the thread may be waiting for a broker that the test has left dead
        self._thread.join()
        if self._error is not None:
            raise self._error

    async def _run(self) -> None:
        try:
            await self._publish()
        except BaseException as error:  # told to the test's thread
            self._error = error

    async def _publish(self) -> None:
        producer = with_backoff(
            AIOKafkaProducer(
                bootstrap_servers=self._settings.kafka.bootstrap,
                enable_idempotence=True,
                linger_ms=5,
                request_timeout_ms=_PATIENCE_MS,
            )
        )
        await producer.start()
        topic = self._settings.kafka.topic("interactions")
        under_way = set()
        try:
            start, n = time.monotonic(), 0
            while not self._enough.is_set():
                while n < (time.monotonic() - start) * self._per_s:
                    event = next(self._events)
                    now = time.time_ns() // 1_000_000 + self._ahead_ms
                    value = json.dumps(event | {"time": now}).encode()
                    sending = await producer.send(
                        topic, value, key=event["visitor_id"].encode(), timestamp_ms=now
                    )
                    under_way.add(sending)
                    sending.add_done_callback(under_way.discard)
                    n += 1
                await asyncio.sleep(0.02)
            await asyncio.gather(*under_way)
            self.sent = n
        finally:
            await producer.stop()
