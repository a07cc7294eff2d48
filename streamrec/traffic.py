"""Real sessions as steady traffic: many visitors at a time, and when each of their clicks is due."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import Session

__all__ = ["VISITORS_AT_ONCE", "Arrivals", "Click", "due_times", "woven"]

VISITORS_AT_ONCE: Final = 1000

Click = tuple[str, str]
"""Session and item."""

Arrivals = Literal["even", "poisson"]


def woven(sessions: Sequence[Session], at_once: int = VISITORS_AT_ONCE) -> Iterator[Click]:
    """The clicks of the sessions, `at_once` of them at a time and each in turn; without end.

    One that is over makes room for the next; when all have been, they come again under other names.
    """
    names = (f"{n}" for n in range(1 << 62))
    waiting = ((next(names), iter(session.items)) for _ in range(1 << 62) for session in sessions)
    here = deque(islice(waiting, at_once))
    while here:
        name, items = here.popleft()
        item_id = next(items, None)
        if item_id is None:
            here.append(next(waiting))
            continue
        yield name, item_id
        here.append((name, items))


def due_times(per_s: float, seconds: float, arrivals: Arrivals = "even") -> NDArray[np.float64]:
    """When each click of so many seconds is due, s from the first one's on, in order, shape (n_clicks,).

    even: apart alike. poisson: as they come of many visitors who do not know of each other, equal in every
    call; as many, so that the rate is met whatever was drawn.
    """
    n_clicks = round(per_s * seconds)
    if arrivals == "even":
        return np.arange(n_clicks) / per_s
    # Given their number, the arrivals of a Poisson process are spread evenly at random.
    return np.sort(np.random.default_rng(0).uniform(0, seconds, n_clicks))
