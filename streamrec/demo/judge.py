"""Live lists against what visitors clicked next. Pure: no clock, no Kafka.

Click n+1 of a session is judged against the list made for its click n, paired by the place of
click n in the log. An item that the model never saw counts as a miss like any other.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.datasets import Clicks, sessions
from streamrec.evaluation.lists import BLEND, proposals
from streamrec.events import Recommendation
from streamrec.publishing import Sent

__all__ = ["Figures", "Judge", "ReleaseFigures"]

_UNKNOWN: Final = -1


class ReleaseFigures(msgspec.Struct, frozen=True):
    """What one version of the session model came to."""

    lists: int
    judged_pairs: int
    hit_rates: Mapping[str, float]
    """As in Figures, of its own lists."""


class Figures(NamedTuple):
    """What became of the clicks so far. Rates and shares are NaN or empty without a list."""

    clicks: int
    """Clicks that Kafka has acknowledged."""
    recommendations: int
    """Lists that came, doubled ones included."""
    lost: int
    """Clicks without a list."""
    doubled: int
    """Lists beyond the first for a click, or with the id of another one."""
    unasked: int
    """Lists for what is none of the clicks."""
    judged_pairs: int
    """Clicks whose list could be held against the session's next click."""
    hit_rates: Mapping[str, float]
    """Share of those whose next click was in the list, by source and for the blend."""
    releases: Mapping[str, ReleaseFigures]
    """By version, in the order in which they made their first list."""
    positions_share: Mapping[str, float]
    """Share of the positions that each source was named first for."""
    too_late: int
    """Lists emitted after the next click of the session had been published."""
    too_late_at_original_speed: int
    """The same, had the clicks come at the pace of life and the lists as quickly as they did."""
    freshness_p50_s: float
    freshness_p99_s: float
    """From Kafka's timestamp of a click to that of its list."""


class Judge:
    """Collects what was sent and what came back.

    clicks: those replayed. k: how many places of a list count.
    """

    def __init__(self, clicks: Clicks, k: int) -> None:
        self.clicks = clicks
        self.k = k
        self._next = np.full(len(clicks), _UNKNOWN, np.int64)
        self._second: set[int] = set()
        for places in sessions(clicks).values():
            self._next[places[:-1]] = places[1:]
            self._second.update(places[1:2])
        self._sent_ms = np.full(len(clicks), _UNKNOWN, np.int64)
        self._listed_ms = np.full(len(clicks), _UNKNOWN, np.int64)
        self._place_at: dict[tuple[int, int], int] = {}
        # Lists may be read before the acknowledgement of their click is.
        self._early: dict[tuple[int, int], list[tuple[Recommendation, int]]] = {}
        self._rec_ids: set[str] = set()
        self._hits: dict[str, Counter[str]] = {}
        self._lists: Counter[str] = Counter()
        self._pairs: Counter[str] = Counter()
        self.releases: list[str | None] = [None] * len(clicks)
        """The version that each click's list names; None without a list."""
        self.sessions = 0
        """Sessions of which two clicks have been acknowledged: a window that the gate can judge by."""
        self._sources: set[str] = {BLEND}
        self._positions: Counter[str] = Counter()
        self.judged = 0
        self.doubled = 0
        self.listed = 0
        """Clicks that have a list."""

    def on_sent(self, sent: Sent) -> None:
        """Take a click that Kafka has acknowledged."""
        at = (sent.partition, sent.offset)
        self._place_at[at] = sent.place
        self._sent_ms[sent.place] = sent.time_ms
        self.sessions += sent.place in self._second
        for recommendation, emitted_ms in self._early.pop(at, ()):
            self._take(sent.place, recommendation, emitted_ms)

    def on_list(self, recommendation: Recommendation, emitted_ms: int) -> None:
        """Take a list; emitted_ms is Kafka's timestamp of it."""
        at = (recommendation.input_partition, recommendation.input_offset)
        place = self._place_at.get(at)
        if place is None:
            self._early.setdefault(at, []).append((recommendation, emitted_ms))
        else:
            self._take(place, recommendation, emitted_ms)

    def _take(self, place: int, recommendation: Recommendation, emitted_ms: int) -> None:
        if self._listed_ms[place] != _UNKNOWN or recommendation.rec_id in self._rec_ids:
            self.doubled += 1
            return
        self._rec_ids.add(recommendation.rec_id)
        self._listed_ms[place] = emitted_ms
        self.listed += 1
        self._positions.update(item.sources[0] for item in recommendation.items)
        release = self.releases[place] = recommendation.release
        self._lists[release] += 1
        item_id = self.next_item(place)
        if item_id is None:
            return
        self.judged += 1
        self._pairs[release] += 1
        hits = self._hits.setdefault(release, Counter())
        for source, item_ids in proposals(recommendation, self.k).items():
            self._sources.add(source)
            hits[source] += item_id in item_ids

    def next_item(self, place: int) -> str | None:
        """What the session clicks after the click at a place; None after its last one."""
        following = self._next[place]
        return None if following == _UNKNOWN else self.clicks.item_ids[following]

    @property
    def sent(self) -> int:
        """Clicks that Kafka has acknowledged."""
        return len(self._place_at)

    @property
    def done(self) -> bool:
        """Whether every click has its list."""
        return self.listed == len(self.clicks)

    def hit_rates(self) -> dict[str, float]:
        """Share of judged clicks found in the list before, for the blend and every source."""
        return self._rates(sum(self._hits.values(), Counter()), self.judged)

    def _rates(self, hits: Mapping[str, int], pairs: int) -> dict[str, float]:
        return {source: hits.get(source, 0) / pairs for source in sorted(self._sources)} if pairs else {}

    def by_release(self) -> dict[str, ReleaseFigures]:
        """What each version came to so far."""
        return {
            release: ReleaseFigures(
                lists, self._pairs[release], self._rates(self._hits.get(release, {}), self._pairs[release])
            )
            for release, lists in self._lists.items()
        }

    def freshness_s(self) -> NDArray[np.float64]:
        """Time from Kafka's timestamp of a click to that of its list, for every list so far."""
        waits_ms: NDArray[np.int64] = (self._listed_ms - self._sent_ms)[self._listed_ms != _UNKNOWN]
        return waits_ms / 1000.0

    def figures(self) -> Figures:
        """All figures so far."""
        unasked = sum(len(lists) for lists in self._early.values())
        freshness_s = self.freshness_s()
        p50, p99 = np.quantile(freshness_s, [0.5, 0.99]) if len(freshness_s) else (np.nan, np.nan)
        too_late, at_original_speed = self._too_late()
        return Figures(
            clicks=self.sent,
            recommendations=self.listed + self.doubled + unasked,
            lost=self.sent - self.listed,
            doubled=self.doubled,
            unasked=unasked,
            judged_pairs=self.judged,
            hit_rates=self.hit_rates(),
            releases=self.by_release(),
            positions_share={
                source: n / self._positions.total() for source, n in sorted(self._positions.items())
            },
            too_late=too_late,
            too_late_at_original_speed=at_original_speed,
            freshness_p50_s=float(p50),
            freshness_p99_s=float(p99),
        )

    def _too_late(self) -> tuple[int, int]:
        places = np.flatnonzero((self._next != _UNKNOWN) & (self._listed_ms != _UNKNOWN))
        following = self._next[places]
        published = self._sent_ms[following] != _UNKNOWN
        places, following = places[published], following[published]
        times_ms = self.clicks.time_ms
        waited_ms = self._listed_ms[places] - self._sent_ms[places]
        return (
            int((self._listed_ms[places] > self._sent_ms[following]).sum()),
            int((waited_ms > times_ms[following] - times_ms[places]).sum()),
        )
