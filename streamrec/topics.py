"""The topics: how each is cut and kept; made, checked and described through the admin API."""

import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from streamrec.errors import BrokerError

__all__ = ["connect"]

_CONNECT_TIMEOUT_S = 8.0
_SET = "set STREAMREC_KAFKA__BOOTSTRAP=host:port, or start one with `streamrec broker`"


@contextlib.contextmanager
def connect(bootstrap: str, timeout_s: float = _CONNECT_TIMEOUT_S) -> Iterator[Any]:
    """A kafka-python admin client, closed at the end.

    bootstrap: comma-separated host:port. Raises BrokerError, also for whatever Kafka
    answers inside the block, if nothing answers there within `timeout_s`.
    """
    _require_listener(bootstrap, timeout_s)
    clients: list[Any] = []

    def client(**config: Any) -> Any:
        clients.append(KafkaNetClient(**config))
        return clients[0]

    with _quiet_kafka():
        try:
            with KafkaAdminClient(
                bootstrap_servers=bootstrap.split(","),
                bootstrap_timeout_ms=int(timeout_s * 1000),
                kafka_client=client,
            ) as admin:
                yield admin
        except (KafkaError, OSError) as error:
            raise BrokerError(
                f"Kafka at {bootstrap} does not answer as it should: {error!r}; {_SET}"
            ) from error
        finally:
            # A client whose first contact failed leaves its thread and sockets behind.
            for each in clients:
                each.close()
                each._manager._net.stop()


def _require_listener(bootstrap: str, timeout_s: float) -> None:
    """At least one of the addresses takes connections; kafka-python would only time out."""
    faults = []
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout_s):
                return
        except ValueError:
            faults.append(f"{address!r} is not host:port")
        except OSError as error:
            faults.append(f"{address}: {error.strerror or error}")
    raise BrokerError(f"no Kafka broker at {'; '.join(faults)}; {_SET}")


@contextlib.contextmanager
def _quiet_kafka() -> Iterator[None]:
    """kafka-python logs what we raise, in several lines; keep its log to itself meanwhile."""
    logger = logging.getLogger("kafka")
    level, logger.level = logger.level, logging.CRITICAL + 1
    try:
        yield
    finally:
        logger.level = level
