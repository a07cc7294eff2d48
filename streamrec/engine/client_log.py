"""What Kafka's client has to say, in a few lines.

While a broker is away aiokafka retries a hundred times a second, and logs an ERROR each time.
"""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Hashable

__all__ = ["ClientLog"]

_OUT_OF_TOUCH = re.compile(
    r"Unable (to )?connect|Unable to update metadata|Connection at \S+ closed|NodeNotReady|RequestTimedOut"
    r"|NotLeaderForPartition|LeaderNotAvailable|Coordinator\w*NotAvailable|NotCoordinator"
    r"|coordinator dead|is either not started or not valid|Heartbeat send request failed"
)
"""Signs that a broker is away, starting, or not the one to ask any more: all of them pass by themselves."""


class ClientLog(logging.Filter):
    """Lets a message of aiokafka pass once in `every_s` seconds, as one WARNING, and counts the others.

    Whatever a lost connection leads to is one message. What comes with a traceback always passes,
    as it is: the client did not expect it either.
    """

    def __init__(self, every_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._next: dict[Hashable, float] = {}
        self._left_out: Counter[Hashable] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be logged. Called by logging."""
        if not record.name.startswith("aiokafka") or record.exc_info:
            return True
        message = record.getMessage()
        kind = "out of touch" if _OUT_OF_TOUCH.search(message) else (record.name, record.msg)
        now = self._clock()
        if now < self._next.get(kind, now):
            self._left_out[kind] += 1
            return False
        self._next[kind] = now + self._every_s
        left_out = self._left_out.pop(kind, 0)
        more = f" ({left_out} messages like it were left out before this one)" if left_out else ""
        record.msg, record.args = f"{message}{more}", None
        if record.levelno == logging.ERROR:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True
