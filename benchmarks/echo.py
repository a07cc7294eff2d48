"""One hop of an echo: `python -m benchmarks.echo SOURCE TARGET`, topics without prefix.

As a careful user of aiokafka would write it: whatever a poll brings is sent on at once, what was sent is
acknowledged by all copies before the next poll, and only what is acknowledged is committed.
"""

import asyncio
import sys
import time
from typing import Final, NoReturn

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streamrec.access import client_options
from streamrec.config import KafkaSettings, load_settings

_COMMIT_S: Final = 1.0


async def echo(kafka: KafkaSettings, source: str, target: str) -> NoReturn:
    """Send every record of one topic to another, until killed."""
    consumer = AIOKafkaConsumer(
        kafka.topic(source),
        **client_options(kafka),
        group_id=kafka.topic(f"echo-{source}"),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(**client_options(kafka), acks="all", enable_idempotence=True, linger_ms=0)
    await consumer.start()
    await producer.start()
    to, committed_s = kafka.topic(target), time.monotonic()
    while True:
        fetched = await consumer.getmany(timeout_ms=1000)
        sent = [
            await producer.send(to, record.value, record.key)
            for records in fetched.values()
            for record in records
        ]
        await asyncio.gather(*sent)
        if time.monotonic() - committed_s > _COMMIT_S:
            await consumer.commit()
            committed_s = time.monotonic()


if __name__ == "__main__":
    asyncio.run(echo(load_settings().kafka, *sys.argv[1:]))
