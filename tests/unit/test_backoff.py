"""A producer whose broker is away asks for it now and then, not all the time."""

import asyncio
import socket

import pytest
from aiokafka import AIOKafkaProducer

from streamrec.backoff import with_backoff


async def looks_in_half_a_second(producer: AIOKafkaProducer) -> int:
    loop, n = asyncio.get_running_loop(), 0
    end = loop.time() + 0.5
    while loop.time() < end:
        n += 1
        await producer.client._metadata_update(producer.client.cluster, [])
        await asyncio.sleep(0)
    return n


@pytest.mark.parametrize(("known", "least", "most"), [(False, 2, 10), (True, 100, 1_000_000)])
async def test_looks_for_a_broker_that_fail_are_apart(
    monkeypatch: pytest.MonkeyPatch, known: bool, least: int, most: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        port = closed_soon.getsockname()[1]
    producer = AIOKafkaProducer(bootstrap_servers=f"127.0.0.1:{port}")
    if known:

        async def updated(*_: object) -> bool:
            return True

        monkeypatch.setattr(producer.client, "_metadata_update", updated)
    assert least <= await looks_in_half_a_second(with_backoff(producer)) <= most
    producer._closed = True  # it was never started
