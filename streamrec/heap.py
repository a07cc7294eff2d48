"""Memory given back to the system once a model version has been loaded and another let go.

glibc keeps an arena of freed memory for nearly every thread. Loading a version takes several times its size
for a moment, in whichever thread comes first, so that arena after arena grows to that size and keeps it.
"""

import ctypes
import sys
from collections.abc import Callable
from typing import Final

__all__ = ["give_back_memory"]


def _trim() -> Callable[[int], object] | None:
    # Other C libraries have no such function and give memory back by themselves.
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


_malloc_trim: Final = _trim()


def give_back_memory() -> None:
    """Hand what is free in the heap back. Blocking, some ten milliseconds; other threads go on."""
    if _malloc_trim is not None:
        _malloc_trim(0)
