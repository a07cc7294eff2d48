"""Which cores a measurement uses: the contender has the last one, everything else the others.

Contenders are bound by one interpreter. Moved about, or beside the broker on one core, they
pay for caches that others have filled, more or less of it in every round.
"""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["leave_a_core", "take_all_cores", "take_the_core"]


def leave_a_core() -> None:
    """Keep this process, and what it starts, off the last core, if there is another."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:-1] or cores)


def take_the_core() -> None:
    """Keep this process to the last core of the machine."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def take_all_cores(pid: int = 0) -> None:
    """Let a process, by default this one, run on every core, with all threads it has by now."""
    tasks = Path(f"/proc/{pid or os.getpid()}/task")
    for each in tasks.iterdir() if tasks.exists() else ():
        with suppress(ProcessLookupError):  # a thread may just have ended
            os.sched_setaffinity(int(each.name), range(os.cpu_count() or 1))
