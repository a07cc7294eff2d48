"""Records that an app should not send, and some that look as if it should not."""

import asyncio
import json
import random
import time
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, NamedTuple

import hypothesis
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTimestampError, MessageSizeTooLargeError
from hypothesis import strategies as st

from streamrec.advance import partition_of
from streamrec.config import Settings
from streamrec.topics.specs import INTERACTION_BATCH_BYTES

DAY_S = 86_400


class Junk(NamedTuple):
    """A record to send."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    """None: where the key belongs."""
    ahead_s: float = 0.0
    """The producer's clock against the real one."""


class Sent(NamedTuple):
    """What became of junk."""

    accepted: int
    refused: list[type[Exception]]
    """The broker's own refusals."""


def send(settings: Settings, junk: Iterable[Junk]) -> Sent:
    """Send records in order, one at a time, as any producer could."""

    kafka, largest = settings.kafka, 4 * INTERACTION_BATCH_BYTES

    async def send_all() -> Sent:
        producer = AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap, max_batch_size=largest, max_request_size=largest
        )
        await producer.start()
        accepted, refused = 0, []
        try:
            for each in junk:
                # As a batch: a single record without key and value is refused by the client.
                batch = producer.create_batch()
                batch.append(
                    key=each.key,
                    value=each.value,
                    timestamp=round((time.time() + each.ahead_s) * 1000),
                    headers=list(each.headers),
                )
                partition = each.partition
                if partition is None:
                    partition = 0 if each.key is None else partition_of(each.key, kafka.partitions)
                try:
                    topic = kafka.topic("interactions")
                    await (await producer.send_batch(batch, topic, partition=partition))
                    accepted += 1
                except (MessageSizeTooLargeError, InvalidTimestampError) as error:
                    refused.append(type(error))
        finally:
            await producer.stop()
        return Sent(accepted, refused)

    return asyncio.run(send_all())


def click(visitor_id: str, number: int, time_ms: int, **fields: Any) -> bytes:
    """The value of a click; fields add to it or replace what it has, None leaves one out."""
    event = {
        "event_id": f"junk-{number}",
        "type": "click",
        "visitor_id": visitor_id,
        "item_id": f"item-{number % 7}",
        "time": time_ms,
        **fields,
    }
    return json.dumps({name: value for name, value in event.items() if value is not None}).encode()


def by_hand(settings: Settings) -> Iterator[Junk]:
    """One of every kind that somebody thought of."""
    largest, now_ms = settings.state.max_event_bytes, round(time.time() * 1000)
    numbers = count()

    def value(visitor_id: str = "junk", **fields: Any) -> bytes:
        return click(visitor_id, next(numbers), now_ms, **fields)

    def made(visitor: str = "junk", **fields: Any) -> Junk:
        return Junk(visitor.encode(), value(**{"visitor_id": visitor, **fields}))

    def opened() -> bytes:
        return value().removesuffix(b"}")

    def padded(size: int) -> Junk:
        start = opened() + b',"no_field":"'
        return Junk(b"junk", start + b"x" * (size - len(start) - len(b'"}junk')) + b'"}')

    def raw(value: bytes | None) -> Junk:
        return Junk(b"junk", value)

    yield from map(raw, (None, b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b"\x00" * 100))
    yield Junk(None, value())
    yield Junk(None, None, partition=0)
    yield Junk(b"", value())
    yield Junk(b"somebody else", value())
    yield Junk(b"\xff", value())
    n = settings.kafka.partitions
    yield Junk(b"junk", value(), partition=(partition_of(b"junk", n) + 1) % n)
    stray = b"only ever in a wrong partition"
    yield Junk(stray, value(stray.decode()), partition=(partition_of(stray, n) + 1) % n)

    # Up to the worker's bound, beyond it, and up to the topic's bound and beyond.
    yield from map(padded, (largest - 1, largest, largest + 1))
    yield from map(padded, (INTERACTION_BATCH_BYTES - 1000, INTERACTION_BATCH_BYTES + 1000))
    yield made()._replace(headers=(("large", b"x" * largest),))
    yield made()._replace(headers=(("small", b"\xff"), ("small", b"")))
    yield made("v" * largest)

    deep = b"[" * 50_000 + b"]" * 50_000
    yield raw(deep[:largest])
    yield raw(opened() + b',"context":' + deep[40_000:60_000] + b"}")
    yield raw(b'{"a":' * 10_000 + b"1" + b"}" * 10_000)
    yield raw(opened() + b',"event_id":"second","event_id":"third"}')
    yield raw(opened() + b',"visitor_id":"another"}')
    yield raw(value().replace(b"%d" % now_ms, b"NaN"))
    yield raw(value().replace(b"%d" % now_ms, b"1e400"))

    for field in ("event_id", "type", "visitor_id", "item_id", "time"):
        yield made(**{field: None})
        for wrong in (0.5, True, [], {}, "", "x" * 257, -1, 2**63, 2**200):
            yield made(**{field: wrong})
    yield made(schema=2)
    yield made(type="unheard of")
    yield made(unknown_field={"a": [1]}, value=1e308, context={"a": None, "b": 2**63 - 1}, session_id="s")
    yield made(context={"a": {"b": 1}})
    yield made(context={str(n): n for n in range(33)})
    yield made("\u0000\u2028 visitor \U0001f6d2", item_id="\u0000")

    yield made(item_id="cursed")
    yield made("first click cursed", item_id="cursed")
    yield made(time=now_ms + 1000 * (settings.state.max_future_s - 1))
    yield made(time=now_ms + 1000 * (settings.state.max_future_s + 3600))
    yield made(time=now_ms - 1000 * (settings.state.visitor_ttl_s + 60))
    yield made(time=0)
    yield made(time=now_ms // 1000)
    yield made("clock ahead")._replace(ahead_s=DAY_S)
    yield made("clock behind")._replace(ahead_s=-DAY_S)

    for ahead_ms in (3000, 1000, 2000, -4000):
        yield made("reordered", time=now_ms + ahead_ms)
    again = made("again")
    yield from [again, again, again]
    for _ in range(settings.state.recent_events):
        yield made("again")
    yield again


def by_chance(seed: int, n: int) -> list[Junk]:
    """Bytes and near-interactions that hypothesis makes up."""
    found: list[Junk] = []
    text = st.text(max_size=20)
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=5,
    )
    visitors = st.sampled_from(["h0", "h1", "h2"])
    near = st.fixed_dictionaries(
        {
            "event_id": text,
            "type": st.sampled_from(["click", "view", "dislike"]) | text,
            "visitor_id": visitors,
        },
        optional={
            "item_id": text | anything,
            "time": st.just(round(time.time() * 1000)) | st.integers() | anything,
            "session_id": text | anything,
            "value": st.floats() | anything,
            "context": st.dictionaries(text, anything, max_size=3),
            "schema": st.integers(0, 2),
        },
    ).map(lambda event: json.dumps(event).encode())
    keys = st.none() | st.binary(max_size=20) | visitors.map(str.encode)

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=n, database=None, deadline=None, phases=[hypothesis.Phase.generate])
    @hypothesis.given(st.tuples(keys, st.none() | st.binary(max_size=200) | near))
    def collect(made: tuple[bytes | None, bytes | None]) -> None:
        found.append(Junk(*made))

    collect()
    return found


def junk(settings: Settings, seed: int, n_by_chance: int) -> list[Junk]:
    """All of it, in an order drawn with the seed, but for what has to stay together."""
    draw = random.Random(seed)
    made = [*by_hand(settings)]
    for each in by_chance(seed, n_by_chance):
        made.insert(draw.randrange(len(made) + 1), each)
    return made
