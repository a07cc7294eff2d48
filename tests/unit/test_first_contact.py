"""What is said of a peer that does not answer as Kafka does."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streamrec.config import KafkaSettings
from streamrec.errors import BrokerError
from streamrec.topics.first_contact import require_broker


@contextmanager
def _peer(answer: bytes) -> Iterator[str]:
    """A server that reads what comes, answers and closes; its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def _answer(body: bytes) -> bytes:
    return struct.pack(">ii", len(body) + 4, 0) + body


NO_SASL = _answer(struct.pack(">hi", 34, 0))


def test_a_broker_without_users_lets_in_who_has_none() -> None:
    with _peer(NO_SASL) as address:
        require_broker(KafkaSettings(bootstrap=address), 5)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"", "closed the connection"),
        (b"\0\0", "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not Kafka's"),
        (b"\x15\x03\x03\x00\x02\x02\x50", "not Kafka's"),
        (_answer(struct.pack(">hih", 0, 3, 5) + b"PLAIN"), "requires a buffer"),
        (_answer(b"\0\0\0\0"), "requires a buffer"),
    ],
)
def test_a_peer_that_is_none_of_kafkas_is_named_with_what_it_did(answer: bytes, what: str) -> None:
    with _peer(answer) as address, pytest.raises(BrokerError, match=rf"{address} \(.*{what}.*TLS"):
        require_broker(KafkaSettings(bootstrap=address), 5)


def test_one_broker_that_answers_is_enough() -> None:
    with socket.socket() as taken, _peer(NO_SASL) as address:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        away = f"127.0.0.1:{taken.getsockname()[1]}"
        require_broker(KafkaSettings(bootstrap=f"{away},{address}"), 5)
