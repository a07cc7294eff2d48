"""Questions in threads of their own, so that no answer is waited for too long."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import TypeVar

from kafka.errors import KafkaError

from streamrec.doctor.facts import Unknown
from streamrec.errors import StreamrecError

__all__ = ["answer", "answers", "ask", "known"]

K = TypeVar("K")
T = TypeVar("T")


def ask(question: Callable[[], T]) -> Future[T]:
    """Ask in the background. A question without end does not keep the process alive."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(question())
        except BaseException as error:  # it is for who asks: `answer` raises it again
            future.set_exception(error)

    threading.Thread(target=run, name="question", daemon=True).start()
    return future


def answer(asked: Future[T], timeout_s: float) -> T | Unknown:
    """The answer, or why there is none within `timeout_s`."""
    return answers({None: asked}, timeout_s)[None]


def answers(asked: Mapping[K, Future[T]], timeout_s: float) -> dict[K, T | Unknown]:
    """The answer to each question, or why there is none; all are waited for together."""
    wait(asked.values(), timeout_s)
    found: dict[K, T | Unknown] = {}
    for key, future in asked.items():
        found[key] = known(future.result) if future.done() else Unknown(f"no answer within {timeout_s:g} s")
    return found


def known(question: Callable[[], T]) -> T | Unknown:
    """The answer, or the fault of Kafka, disk or streamrec that kept it from us."""
    try:
        return question()
    except (KafkaError, StreamrecError, OSError) as error:
        return Unknown(str(error) or type(error).__name__)
