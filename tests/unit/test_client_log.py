"""What is left of the Kafka client's messages."""

import logging
import sys
from typing import Any

from streamrec.engine.client_log import ClientLog


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(message: str, *arguments: object, name: str = "aiokafka", **options: Any) -> logging.LogRecord:
    level = options.pop("level", logging.ERROR)
    return logging.LogRecord(name, level, "", 0, message, arguments, options.pop("exc_info", None))


def passed(client_log: ClientLog, *records: logging.LogRecord) -> list[tuple[str, str]]:
    return [(each.levelname, each.getMessage()) for each in records if client_log.filter(each)]


def test_a_broker_that_is_away_is_one_warning_with_what_was_left_out() -> None:
    clock = Clock()
    client_log = ClientLog(every_s=30, clock=clock)
    refused = ("Unable connect to node with id %s: %s", 1, "[Errno 111] Connect call failed")
    assert passed(
        client_log,
        record(*refused),
        record("Unable to update metadata from %s", [1]),
        record("Failed fetch messages from %s: %s", 1, "NodeNotReadyError", name="aiokafka.consumer.fetcher"),
    ) == [("WARNING", "Unable connect to node with id 1: [Errno 111] Connect call failed")]
    clock.now = 29.9
    assert passed(client_log, record(*refused)) == []
    clock.now = 30.0
    assert passed(client_log, record(*refused), record(*refused)) == [
        (
            "WARNING",
            "Unable connect to node with id 1: [Errno 111] Connect call failed "
            "(3 messages like it were left out before this one)",
        )
    ]


def test_another_fault_is_not_hidden_by_a_lost_connection() -> None:
    client_log = ClientLog()
    assert passed(
        client_log,
        record("Unable to update metadata from %s", [1]),
        record("Topic %s is not authorized for this client", "interactions"),
        record("Topic %s is not authorized for this client", "interactions"),
    ) == [
        ("WARNING", "Unable to update metadata from [1]"),
        ("WARNING", "Topic interactions is not authorized for this client"),
    ]


def test_what_the_client_did_not_expect_and_what_others_say_always_passes() -> None:
    client_log = ClientLog()
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        surprise = sys.exc_info()
    for _ in range(2):
        assert passed(client_log, record("Unexpected error", exc_info=surprise)) == [
            ("ERROR", "Unexpected error")
        ]
        assert passed(client_log, record("NodeNotReady", name="streamrec.shelf")) == [
            ("ERROR", "NodeNotReady")
        ]
