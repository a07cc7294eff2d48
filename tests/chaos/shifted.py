"""A worker whose clock is off: `python shifted.py ROLE clock SECONDS`.

Set before anything is imported that keeps a function of `time` for itself.
"""

import sys
import time


def shift(ahead_s: int) -> None:
    """From now on this process believes that it is `ahead_s` later, or earlier if below 0."""
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + ahead_s
    time.time_ns = lambda: now_ns() + ahead_s * 1_000_000_000


if __name__ == "__main__":
    shift(int(sys.argv[3]))

    from streamrec.cli import main

    main([sys.argv[1]])
