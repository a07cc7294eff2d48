"""A load test: clicks published when they are due, whatever comes back, and their lists read.

In: clicks, and how many a second. Out: an Outcome. The clicks are learned from like any others.
"""

import asyncio
import gc
import math
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streamrec.access import client_options, refusal
from streamrec.config import Settings
from streamrec.contracts import Session
from streamrec.errors import BrokerError
from streamrec.events import Interaction
from streamrec.loadtest.ledger import Ledger
from streamrec.loadtest.report import Outcome, Report, histogram, latencies, need_hdrhistogram
from streamrec.publishing import Sent, publisher
from streamrec.topics import require_topics
from streamrec.traffic import VISITORS_AT_ONCE, Arrivals, Click, due_times, woven

__all__ = ["Load", "load_test", "outcome"]

_LOOK_S: Final = 0.1
# aiokafka leaves a partition whose records wait to be taken out of the next fetch; what comes there
# meanwhile waits for that fetch to end.
_FETCH_WAIT_MS: Final = 10


class Load(NamedTuple):
    """What is asked for."""

    per_s: float = 1000.0
    """Clicks a second."""
    seconds: float = 60.0
    """That are measured."""
    warm_up_s: float = 5.0
    """Before that, at the same rate."""
    arrivals: Arrivals = "even"
    visitors: int = VISITORS_AT_ONCE
    """How many click at a time."""
    patience_s: float = 30.0
    """How long lists are waited for after the last acknowledgement."""


class _Answer(msgspec.Struct):
    """Of a list, what tells the click."""

    event_id: str


_decode = msgspec.json.Decoder(_Answer).decode


def load_test(
    settings: Settings,
    sessions: Sequence[Session],
    load: Load,
    on_progress: Callable[[Ledger], object] = lambda _: None,
) -> Outcome:
    """Publish clicks for so long, wait for their lists, and say how long those took.

    sessions: what visitors click, one after the other; from the first on again, as other visitors, when all
    have been. on_progress: called now and then. Ctrl-C ends it with what was measured so far. Raises
    ConfigError, TopicError or BrokerError.
    """
    need_hdrhistogram()
    due_s = due_times(load.per_s, load.warm_up_s + load.seconds, load.arrivals)
    ledger = Ledger(due_s, int(np.searchsorted(due_s, load.warm_up_s)))
    clicks = woven(sessions, load.visitors)
    stopped = False
    try:
        asyncio.run(_run(settings, clicks, load.patience_s, ledger, on_progress))
    except KeyboardInterrupt:
        stopped = True
    return outcome(load, ledger, stopped)


def outcome(load: Load, ledger: Ledger, stopped: bool) -> Outcome:
    """The figures of what is in a ledger."""
    freshness = histogram(ledger.freshness_s())
    report = Report(
        per_s=load.per_s,
        reached_per_s=round(ledger.reached_per_s(), 3),
        seconds=load.seconds,
        warm_up_s=load.warm_up_s,
        visitors=load.visitors,
        arrivals=load.arrivals,
        published=ledger.begun,
        acknowledged=ledger.acknowledged,
        answered=ledger.answered,
        missing=ledger.missing,
        doubled=ledger.doubled,
        measured=freshness.get_total_count(),
        freshness=latencies(freshness),
        acknowledgement=latencies(histogram(ledger.acknowledgement_s())),
        behind=latencies(histogram(ledger.behind_s())),
        stopped=stopped,
    )
    return Outcome(report, freshness)


async def _run(
    settings: Settings,
    clicks: Iterator[Click],
    patience_s: float,
    ledger: Ledger,
    on_progress: Callable[[Ledger], object],
) -> None:
    # Of this run alone: no visitor of a shop, or of a run before, is met.
    run = f"loadtest-{uuid.uuid4().hex[:12]}"
    async with publisher(settings, "loadtest") as publishing, _at_the_end(settings) as consumer:
        gc.collect()
        gc.freeze()  # a look at all that was there before takes a tenth of a second
        start_s, start_ms = time.monotonic(), time.time_ns() // 1_000_000

        def on_sent(sent: Sent) -> None:
            ledger.on_acknowledged(sent.place, sent.at_s - start_s, time.monotonic() - start_s)

        events = _events(clicks, run, start_ms, ledger)
        reading = asyncio.ensure_future(_read(settings, consumer, run, ledger, start_s))
        sending = asyncio.ensure_future(
            publishing.publish(events, (start_s + ledger.due_s).tolist(), on_sent)
        )
        try:
            patient_until_s = math.inf
            while not sending.done() or (ledger.missing and time.monotonic() < patient_until_s):
                await asyncio.sleep(_LOOK_S)
                ledger.begun = publishing.begun
                on_progress(ledger)
                if reading.done():
                    reading.result()
                if sending.done():
                    sending.result()
                    patient_until_s = min(patient_until_s, time.monotonic() + patience_s)
        finally:
            ledger.begun = publishing.begun
            gc.unfreeze()
            for task in (sending, reading):
                task.cancel()
            await asyncio.gather(sending, reading, return_exceptions=True)


def _events(clicks: Iterator[Click], run: str, start_ms: int, ledger: Ledger) -> Iterator[Interaction]:
    """The clicks as Interactions; each names its place in its id."""
    times_ms = (start_ms + np.floor(ledger.due_s * 1000)).astype(np.int64).tolist()
    for place, (time_ms, (name, item_id)) in enumerate(zip(times_ms, clicks, strict=False)):
        visitor_id = f"{run}-{name}"
        yield Interaction(
            event_id=f"{run}-e{place}",
            type="click",
            visitor_id=visitor_id,
            session_id=visitor_id,
            item_id=item_id,
            time=time_ms,
        )


@asynccontextmanager
async def _at_the_end(settings: Settings) -> AsyncIterator[Any]:
    """A consumer of all lists that come from now on, of no group. Raises TopicError or BrokerError."""
    await asyncio.to_thread(require_topics, settings, ["recommendations"], to="READ")
    kafka, topic = settings.kafka, settings.kafka.topic("recommendations")
    consumer = AIOKafkaConsumer(
        **client_options(kafka),
        client_id=kafka.topic("loadtest"),
        group_id=None,
        enable_auto_commit=False,
        fetch_max_wait_ms=_FETCH_WAIT_MS,
    )
    try:
        with _answering(settings, topic):
            await consumer.start()
            places = [TopicPartition(topic, each) for each in range(kafka.partitions)]
            consumer.assign(places)
            for place, end in (await consumer.end_offsets(places)).items():
                consumer.seek(place, end)
        yield consumer
    finally:
        # Where the broker is gone it raises the cancellation of its own tasks.
        with suppress(asyncio.CancelledError):
            await consumer.stop()


@contextmanager
def _answering(settings: Settings, topic: str) -> Iterator[None]:
    """Kafka's errors inside are BrokerErrors outside."""
    try:
        yield
    except KafkaError as error:
        raise refusal(settings.kafka, error, "READ", topic) or BrokerError(
            f"lists cannot be read at {settings.kafka.bootstrap}: {error!r}; is that Kafka running?"
        ) from error


async def _read(settings: Settings, consumer: Any, run: str, ledger: Ledger, start_s: float) -> None:
    """Note every list of this run, without end."""
    ours, named = f"{run}-".encode(), len(f"{run}-e")
    with _answering(settings, settings.kafka.topic("recommendations")):
        while True:
            fetched = await consumer.getmany(timeout_ms=1000)
            now_s = time.monotonic() - start_s
            for records in fetched.values():
                for record in records:
                    if record.key is not None and record.key.startswith(ours):
                        ledger.on_list(int(_decode(record.value).event_id[named:]), now_s)
