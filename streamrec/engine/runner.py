"""From a handler of batches to an agent, and from an app to a process.

A handler that raises must not return to Faust, which would acknowledge the batch and
drop it. The process ends instead, with the batch uncommitted: state is what Kafka has.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple, NoReturn

import faust

from streamrec.config import Settings
from streamrec.engine.app import check_app
from streamrec.engine.web import OperatorsPages
from streamrec.errors import StreamrecError

__all__ = ["Batch", "add_agent", "fatal", "run_worker"]

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Records of one partition, in offset order, at least one.

    A record has offset, timestamp (ms), key, value and headers (aiokafka's ConsumerRecord).
    """

    partition: int
    records: Sequence[Any]


Handler = Callable[[Batch], Awaitable[None]]


def fatal(error: BaseException) -> NoReturn:
    """End the process at once: nothing in memory is worth saving, Kafka has it all."""
    if isinstance(error, StreamrecError):
        code = error.exit_code
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
    else:
        code = 70  # EX_SOFTWARE
        log.critical("stopping: a batch could not be handled", exc_info=error)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def add_agent(
    app: faust.App, name: str, topic: str, handle: Handler, *, before: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Have `handle` called with every batch of `topic`, one at a time.

    before: awaited once, before the first batch; for what has to be read first.
    A rebalance waits until the batch in work is done.
    """
    channel = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    busy = asyncio.Lock()

    async def run(stream: Any) -> None:
        try:
            if before is not None:
                await before()
            async for event in stream.events():
                async with busy:
                    await handle(Batch(event.message.partition, event.message.value))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # the process edge
            fatal(error)

    async def wait_for_batch(*_: Any, **__: Any) -> None:
        async with busy:
            pass

    app.on_partitions_revoked.connect(wait_for_batch, weak=False)
    app.agent(channel, name=name, concurrency=1)(run)


def run_worker(
    app: faust.App,
    settings: Settings,
    *,
    port: int,
    ready: Callable[[], str | None],
    background: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    on_stop: Sequence[Callable[[], Awaitable[None]]] = (),
) -> NoReturn:
    """Run the app until SIGINT or SIGTERM, with the operators' pages beside it.

    ready: None once the app is ready, else the reason why not.
    background: coroutines that run as long as the app does; one that fails ends the process.
    Raises EngineError if the app's settings are not safe.
    """
    check_app(app)
    pages = OperatorsPages(settings.web.host, settings.web.port or port, ready)

    async def guarded(coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # the process edge
            fatal(error)

    @app.task
    async def serve_pages() -> None:
        await guarded(pages.start())

    for function in background:

        def start(function: Callable[[], Coroutine[Any, Any, None]] = function) -> Coroutine[Any, Any, None]:
            return guarded(function())

        app.task(start)

    async def stop(*_: Any, **__: Any) -> None:
        for function in on_stop:
            await function()
        await pages.stop()

    app.on_before_shutdown.connect(stop, weak=False)
    # The levels of noisy libraries: Faust logs every rebalance step, aiokafka every retry.
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    worker = faust.Worker(
        app, loglevel=settings.log_level, override_logging=False, redirect_stdouts=False, quiet=True
    )
    worker.execute_from_commandline()
    raise SystemExit(0)
