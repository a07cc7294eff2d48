"""History as live traffic: clicks published to `interactions` at a multiple of their speed.

In: clicks with their times, and how many times faster than they came they are to come again.
Out: Interactions on the topic, and where each one went. Event times are shifted to now and
divided by the speed-up; session ids stay, and each session is a visitor, as these files know
no other.

Half-lives shrink with time: `at_speed` gives the settings that state and scoring need.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from numpy.typing import NDArray

from streamrec.access import client_options, refusal
from streamrec.config import Settings
from streamrec.datasets import Clicks
from streamrec.errors import BrokerError
from streamrec.events import Interaction, encode
from streamrec.topics import require_topics

__all__ = ["MIN_TICK_MS", "ReplayReport", "Sent", "at_speed", "event_times", "interactions", "replay"]

MIN_TICK_MS: Final = 5
"""The shortest tick of `at_speed`; clicks of one tick are ranked together, so shorter ones cost more."""

# A wake-up costs about as much as publishing a click, so clicks of one moment share one.
_PACE_S: Final = 0.002
_LINGER_MS: Final = 2
_STOP_TIMEOUT_S: Final = 5.0


class Sent(NamedTuple):
    """A click that Kafka has acknowledged."""

    place: int
    """Its place in the clicks."""
    partition: int
    offset: int
    time_ms: int
    """Kafka's timestamp of the record."""


class ReplayReport(NamedTuple):
    """What a replay came to."""

    clicks: int
    seconds: float
    """From the first click to the last acknowledgement."""
    behind_s: float
    """The furthest that a click was behind its time; more than some milliseconds: a busy machine."""


def at_speed(settings: Settings, speed_up: float) -> Settings:
    """Settings for traffic that is `speed_up` times as fast as life.

    The half-life of popularity and the ticks are divided by it; ticks stay MIN_TICK_MS or longer.
    What only bounds memory, such as the visitors' time to live, stays as it is.
    """
    half_life_s = settings.state.popularity_half_life_s / speed_up
    tick_ms = settings.scoring.tick_ms
    return settings.model_copy(
        update={
            "state": settings.state.model_copy(update={"popularity_half_life_s": half_life_s}),
            "scoring": settings.scoring.model_copy(
                update={"tick_ms": min(tick_ms, max(MIN_TICK_MS, round(tick_ms / speed_up)))}
            ),
        }
    )


def event_times(clicks: Clicks, speed_up: float, start_ms: int) -> NDArray[np.int64]:
    """Event time of each click in a replay that begins at `start_ms`, ms, shape (n_clicks,)."""
    return start_ms + np.floor((clicks.time_ms - clicks.first_ms) / speed_up).astype(np.int64)


def interactions(clicks: Clicks, times_ms: NDArray[np.int64], run: int) -> Iterator[Interaction]:
    """The clicks as Interactions, with event times `times_ms`.

    Event ids are made of the session, the place in it and `run`: another run is other events.
    """
    places: Counter[str] = Counter()
    for session_id, item_id, time_ms in zip(
        clicks.session_ids, clicks.item_ids, times_ms.tolist(), strict=True
    ):
        places[session_id] += 1
        yield Interaction(
            event_id=f"{session_id}-{places[session_id]}-{run}",
            type="click",
            visitor_id=session_id,
            session_id=session_id,
            item_id=item_id,
            time=time_ms,
        )


async def replay(
    settings: Settings, clicks: Clicks, *, speed_up: float, on_sent: Callable[[Sent], None]
) -> ReplayReport:
    """Publish all clicks, each when its time has come.

    Open loop: a click is not held back because answers are late. on_sent: called with each
    click once Kafka has acknowledged it, in the order of its partition.
    Raises BrokerError or TopicError if one cannot be published.
    """
    await asyncio.to_thread(require_topics, settings, ["interactions"], to="WRITE")
    producer = AIOKafkaProducer(
        **client_options(settings.kafka),
        client_id=f"{settings.kafka.prefix}replay",
        enable_idempotence=True,
        linger_ms=_LINGER_MS,
    )
    topic = settings.kafka.topic("interactions")
    try:
        await producer.start()
        try:
            # Asked for ahead, so that the first click does not wait for it.
            await producer.partitions_for(topic)
            return await _publish(producer, topic, clicks, speed_up, on_sent)
        finally:
            # Without a broker it would wait for its own, longer timeout.
            with suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), _STOP_TIMEOUT_S)
    except KafkaError as error:
        raise refusal(settings.kafka, error, "WRITE", topic) or BrokerError(
            f"clicks cannot be published at {settings.kafka.bootstrap}: {error!r}; is that Kafka running?"
        ) from error


async def _publish(
    producer: Any, topic: str, clicks: Clicks, speed_up: float, on_sent: Callable[[Sent], None]
) -> ReplayReport:
    start_ms, start = time.time_ns() // 1_000_000, time.monotonic()
    due_s = ((clicks.time_ms - clicks.first_ms) / (1000 * speed_up)).tolist()
    behind_s = 0.0
    failed: list[BaseException] = []

    def acknowledged(place: int, time_ms: int, written: asyncio.Future[Any]) -> None:
        if written.cancelled():
            return
        if (fault := written.exception()) is not None:
            failed.append(fault)
            return
        record = written.result()
        on_sent(Sent(place, record.partition, record.offset, time_ms))

    for place, event in enumerate(interactions(clicks, event_times(clicks, speed_up, start_ms), start_ms)):
        ahead_s = start + due_s[place] - time.monotonic()
        if ahead_s > 0:
            await asyncio.sleep(max(ahead_s, _PACE_S))
        behind_s = max(behind_s, -ahead_s)
        # Given here: aiokafka acknowledges all records of a batch with the time of its first.
        time_ms = time.time_ns() // 1_000_000
        written = await producer.send(
            topic, key=event.visitor_id.encode(), value=encode(event), timestamp_ms=time_ms
        )
        written.add_done_callback(partial(acknowledged, place, time_ms))
        if failed:
            break
    await producer.flush()
    await asyncio.sleep(0)  # the last acknowledgements are told in the loop's next turn
    if failed:
        raise failed[0]
    return ReplayReport(len(clicks), time.monotonic() - start, behind_s)
