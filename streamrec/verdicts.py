"""The gate's verdicts on the models topic, each under a key of its own: `gru4rec/verdict:VERSION`.

In: verdicts. Out: the newest of each version. Releases stand under other keys, and a verdict never
takes their place.
"""

import logging
from functools import partial
from typing import Any, Final

from kafka import KafkaProducer

from streamrec.access import client_options
from streamrec.config import Settings
from streamrec.errors import RecordError
from streamrec.events import Verdict, decode_verdict, encode
from streamrec.topics import answering, read_topic

__all__ = ["send_verdict", "verdicts"]

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 10.0


def verdicts(settings: Settings, model: str = "gru4rec") -> dict[str, Verdict]:
    """The newest verdict about each version that has one.

    Raises BrokerError or TopicError if the models topic cannot be read.
    """
    found: dict[str, Verdict] = {}
    read_topic(settings, "models", partial(_take, found, f"{model}/verdict:"))
    return found


def _take(found: dict[str, Verdict], prefix: str, records: list[Any]) -> None:
    for record in records:
        name = (record.key or b"").decode(errors="replace")
        if not name.startswith(prefix):
            continue
        version = name.removeprefix(prefix)
        # What comes last counts, readable or not.
        found.pop(version, None)
        if record.value is None:
            continue
        try:
            verdict = decode_verdict(record.value)
        except RecordError as error:
            log.warning("the models topic has a record under %.256r that is no verdict: %s", name, error)
            continue
        if verdict.key == record.key:
            found[version] = verdict


def send_verdict(settings: Settings, verdict: Verdict) -> None:
    """Send a verdict to the models topic; it is there for good when this returns.

    Raises BrokerError, AccessError or TopicError.
    """
    topic = settings.kafka.topic("models")
    with answering(settings, "WRITE", topic):
        producer = KafkaProducer(**client_options(settings.kafka), acks="all")
        try:
            producer.send(topic, key=verdict.key, value=encode(verdict)).get(timeout=_TIMEOUT_S)
        finally:
            producer.close(timeout=_TIMEOUT_S)
