"""The phases of a run: find the load, a minute without swaps, a minute with them, and many for memory."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from benchmarks.swaps.traffic import Traffic, paced, same_visitors
from benchmarks.swaps.workers import look, wait_for
from streamrec.config import Settings
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.errors import WorkerError
from streamrec.releases import announce
from streamrec.standalone import ROLES, Apps
from streamrec.traffic import Click, woven

__all__ = ["Minutes", "Phase", "System", "minutes", "swaps_for_memory", "system"]

SHARES: Final = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1)
"""Of the limit; the first at which nothing is put off is the load of both minutes."""
_BURST_CLICKS: Final = 10_000
_TRIAL_S: Final = 8.0
MOST_LAG_S: Final = 0.5
"""Of traffic, that may wait in the end: what is on its way, and no more."""
_LESS: Final = 0.7
"""Of the load, where clicks pile up within the minute without swaps."""
_MEMORY_PER_S: Final = 50.0
_MEMORY_VISITORS: Final = 300
_SETTLE_S: Final = 0.3
"""From a swap to the look at memory: what loading took has been given back by then."""
_SWAP_TIMEOUT_S: Final = 60.0


@dataclass
class System:
    """Apps that run, and what visitors do next."""

    settings: Settings
    apps: Apps
    clicks: Iterator[Click]
    say: Callable[[str], None]
    sequence: int
    """Number of the newest release."""

    def release(self, version: str) -> int:
        """Make a version live; returns the release's number."""
        self.sequence = announce(self.settings, "gru4rec", version).sequence
        return self.sequence

    def wait_until_live(self, version: str) -> None:
        """Wait until both apps serve a version. Raises WorkerError."""
        wait_for(
            self.apps,
            lambda seen: all(each.live == version for each in seen.values()),
            f"{version} live",
            _SWAP_TIMEOUT_S,
        )

    def wait_until_answered(self, lists: int) -> None:
        """Wait until there are so many lists in all. Raises WorkerError."""
        wait_for(self.apps, lambda seen: seen["scoring"].lists >= lists, f"{lists} lists", 120)


@dataclass
class Phase:
    """A stretch of traffic."""

    start_ms: int
    end_ms: int
    clicks: int
    behind_s: float
    lag_s: float
    """How many seconds of traffic wait in both apps at its end."""
    cpu_s: dict[str, float]
    """CPU seconds of each app."""


@dataclass
class Minutes:
    """What came of both minutes."""

    limit_per_s: float
    share: float
    without: Phase
    with_swaps: Phase
    sequences: dict[str, int]
    """Of the releases, by version; the one before the first swap too."""
    swapped: dict[str, int]
    announced_ms: dict[str, int]
    """When each release was begun to be announced, by version; the swaps alone."""


@contextmanager
def system(settings: Settings, folder: Path, first: str, say: Callable[[str], None]) -> Iterator[System]:
    """Both apps as processes, ready, with a version that is live. Raises WorkerError."""
    sequence = announce(settings, "gru4rec", first).sequence
    sessions = list(click_sessions(bundled_clicks()))
    with Apps(settings, folder) as apps:
        apps.wait_until_ready()
        made = System(settings, apps, woven(sessions), say, sequence)
        made.wait_until_live(first)
        yield made


def minutes(
    made: System, versions: Sequence[str], seconds: float, every_s: float, per_s: float | None
) -> Minutes:
    """Both minutes, at so many clicks a second, or at a load that this finds."""
    limit = per_s or _limit(made)
    share = 1.0 if per_s else _share(made, limit)
    while True:
        made.say(f"{limit:.0f} clicks a second are the limit; {share:.0%} of it, {seconds:g} s without swaps")
        without = _phase(made, share * limit, seconds, lambda *_: None)
        if without.lag_s <= MOST_LAG_S or per_s or share < SHARES[-1]:
            break
        # What goes well for some seconds may not for a minute.
        share *= _LESS
    made.say(f"{seconds:g} s with a swap every {every_s:g} s")
    first, *others = versions
    sequences = {first: made.sequence}
    announced_ms: dict[str, int] = {}

    def swap(traffic: Traffic, started: float) -> None:
        # Nobody looks at the apps meanwhile: each look would cost them time.
        for n, version in enumerate(others):
            if (ahead := started + n * every_s - time.monotonic()) > 0:
                time.sleep(ahead)
            announced_ms[version] = time.time_ns() // 1_000_000
            sequences[version] = made.release(version)

    before = look(made.apps)
    with_swaps = _phase(made, share * limit, seconds, swap)
    # A swap that was announced before the one before had come is left out, and will be missed.
    made.wait_until_live(others[-1])
    after = look(made.apps)
    swapped = {role: after[role].swapped - before[role].swapped for role in ROLES}
    return Minutes(limit, share, without, with_swaps, sequences, swapped, announced_ms)


def _limit(made: System) -> float:
    """Clicks a second that both apps can do, from a heap of them."""
    made.say(f"how long {_BURST_CLICKS} clicks take")
    with _traffic(made, 1e6, _BURST_CLICKS / 1e6) as traffic:
        traffic.join()
    start, before = time.monotonic(), look(made.apps)["scoring"].lists
    made.wait_until_answered(_BURST_CLICKS)
    return (_BURST_CLICKS - before) / (time.monotonic() - start)


def _share(made: System, limit: float) -> float:
    """The first share of the limit at which clicks do not pile up."""
    for share in SHARES:
        lag_s = _phase(made, share * limit, _TRIAL_S, lambda *_: None).lag_s
        made.say(f"{share:.0%} of {limit:.0f} clicks a second: {lag_s:g} s of traffic wait in the end")
        if lag_s <= MOST_LAG_S:
            return share
    raise WorkerError(
        f"even at {SHARES[-1]:.0%} of {limit:.0f} clicks a second records pile up; is the machine busy?"
    )


def _phase(made: System, per_s: float, seconds: float, meanwhile: Callable[[Traffic, float], None]) -> Phase:
    before = look(made.apps)
    start_ms = time.time_ns() // 1_000_000
    with _traffic(made, per_s, seconds) as traffic:
        meanwhile(traffic, time.monotonic())
        traffic.join()
    end_ms = time.time_ns() // 1_000_000 + 1
    after = look(made.apps)
    sent = len(traffic.sent)
    behind = max(0, before["scoring"].lists + sent - after["scoring"].lists)
    made.wait_until_answered(before["scoring"].lists + sent)
    cpu_s = {role: round(after[role].cpu_s - before[role].cpu_s, 2) for role in ROLES}
    return Phase(start_ms, end_ms, sent, round(traffic.behind_s, 3), round(behind / per_s, 3), cpu_s)


def _traffic(made: System, per_s: float, seconds: float) -> Traffic:
    return Traffic(made.settings, paced(made.clicks, per_s, seconds))


def swaps_for_memory(
    made: System, versions: Sequence[str], n: int, on_swap: Callable[[], Any]
) -> dict[str, list[float]]:
    """Resident memory of each app, MiB, after each of n swaps, the versions in turn."""
    sessions = list(islice(click_sessions(bundled_clicks()), _MEMORY_VISITORS))
    clicks = paced(same_visitors(sessions, _MEMORY_VISITORS), _MEMORY_PER_S, 5.0 * n)
    rss_mib: dict[str, list[float]] = {role: [] for role in ROLES}
    with Traffic(made.settings, clicks):
        for version in islice(cycle(versions), n):
            made.release(version)
            made.wait_until_live(version)
            time.sleep(_SETTLE_S)
            for role, seen in look(made.apps).items():
                rss_mib[role].append(seen.rss_mib)
            on_swap()
    return rss_mib


def swaps_in(seconds: float, every_s: float) -> int:
    """How many swaps a minute has room for; the last one has some time to be seen."""
    return math.ceil(seconds / every_s)
