"""Work that gives way: where it runs, and what comes of it."""

import asyncio
import os
import sys
import threading

import pytest

from streamrec.background import in_background


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="niceness of a thread is Linux's own")
def test_others_go_first() -> None:
    before = priority()
    assert asyncio.run(in_background(priority)) == min(19, before + 10)
    assert priority() == before


def test_it_runs_beside_the_loop_in_one_thread() -> None:
    async def several() -> set[int]:
        return set(await asyncio.gather(*(in_background(threading.get_ident) for _ in range(3))))

    (thread,) = asyncio.run(several())
    assert thread != threading.get_ident()


def test_what_goes_wrong_is_raised() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(in_background(fail))
