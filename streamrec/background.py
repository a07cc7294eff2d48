"""Work that can wait, in a thread that all others go before.

Loading a model version takes some hundred milliseconds of CPU: at an equal share of a busy machine, lists
would be late by that each time.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

__all__ = ["in_background"]

Result = TypeVar("Result")

_NICENESS: Final = 10
"""A tenth of the share of others. With less, a thread that waits for the CPU while it holds Python's lock
keeps the event loop waiting for hundreds of milliseconds (docs/decisions/021-swaps.md)."""


def _go_last() -> None:
    # Elsewhere niceness is the whole process's.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        before = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(before + _NICENESS, 19))


# One thread: loads one after another, and out of one arena of the heap.
_thread: Final = ThreadPoolExecutor(1, "background", _go_last)


async def in_background(work: Callable[[], Result]) -> Result:
    """What blocking `work` gives, or raises. Threads that it starts for good are slow for good, too."""
    return await asyncio.get_running_loop().run_in_executor(_thread, work)
