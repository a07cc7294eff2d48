"""Announcing a model version on the models topic.

The live release stands under `<model>/live`; the one before it moves to
`<model>/previous`. Sequence numbers only rise: going back is a new release of an old version.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from streamrec.artifact import MANIFEST
from streamrec.config import Settings
from streamrec.errors import BrokerError
from streamrec.events import ModelRelease, decode_release, encode
from streamrec.registry import Registry
from streamrec.topics import require_topics

__all__ = ["announce", "released"]

_TIMEOUT_S = 10.0


def released(settings: Settings) -> dict[str, ModelRelease]:
    """The newest release in every slot, by key (`gru4rec/live`).

    Raises BrokerError or TopicError if the models topic cannot be read.
    """
    require_topics(settings, ["models"])
    found: dict[str, ModelRelease] = {}
    topic = settings.kafka.topic("models")
    with _answering(settings):
        consumer = KafkaConsumer(
            bootstrap_servers=settings.kafka.bootstrap.split(","), group_id=None, enable_auto_commit=False
        )
        try:
            partition = TopicPartition(topic, 0)
            consumer.assign([partition])
            end = consumer.end_offsets([partition])[partition]
            consumer.seek_to_beginning(partition)
            while consumer.position(partition) < end:
                for records in consumer.poll(timeout_ms=500).values():
                    _take(found, records)
        finally:
            consumer.close()
    return found


def _take(found: dict[str, ModelRelease], records: list[Any]) -> None:
    for record in records:
        name = (record.key or b"").decode(errors="replace")
        if "/verdict:" in name:
            continue
        if record.value is None:
            found.pop(name, None)
        else:
            found[name] = decode_release(record.value)


def announce(settings: Settings, model: str, version: str) -> ModelRelease:
    """Make a published version the live one; workers load it at once.

    Raises RegistryError if the version does not exist, BrokerError or TopicError if it
    cannot be announced.
    """
    manifest = Registry(settings.registry.path).directory(model, version) / MANIFEST
    slots = released(settings)
    live = slots.get(f"{model}/live")
    release = ModelRelease(
        model=model,
        slot="live",
        version=version,
        sequence=1 + max((each.sequence for each in slots.values() if each.model == model), default=0),
        digest=hashlib.sha256(manifest.read_bytes()).hexdigest(),
        time=time.time_ns() // 1_000_000,
    )
    records = [release]
    if live is not None and live.version != version:
        records.append(
            ModelRelease(
                model=model,
                slot="previous",
                version=live.version,
                sequence=live.sequence,
                digest=live.digest,
                time=live.time,
            )
        )
    with _answering(settings):
        producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap.split(","), acks="all")
        try:
            sent = [
                producer.send(settings.kafka.topic("models"), key=each.key, value=encode(each))
                for each in records
            ]
            for future in sent:
                future.get(timeout=_TIMEOUT_S)
        finally:
            producer.close(timeout=_TIMEOUT_S)
    return release


@contextmanager
def _answering(settings: Settings) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise BrokerError(
            f"Kafka at {settings.kafka.bootstrap} does not answer as it should: {error!r}; "
            "set STREAMREC_KAFKA__BOOTSTRAP=host:port, or start one with `streamrec broker`"
        ) from error
