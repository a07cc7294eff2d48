"""How long-running verbs are stopped: SIGTERM and a closed terminal count as Ctrl-C."""

import signal
from types import FrameType

__all__ = ["interrupt_when_terminated"]


def interrupt_when_terminated() -> None:
    """Have SIGTERM and SIGHUP do what Ctrl-C does, so that everything is stopped in order."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    # Raised anew rather than as an exception: an event loop has its own way with Ctrl-C.
    signal.raise_signal(signal.SIGINT)
