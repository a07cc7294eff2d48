"""How long-running verbs are stopped: SIGTERM and a closed terminal count as Ctrl-C."""

import signal
from types import FrameType

__all__ = ["interrupt_when_terminated"]


def interrupt_when_terminated() -> None:
    """Have SIGTERM and SIGHUP do what Ctrl-C does, so that everything is stopped in order."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(_signal: int, frame: FrameType | None) -> None:
    # An event loop has its own way with Ctrl-C. A shell's background job ignores it: not so this.
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)
    else:
        raise KeyboardInterrupt
