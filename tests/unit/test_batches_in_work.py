"""Batches of an agent: which are in work at once, when they are acknowledged, and how they end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from streamrec.config import KafkaSettings
from streamrec.engine import runner
from streamrec.engine.runner import Batch, add_agent


@pytest.fixture(autouse=True)
def no_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lag of an agent is asked for as long as the process lives."""
    monkeypatch.setattr(runner.metrics, "consumer_lag", SimpleNamespace(read_from=lambda _: None))


class Agent:
    """An agent whose batches wait until they are told to go on."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.acknowledged: list[tuple[int, int]] = []
        self._go_on: dict[tuple[int, int], asyncio.Event] = {}
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self.app: Any = SimpleNamespace(
            topic=lambda *_, **__: None, agent=lambda *_, **__: self._set, taken=asyncio.Event()
        )
        # The watchdog that it returns is not awaited.
        add_agent(self.app, "agent", KafkaSettings(), "topic", self._handle, before=self._before)

    def _set(self, run: Any) -> None:
        self._run = run

    async def _before(self) -> None:
        pass

    async def _handle(self, batch: Batch) -> None:
        place = batch.partition, batch.records[-1].offset
        self.begun.append(place)
        await self._go_on.setdefault(place, asyncio.Event()).wait()

    def noack(self) -> "Agent":
        return self

    async def events(self) -> AsyncIterator[Any]:
        while True:
            yield await self._events.get()

    @property
    def channel(self) -> Any:
        return SimpleNamespace(queue=self._events)

    async def hand(self, *places: tuple[int, int]) -> None:
        """Batches of one record each."""
        for place in places:
            message = SimpleNamespace(partition=place[0], value=[SimpleNamespace(offset=place[1])])
            ack = lambda place=place: self.acknowledged.append(place)  # noqa: E731
            self._events.put_nowait(SimpleNamespace(message=message, ack=ack))
        await self.settle()

    async def finish(self, *places: tuple[int, int]) -> None:
        for place in places:
            self._go_on.setdefault(place, asyncio.Event()).set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    @contextmanager
    def running(self) -> Iterator[asyncio.Task[None]]:
        task = asyncio.create_task(self._run(self))
        yield task
        task.cancel()


def full(agent: Agent) -> list[int]:
    """The partitions of which a batch waits."""
    return sorted(tp.partition for tp in agent.app.full)


async def test_while_one_partition_waits_others_go_on_and_each_in_order() -> None:
    agent = Agent()
    with agent.running():
        await agent.hand((0, 0), (1, 0), (1, 1), (2, 0))
        assert agent.begun == [(0, 0), (1, 0), (2, 0)]  # a slow partition keeps no other waiting
        assert full(agent) == [1]
        await agent.finish((1, 0))
        assert agent.begun[-1] == (1, 1)
        assert agent.acknowledged == [(1, 0)]
        assert full(agent) == []
        await agent.finish((2, 0), (0, 0), (1, 1))
        assert sorted(agent.acknowledged) == [(0, 0), (1, 0), (1, 1), (2, 0)]


async def test_a_rebalance_waits_for_what_is_in_work_and_gives_up_what_waits() -> None:
    agent = Agent()
    with agent.running():
        await agent.app.works.end()
        await agent.hand((0, 0), (1, 0), (1, 1))
        waits = asyncio.create_task(agent.app.works.end())
        await agent.finish((0, 0))
        assert not waits.done()
        await agent.finish((1, 0))
        assert waits.done()
        assert agent.begun == agent.acknowledged == [(0, 0), (1, 0)]
        assert full(agent) == []
        await agent.hand((1, 1))  # read again
        assert agent.begun[-1] == (1, 1)


async def test_what_is_in_work_when_it_stops_is_finished_and_acknowledged_the_rest_is_not() -> None:
    agent = Agent()
    partitions = [(partition, 0) for partition in range(12)]
    with agent.running() as task:
        await agent.hand(*partitions)
        task.cancel()
        await agent.settle()
        assert not task.done()
        await agent.finish(*partitions)
        with suppress(asyncio.CancelledError):
            await task
    assert agent.begun == agent.acknowledged == partitions[:8]


async def test_the_end_of_some_partitions_batches_is_waited_for_and_not_for_ever() -> None:
    agent = Agent()
    with agent.running():
        await agent.hand((0, 0), (1, 0))
        waits = asyncio.create_task(agent.app.works.ended([0], 10.0))
        await agent.settle()
        assert not waits.done()
        await agent.finish((0, 0))
        assert waits.done()
        await agent.app.works.ended([1], 0.01)
        await agent.app.works.ended([0, 5], 10.0)
        assert agent.acknowledged == [(0, 0)]


async def test_an_acknowledgement_that_fails_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[BaseException] = []
    monkeypatch.setattr(runner, "fatal", ends.append)
    agent = Agent()
    with agent.running():
        await agent.hand((0, 0))
        agent.acknowledged = None  # type: ignore[assignment]
        await agent.finish((0, 0))
    assert [type(each) for each in ends] == [AttributeError]


async def test_no_more_than_some_partitions_are_in_work_at_once() -> None:
    agent = Agent()
    with agent.running():
        await agent.hand(*((partition, 0) for partition in range(20)))
        assert len(agent.begun) == 8
        await agent.finish(*((partition, 0) for partition in range(20)))
        assert len(agent.acknowledged) == 20
