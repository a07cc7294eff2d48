"""History as live traffic: clicks published to `interactions` at a multiple of their speed.

In: clicks with their times, and how many times faster than they came they are to come again.
Out: Interactions on the topic, and where each one went. Event times are shifted to now and
divided by the speed-up; session ids stay, and each session is a visitor, as these files know
no other.

Half-lives shrink with time: `at_speed` gives the settings that state and scoring need.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.config import Settings
from streamrec.datasets import Clicks
from streamrec.events import Interaction
from streamrec.publishing import Sent, publisher

__all__ = ["MIN_TICK_MS", "ReplayReport", "at_speed", "event_times", "interactions", "replay"]

MIN_TICK_MS: Final = 5
"""The shortest tick of `at_speed`; clicks of one tick are ranked together, so shorter ones cost more."""


class ReplayReport(NamedTuple):
    """What a replay came to."""

    clicks: int
    seconds: float
    """From the first click to the last acknowledgement."""
    behind_s: float
    """The furthest that a click was behind its time; more than some milliseconds: a busy machine."""


def at_speed(settings: Settings, speed_up: float) -> Settings:
    """Settings for traffic that is `speed_up` times as fast as life.

    The half-life of popularity and the ticks are divided by it; ticks stay MIN_TICK_MS or longer.
    What only bounds memory, such as the visitors' time to live, stays as it is.
    """
    half_life_s = settings.state.popularity_half_life_s / speed_up
    tick_ms = settings.scoring.tick_ms
    return settings.model_copy(
        update={
            "state": settings.state.model_copy(update={"popularity_half_life_s": half_life_s}),
            "scoring": settings.scoring.model_copy(
                update={"tick_ms": min(tick_ms, max(MIN_TICK_MS, round(tick_ms / speed_up)))}
            ),
        }
    )


def event_times(clicks: Clicks, speed_up: float, start_ms: int) -> NDArray[np.int64]:
    """Event time of each click in a replay that begins at `start_ms`, ms, shape (n_clicks,)."""
    return start_ms + np.floor((clicks.time_ms - clicks.first_ms) / speed_up).astype(np.int64)


def interactions(clicks: Clicks, times_ms: NDArray[np.int64], run: int) -> Iterator[Interaction]:
    """The clicks as Interactions, with event times `times_ms`.

    Event ids are made of the session, the place in it and `run`: another run is other events.
    """
    places: Counter[str] = Counter()
    for session_id, item_id, time_ms in zip(
        clicks.session_ids, clicks.item_ids, times_ms.tolist(), strict=True
    ):
        places[session_id] += 1
        yield Interaction(
            event_id=f"{session_id}-{places[session_id]}-{run}",
            type="click",
            visitor_id=session_id,
            session_id=session_id,
            item_id=item_id,
            time=time_ms,
        )


async def replay(
    settings: Settings, clicks: Clicks, *, speed_up: float, on_sent: Callable[[Sent], None]
) -> ReplayReport:
    """Publish all clicks, each when its time has come.

    on_sent: called with each click once Kafka has acknowledged it, in the order of its partition.
    Raises BrokerError or TopicError if one cannot be published.
    """
    async with publisher(settings, "replay") as publishing:
        start_ms, start_s = time.time_ns() // 1_000_000, time.monotonic()
        due_s = start_s + (clicks.time_ms - clicks.first_ms) / (1000 * speed_up)
        events = interactions(clicks, event_times(clicks, speed_up, start_ms), start_ms)
        await publishing.publish(events, due_s.tolist(), on_sent)
        return ReplayReport(len(clicks), time.monotonic() - start_s, publishing.behind_s)
