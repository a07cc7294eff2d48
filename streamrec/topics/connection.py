"""A kafka-python admin client that fails early, in one line, and leaves nothing behind."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Final

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from streamrec.access import client_options
from streamrec.config import KafkaSettings
from streamrec.errors import BrokerError
from streamrec.topics.first_contact import SET_BOOTSTRAP, require_broker

__all__ = ["REQUEST_TIMEOUT_S", "connect"]

REQUEST_TIMEOUT_S: Final = 20.0
_CONNECT_TIMEOUT_S: Final = 8.0


@contextlib.contextmanager
def connect(
    kafka: KafkaSettings, timeout_s: float = _CONNECT_TIMEOUT_S, request_timeout_s: float = REQUEST_TIMEOUT_S
) -> Iterator[Any]:
    """A kafka-python admin client, closed at the end.

    Raises BrokerError if no broker answers within `timeout_s` in the way that the settings say,
    AccessError if it does not accept the user; BrokerError for every Kafka error inside the block,
    such as a request without an answer for `request_timeout_s`.
    """
    clients: list[Any] = []

    def client(**config: Any) -> Any:
        clients.append(KafkaNetClient(**config))
        return clients[-1]

    with _quiet_kafka():
        require_broker(kafka, timeout_s)
        try:
            with KafkaAdminClient(
                **client_options(kafka),
                bootstrap_timeout_ms=int(timeout_s * 1000),
                request_timeout_ms=int(request_timeout_s * 1000),
                kafka_client=client,
            ) as admin:
                yield admin
        except KafkaError as error:
            raise BrokerError(
                f"Kafka at {kafka.bootstrap} did not answer as it should: {error}; {SET_BOOTSTRAP}"
            ) from error
        finally:
            # A client whose first contact failed would leave its thread and sockets behind.
            for each in clients:
                each.close()
                each._manager._net.stop()


@contextlib.contextmanager
def _quiet_kafka() -> Iterator[None]:
    # kafka-python logs, in several lines, what is raised anyway.
    logger = logging.getLogger("kafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
