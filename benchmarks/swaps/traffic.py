"""Traffic of swap tests: steady clicks, published beside what goes on."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Self

import numpy as np

from streamrec.config import Settings
from streamrec.contracts import Session
from streamrec.datasets import Clicks
from streamrec.publishing import Sent
from streamrec.replay import replay
from streamrec.traffic import Click

__all__ = ["Traffic", "paced", "same_visitors"]


def same_visitors(sessions: Sequence[Session], n: int) -> Iterator[Click]:
    """Clicks of the same n visitors in turn, without end: nothing new for the state to keep."""
    ids = [(f"again-{number}", session.items) for number, session in enumerate(sessions[:n])]
    for turn in range(1 << 62):
        for name, items in ids:
            yield name, items[turn % len(items)]


def paced(clicks: Iterator[Click], per_s: float, seconds: float) -> Clicks:
    """The next clicks, so many a second and apart alike."""
    found = list(islice(clicks, round(per_s * seconds)))
    times_ms = (np.arange(len(found)) * (1000 / per_s)).astype(np.int64)
    return Clicks([name for name, _ in found], [item_id for _, item_id in found], times_ms)


class Traffic:
    """Publishes clicks in a thread of its own, open loop, to their end or until left; a context manager.

    sent: the clicks that Kafka has acknowledged. behind_s: the furthest that one was behind its time.
    """

    def __init__(self, settings: Settings, clicks: Clicks) -> None:
        self.sent: list[Sent] = []
        self.behind_s = 0.0
        self._settings = settings
        self._clicks = clicks
        self._error: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(
            replay(self._settings, self._clicks, speed_up=1, on_sent=self.sent.append)
        )
        try:
            with suppress(asyncio.CancelledError):
                self.behind_s = self._loop.run_until_complete(self._task).behind_s
        except BaseException as error:  # told to the thread that waits
            self._error = error
        finally:
            self._loop.close()

    def join(self) -> None:
        """Wait until all clicks are published. Raises what went wrong."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    @property
    def running(self) -> bool:
        """Whether there is more to come."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            with suppress(RuntimeError):  # the loop may just have closed
                self._loop.call_soon_threadsafe(lambda: self._task.cancel())
        if error is None:
            self.join()
