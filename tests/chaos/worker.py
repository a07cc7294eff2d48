"""A worker with a fault built in, to be run as a process: `python worker.py ROLE FAULT [N]`.

The product knows nothing of faults: they are put around its functions here.

Failpoints kill the process (SIGKILL) at the N-th time that it gets there:

    before-write    before rows are appended (state), or lists are sent (scoring)
    sent            a produce request is with the kernel, its acknowledgement not here yet
    acknowledged    a write is acknowledged, and nothing in memory knows of it
    before-commit   before input offsets are committed

    load            a graph of a model is about to be loaded, for the N-th time
    swap            the first batch under another model version is worked out, and nothing of it written

    model           the session model fails on the item "cursed", every time
    slow-write      every write takes a second longer, so that a process can be stopped in it
    slow            from a SIGRTMIN to the next, every write takes N seconds longer
    skip            the N-th poll that brings input comes while the flow is stopped, as in a rebalance

    clock           the clock is N seconds ahead, or behind; see shifted.py

Bugs are such as somebody might build in; the bench has to catch them:

    bug-early       a write counts as done at once, and is done a second later
    bug-replay      nobody looks whether a record was counted before
    bug-swallow     the N-th write fails, and the error is swallowed
    bug-hoard       partitions are polled however many of their batches wait; slow, too
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiokafka
import aiokafka.conn
from aiokafka.protocol.produce import ProduceRequest

from streamrec import onnx_graph
from streamrec.agents import scoring, state
from streamrec.cli import main
from streamrec.engine.app import App
from streamrec.engine.log import KafkaLog
from streamrec.engine.transport import BatchConsumer
from streamrec.scorer import SessionStep


class Countdown:
    """Whether it is the N-th time."""

    def __init__(self, n: int) -> None:
        self._left = n

    def now(self) -> bool:
        self._left -= 1
        return self._left == 0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def around_writes(replaced: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put something around what makes a batch durable: append for state, send for scoring."""
    name = "append" if ROLE == "state" else "send"
    setattr(KafkaLog, name, replaced(getattr(KafkaLog, name)))


def before_write(countdown: Countdown) -> None:
    def replaced(write: Callable[..., Any]) -> Callable[..., Any]:
        async def killed(*arguments: Any) -> Any:
            if countdown.now():
                die()
            return await write(*arguments)

        return killed

    around_writes(replaced)


def acknowledged(countdown: Countdown) -> None:
    def replaced(write: Callable[..., Any]) -> Callable[..., Any]:
        async def killed(*arguments: Any) -> Any:
            written = await write(*arguments)
            if countdown.now():
                die()
            return written

        return killed

    around_writes(replaced)


def sent(countdown: Countdown) -> None:
    send = aiokafka.conn.AIOKafkaConnection.send

    def killed(self: Any, request: Any, *arguments: Any, **options: Any) -> Any:
        answer = send(self, request, *arguments, **options)
        if isinstance(request, ProduceRequest) and countdown.now():
            die()
        return answer

    aiokafka.conn.AIOKafkaConnection.send = killed


def before_commit(countdown: Countdown) -> None:
    commit = aiokafka.AIOKafkaConsumer.commit

    async def killed(*arguments: Any) -> None:
        if countdown.now():
            die()
        await commit(*arguments)

    aiokafka.AIOKafkaConsumer.commit = killed


def load(countdown: Countdown) -> None:
    made = onnx_graph.Graph.__init__

    def killed(*arguments: Any, **options: Any) -> None:
        if countdown.now():
            die()
        made(*arguments, **options)

    onnx_graph.Graph.__init__ = killed  # type: ignore[method-assign]


def swap(_: Countdown) -> None:
    seen: set[str] = set()

    def look(versions: set[str]) -> None:
        seen.update(versions)
        if len(seen) > 1:
            die()

    if ROLE == "state":
        advance = state.advance

        def advanced(records: Any, partition: Any, model: Any, canary: Any) -> Any:
            changes = advance(records, partition, model, canary)
            look({model.version})
            return changes

        state.advance = advanced
        return
    lists = scoring.lists

    def listed(visitors: Any, *arguments: Any, **options: Any) -> Any:
        made = lists(visitors, *arguments, **options)
        look({row.model_version for _, row in visitors if row.model_version})
        return made

    scoring.lists = listed


def model(_: Countdown) -> None:
    step = SessionStep.step

    def failing(self: SessionStep, items: Any, hidden: Any) -> Any:
        if self.item_index("cursed") in items:
            raise RuntimeError("the graph failed")
        return step(self, items, hidden)

    SessionStep.step = failing  # type: ignore[method-assign]


def slow(_: Countdown) -> None:
    is_slow, longer_s = asyncio.Event(), float(*TIMES)
    signal.signal(signal.SIGRTMIN, lambda *_: is_slow.clear() if is_slow.is_set() else is_slow.set())

    def replaced(write: Callable[..., Any]) -> Callable[..., Any]:
        async def later(*arguments: Any) -> Any:
            if is_slow.is_set():
                await asyncio.sleep(longer_s)
            return await write(*arguments)

        return later

    around_writes(replaced)


def slow_write(_: Countdown) -> None:
    def replaced(write: Callable[..., Any]) -> Callable[..., Any]:
        async def slow(*arguments: Any) -> Any:
            await asyncio.sleep(1)
            return await write(*arguments)

        return slow

    around_writes(replaced)


def skip(countdown: Countdown) -> None:
    topic = "interactions" if ROLE == "state" else "visitor-states"
    wait_next_records = BatchConsumer._wait_next_records

    async def stopped(self: BatchConsumer, timeout_s: float) -> Any:
        records, active = await wait_next_records(self, timeout_s)
        if any(each.topic.endswith(topic) for each in records or ()) and countdown.now():
            self.stop_flow()
            asyncio.get_running_loop().call_soon(self.resume_flow)
        return records, active

    BatchConsumer._wait_next_records = stopped  # type: ignore[method-assign]


def bug_early(_: Countdown) -> None:
    later: set[Any] = set()

    def replaced(write: Callable[..., Any]) -> Callable[..., Any]:
        async def early(*arguments: Any) -> None:
            async def write_later() -> None:
                await asyncio.sleep(1)
                await write(*arguments)

            later.add(asyncio.ensure_future(write_later()))

        return early

    around_writes(replaced)


def bug_replay(_: Countdown) -> None:
    advance = state.advance

    def careless(records: Any, partition: Any, *models: Any) -> Any:
        partition.offset = records[0].offset - 1
        return advance(records, partition, *models)

    state.advance = careless  # type: ignore[assignment]


def bug_swallow(countdown: Countdown) -> None:
    def replaced(write: Callable[..., Any]) -> Callable[..., Any]:
        async def failing(*arguments: Any) -> Any:
            if countdown.now():
                raise ConnectionError("the broker closed the connection")
            return await write(*arguments)

        return failing

    around_writes(replaced)
    # Swallowed further out, around the whole batch, the next batch would make up for it.
    send = scoring.ListMaker._send

    async def swallowing(*arguments: Any) -> None:
        with suppress(ConnectionError):
            await send(*arguments)

    scoring.ListMaker._send = swallowing  # type: ignore[method-assign]


def bug_hoard(countdown: Countdown) -> None:
    slow(countdown)

    App.full = property(lambda _: frozenset(), lambda *_: None)  # type: ignore[assignment]


if __name__ == "__main__":
    ROLE, FAULT, *TIMES = sys.argv[1:]
    globals()[FAULT.replace("-", "_")](Countdown(int(*TIMES or "1")))
    main([ROLE])
