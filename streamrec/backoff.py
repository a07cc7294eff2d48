"""A producer of aiokafka's that takes its time with a broker that is away.

aiokafka asks for the leader of a partition again as soon as it could not find it: while a broker refuses
connections, some thousand times a second, each with two lines in the log.
"""

import asyncio
from typing import Any, Final, TypeVar

__all__ = ["with_backoff"]

_BACKOFF_S: Final = 0.1
"""Between two attempts; as aiokafka's own `retry_backoff_ms`."""

Producer = TypeVar("Producer")


def with_backoff(producer: Producer) -> Producer:
    """The same producer, whose failed looks for brokers take a while."""
    client: Any = producer.client  # type: ignore[attr-defined]
    update = client._metadata_update

    async def update_or_wait(*arguments: Any) -> bool:
        updated: bool = await update(*arguments)
        if not updated:
            await asyncio.sleep(_BACKOFF_S)
        return updated

    client._metadata_update = update_or_wait
    return producer
