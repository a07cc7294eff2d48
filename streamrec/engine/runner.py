"""From a handler of batches to an agent, and from an app to a process.

A handler that raises must not return to Faust, which would acknowledge the batch and
drop it. The process ends instead, with the batch uncommitted: state is what Kafka has.
"""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

import faust
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.types import TP
from mode import Service

from streamrec import metrics
from streamrec.config import KafkaSettings, Settings
from streamrec.engine.app import check_app
from streamrec.engine.client_log import ClientLog
from streamrec.engine.watchdog import watch
from streamrec.engine.web import OperatorsPages
from streamrec.engine.works import Works
from streamrec.errors import BrokerError, EngineError, StreamrecError

__all__ = ["Background", "Batch", "add_agent", "fatal", "run_worker"]

log = logging.getLogger(__name__)

_STOP_TIMEOUT_S = 8.0
"""For what is under way when a worker is told to stop: supervisors kill after ten seconds and more."""

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


Background = Callable[[], Coroutine[Any, Any, None]]
"""What runs as long as the app does."""


class Batch(NamedTuple):
    """Records of one partition, in offset order, at least one.

    A record has offset, timestamp (ms), key, value and headers.
    """

    partition: int
    records: Sequence[Any]

    @property
    def start(self) -> int:
        """Where the read of them began: from there to the first, nothing else is in the log."""
        return int(getattr(self.records, "start", self.records[0].offset))


def fatal(error: BaseException) -> NoReturn:
    """End the process at once: nothing in memory is worth saving, Kafka has it all."""
    if isinstance(error, KafkaError):
        error = BrokerError(f"Kafka failed: {error!r}. Nothing is lost; start this worker again")
    if isinstance(error, StreamrecError):
        code = error.exit_code
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
    else:
        code = os.EX_SOFTWARE
        log.critical("stopping: %s", error, exc_info=error)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _or_fatal(work: Awaitable[None]) -> None:
    """Await; cancellation passes, anything else ends the process."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # the process edge
        fatal(error)


def add_agent(
    app: faust.App,
    name: str,
    settings: KafkaSettings,
    topic: str,
    handle: Callable[[Batch], Coroutine[Any, Any, None]],
    *,
    before: Callable[[], Awaitable[None]],
) -> Background:
    """Have `handle` called with every batch of `topic`; returns the app's watchdog.

    Of one partition one batch at a time is in work; those of some others go on meanwhile.
    before: awaited once, before the first batch; for what has to be read first.
    Batches in work are finished before a rebalance goes on and before the process stops.
    """
    channel = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    done: dict[int, int] = {}
    metrics.consumer_lag.read_from(partial(_lag, app, topic, done))

    async def finish(event: Any) -> None:
        batch = Batch(event.message.partition, event.message.value)
        await handle(batch)
        done[batch.partition] = batch.records[-1].offset + 1
        event.ack()

    def on_change(waiting: frozenset[int]) -> None:
        app.full = frozenset(TP(topic, partition) for partition in waiting)
        app.taken.set()

    works = Works(lambda event: _or_fatal(finish(event)), on_change)

    async def run(stream: Any) -> None:
        queue = stream.channel.queue
        app.batches_queued = queue.qsize
        await _or_fatal(before())
        try:
            # Not acknowledged by Faust as soon as the next one is asked for.
            async for event in stream.noack().events():
                works.take(event)
        finally:
            # Stopping: what was begun is brought to its end, so that it can be committed.
            await works.end()

    app.works = works
    app.agent(channel, name=name, concurrency=1)(run)
    return partial(watch, app, settings, topic, done)


def _lag(app: faust.App, topic: str, done: Mapping[int, int]) -> dict[tuple[str, ...], float]:
    """Records of assigned partitions that are known of and not handled yet, by (topic, partition)."""
    try:
        ends = {tp: app.consumer.highwater(tp) for tp in app.consumer.assignment() if tp.topic == topic}
    except ConsumerNotStarted:
        return {}
    return {
        (topic, str(tp.partition)): max(
            0, end - max(done.get(tp.partition, 0), app.consumer.committed(topic, tp.partition) or 0)
        )
        for tp, end in ends.items()
        if end is not None
    }


class _Beside(Service):
    """What runs beside the app: starts before it, stops after it."""

    def __init__(
        self,
        pages: OperatorsPages,
        background: Sequence[Background],
        on_stop: Sequence[Callable[[], Awaitable[None]]],
    ) -> None:
        super().__init__()
        self._pages = pages
        self._background = background
        self._at_stop = on_stop

    async def on_start(self) -> None:
        await _or_fatal(self._pages.start())
        for function in self._background:
            self.add_future(_or_fatal(function()))

    async def on_stop(self) -> None:
        for function in self._at_stop:
            await function()
        await self._pages.stop()


class _Worker(faust.Worker):
    """Stops in order, or at once if that cannot be: flushes and commits wait for a broker for good."""

    async def stop(self) -> None:
        """Stop the app and what runs beside it. Called by mode, on a signal or after a crash."""
        too_late = EngineError(
            f"what was under way could not be finished within {_STOP_TIMEOUT_S:g} s of stopping: "
            "is Kafka away? Nothing is lost: what is not committed is read again at the next start"
        )
        deadline = self.loop.call_later(_STOP_TIMEOUT_S, fatal, too_late)
        await super().stop()
        deadline.cancel()


def _collect_rarely() -> None:
    """Leave what is loaded out of garbage collection, and look at the rest less often.

    The objects of a batch live until its end. Looked at every 700 of them (Python's default),
    they grow old at once, and full collections take a fifth of a worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _quiet_libraries() -> None:
    # Faust logs every step of a rebalance, aiokafka every retry, and mode, while a broker is
    # away, every timer that waits for it.
    for name, level in (
        ("faust", "WARNING"),
        ("mode", "WARNING"),
        ("aiokafka", "WARNING"),
        ("mode.timers", "ERROR"),
    ):
        logging.getLogger(name).setLevel(level)
    for handler in logging.getLogger().handlers:
        handler.addFilter(ClientLog())


def run_worker(
    app: faust.App,
    settings: Settings,
    *,
    pages: OperatorsPages,
    background: Sequence[Background] = (),
    on_stop: Sequence[Callable[[], Awaitable[None]]] = (),
) -> NoReturn:
    """Run the app until SIGINT or SIGTERM, with the operators' pages beside it.

    background: coroutines that run as long as the app does; one that fails ends the process.
    on_stop: awaited after the app has stopped.
    Raises EngineError if the app's settings are not safe.
    """
    check_app(app)
    logging.basicConfig(level=settings.log_level, format=_LOG_FORMAT)
    # Below that it logs the bytes of all requests and answers: visitors' records, and passwords.
    logging.getLogger("aiokafka.conn").setLevel(logging.WARNING)
    if settings.log_level != "DEBUG":
        _quiet_libraries()
    worker = _Worker(
        app,
        _Beside(pages, background, on_stop),
        loglevel=settings.log_level,
        override_logging=False,
        redirect_stdouts=False,
        quiet=True,
    )
    worker.spinner = None  # its escape codes have no place in a log
    _collect_rarely()
    worker.execute_from_commandline()
    raise SystemExit(0)
