"""A kafka-python admin client that fails early, in one line, and leaves nothing behind."""

import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any, Final

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from streamrec.errors import BrokerError

__all__ = ["REQUEST_TIMEOUT_S", "connect"]

REQUEST_TIMEOUT_S: Final = 20.0
_CONNECT_TIMEOUT_S: Final = 8.0
_SET_BOOTSTRAP: Final = "set STREAMREC_KAFKA__BOOTSTRAP=host:port, or start one with `streamrec broker`"


@contextlib.contextmanager
def connect(
    bootstrap: str, timeout_s: float = _CONNECT_TIMEOUT_S, request_timeout_s: float = REQUEST_TIMEOUT_S
) -> Iterator[Any]:
    """A kafka-python admin client, closed at the end.

    bootstrap: comma-separated host:port. Raises BrokerError if nothing answers there
    within `timeout_s`, and for every Kafka error inside the block, such as a request
    without an answer for `request_timeout_s`.
    """
    _require_listener(bootstrap, timeout_s)
    clients: list[Any] = []

    def client(**config: Any) -> Any:
        clients.append(KafkaNetClient(**config))
        return clients[-1]

    with _quiet_kafka():
        try:
            with KafkaAdminClient(
                bootstrap_servers=bootstrap.split(","),
                bootstrap_timeout_ms=int(timeout_s * 1000),
                request_timeout_ms=int(request_timeout_s * 1000),
                kafka_client=client,
            ) as admin:
                yield admin
        except KafkaError as error:
            raise BrokerError(
                f"Kafka at {bootstrap} did not answer as it should: {error}; {_SET_BOOTSTRAP}"
            ) from error
        finally:
            # A client whose first contact failed would leave its thread and sockets behind.
            for each in clients:
                each.close()
                each._manager._net.stop()


def _require_listener(bootstrap: str, timeout_s: float) -> None:
    # kafka-python does not tell a name that does not exist from a broker that is slow.
    faults = []
    addresses = [address.strip() for address in bootstrap.split(",")]
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout_s / len(addresses)):
                return
        except (ValueError, OverflowError):
            faults.append(f"{address} (not host:port)")
        except OSError as error:
            faults.append(f"{address} ({error.strerror or error})")
    raise BrokerError(f"no Kafka broker at {', '.join(faults)}; {_SET_BOOTSTRAP}")


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
