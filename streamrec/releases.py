"""Announcing a model version on the models topic.

The live release stands under `<model>/live`; the one before it moves to
`<model>/previous`. Sequence numbers only rise: going back is a new release of an old version.
"""

import logging
import time
from functools import partial
from typing import Any, Final

from kafka import KafkaProducer

from streamrec.access import client_options
from streamrec.config import Settings
from streamrec.errors import RecordError
from streamrec.events import ModelRelease, decode_release, encode
from streamrec.registry import Registry
from streamrec.topics import answering, read_topic

__all__ = ["announce", "released"]

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 10.0


def released(settings: Settings) -> dict[str, ModelRelease]:
    """The newest release in every slot, by key (`gru4rec/live`).

    Raises BrokerError or TopicError if the models topic cannot be read.
    """
    found: dict[str, ModelRelease] = {}
    read_topic(settings, "models", partial(_take, found))
    return found


def _take(found: dict[str, ModelRelease], records: list[Any]) -> None:
    for record in records:
        name = (record.key or b"").decode(errors="replace")
        if "/verdict:" in name:
            continue
        if record.value is None:
            found.pop(name, None)
            continue
        try:
            found[name] = decode_release(record.value)
        except RecordError as error:
            log.warning("the models topic has a record under %.256r that is no release: %s", name, error)


def announce(settings: Settings, model: str, version: str) -> ModelRelease:
    """Make a published version the live one; workers load it at once.

    Raises RegistryError if the version does not exist, ArtifactError if it is damaged or not signed,
    BrokerError or TopicError if it cannot be announced.
    """
    digest = Registry.of(settings.registry).digest(model, version)
    slots = released(settings)
    live = slots.get(f"{model}/live")
    release = ModelRelease(
        model=model,
        slot="live",
        version=version,
        sequence=1 + max((each.sequence for each in slots.values() if each.model == model), default=0),
        digest=digest,
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
    topic = settings.kafka.topic("models")
    with answering(settings, "WRITE", topic):
        producer = KafkaProducer(**client_options(settings.kafka), acks="all")
        try:
            sent = [producer.send(topic, key=each.key, value=encode(each)) for each in records]
            for future in sent:
                future.get(timeout=_TIMEOUT_S)
        finally:
            producer.close(timeout=_TIMEOUT_S)
    return release
