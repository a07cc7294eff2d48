"""Interactions published to Kafka, each when its time has come: the one way in which streamrec makes traffic.

In: interactions, and when each is due. Out: records on `interactions`, and where each one went.
Open loop: none is held back because answers, or acknowledgements of others, are late.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streamrec.access import client_options, refusal
from streamrec.backoff import with_backoff
from streamrec.config import Settings
from streamrec.errors import BrokerError
from streamrec.events import Interaction, encode
from streamrec.topics import require_topics
from streamrec.topics.specs import INTERACTION_BATCH_BYTES

__all__ = ["Publisher", "Sent", "publisher"]

# A request costs as much as ten clicks, so clicks of one moment share one.
_PACE_S: Final = 0.003
# Some thousand clicks; beyond that, who publishes waits for Kafka. Less than the topic takes, for the header.
_MAX_BATCH_BYTES: Final = INTERACTION_BATCH_BYTES - 4096
_STOP_TIMEOUT_S: Final = 5.0


class Sent(NamedTuple):
    """An interaction that Kafka has acknowledged."""

    place: int
    """Its place among those to be published."""
    partition: int
    offset: int
    time_ms: int
    """Kafka's timestamp of the record."""
    at_s: float
    """When it was handed to the client, by time.monotonic."""


class Publisher:
    """Publishes to one topic. Connected already; see `publisher`."""

    def __init__(self, producer: Any, topic: str) -> None:
        self.begun = 0
        """How many were handed to the client."""
        self.behind_s = 0.0
        """The furthest that one was behind its time then."""
        self._producer = producer
        self._topic = topic

    async def publish(
        self, events: Iterable[Interaction], due_s: Sequence[float], on_sent: Callable[[Sent], None]
    ) -> None:
        """Publish all, each when it is due; returns when all are acknowledged.

        due_s: by time.monotonic, in order. on_sent: called with each once Kafka has acknowledged it, in
        the order of its partition. Raises a KafkaError if one cannot be published.
        """
        failed: list[BaseException] = []

        def acknowledged(place: int, time_ms: int, at_s: float, written: asyncio.Future[Any]) -> None:
            if written.cancelled():
                return
            if (fault := written.exception()) is not None:
                failed.append(fault)
                return
            record = written.result()
            on_sent(Sent(place, record.partition, record.offset, time_ms, at_s))

        turn_s = 0.0
        for place, (event, due) in enumerate(zip(events, due_s, strict=True)):
            # Behind their times, too, clicks let the requests have their turn.
            while (now := time.monotonic()) < due or now >= turn_s:
                await asyncio.sleep(max(due - now, _PACE_S) if now < due else 0)
                turn_s = time.monotonic() + _PACE_S
            self.behind_s = max(self.behind_s, now - due)
            # Given here: aiokafka acknowledges all records of a batch with the time of its first.
            time_ms = time.time_ns() // 1_000_000
            written = await self._producer.send(
                self._topic, key=event.visitor_id.encode(), value=encode(event), timestamp_ms=time_ms
            )
            written.add_done_callback(partial(acknowledged, place, time_ms, now))
            self.begun += 1
            if failed:
                break
        await self._producer.flush()
        await asyncio.sleep(0)  # the last acknowledgements are told in the loop's next turn
        if failed:
            raise failed[0]


@asynccontextmanager
async def publisher(settings: Settings, name: str) -> AsyncIterator[Publisher]:
    """A publisher of interactions that is connected, so that the first one does not wait for it.

    name: of the client, without prefix. A Kafka that refuses, or does not answer, within is a BrokerError;
    a topic that is missing a TopicError.
    """
    await asyncio.to_thread(require_topics, settings, ["interactions"], to="WRITE")
    kafka, topic = settings.kafka, settings.kafka.topic("interactions")
    producer = with_backoff(
        AIOKafkaProducer(
            **client_options(kafka),
            client_id=kafka.topic(name),
            enable_idempotence=True,
            linger_ms=0,  # the pace lets them gather already
            max_batch_size=_MAX_BATCH_BYTES,
        )
    )
    try:
        await producer.start()
        try:
            # Asked for ahead, for the same reason.
            await producer.partitions_for(topic)
            yield Publisher(producer, topic)
        finally:
            # Without a broker it would wait for its own, longer timeout.
            with suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), _STOP_TIMEOUT_S)
    except KafkaError as error:
        raise refusal(kafka, error, "WRITE", topic) or BrokerError(
            f"clicks cannot be published at {kafka.bootstrap}: {error!r}; is that Kafka running?"
        ) from error
