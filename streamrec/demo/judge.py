"""Live lists against what visitors clicked next. Pure: no clock, no Kafka.

Click n+1 of a session is judged against the list made for click n, paired by the place of
click n in the log. An item that the model never saw counts as a miss like any other.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from streamrec.datasets import Clicks, sessions
from streamrec.events import Recommendation
from streamrec.replay import Sent

__all__ = ["BLEND", "Judge"]

BLEND: Final = "blend"


@dataclass(slots=True)
class _List:
    recommendation: Recommendation
    emitted_ms: int
    copies: int = 1


@dataclass(slots=True)
class Judge:
    """Collects what was sent and what came back.

    clicks: those replayed. k: how many places of a list count.
    """

    clicks: Clicks
    k: int
    sent: dict[tuple[int, int], Sent] = field(default_factory=dict)
    lists: dict[tuple[int, int], _List] = field(default_factory=dict)
    hits: Counter[str] = field(default_factory=Counter)
    judged: int = 0
    _next: dict[int, int] = field(default_factory=dict)
    _early: dict[tuple[int, int], _List] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for places in sessions(self.clicks).values():
            self._next.update(zip(places, places[1:], strict=False))

    def on_sent(self, sent: Sent) -> None:
        """Take a click that Kafka has acknowledged."""
        at = (sent.partition, sent.offset)
        self.sent[at] = sent
        early = self._early.pop(at, None)
        if early is not None:
            self._judge(sent, early)

    def on_list(self, recommendation: Recommendation, emitted_ms: int) -> None:
        """Take a list; emitted_ms is Kafka's timestamp of it."""
        at = (recommendation.input_partition, recommendation.input_offset)
        known = self.lists.get(at)
        if known is not None:
            known.copies += 1
            return
        made = self.lists[at] = _List(recommendation, emitted_ms)
        if at in self.sent:
            self._judge(self.sent[at], made)
        else:
            self._early[at] = made

    def _judge(self, sent: Sent, made: _List) -> None:
        following = self._next.get(sent.place)
        if following is None:
            return
        self.judged += 1
        item_id = self.clicks.item_ids[following]
        recommendation = made.recommendation
        self.hits[BLEND] += item_id in [item.item_id for item in recommendation.items[: self.k]]
        for source, ids in (recommendation.candidates or {}).items():
            self.hits[source] += item_id in ids[: self.k]

    @property
    def done(self) -> bool:
        """Whether every click has its list."""
        return len(self.sent) == len(self.clicks) and self.sent.keys() <= self.lists.keys()

    def hit_rates(self) -> dict[str, float]:
        """Share of judged clicks found in the list before, for the blend and every source."""
        return {source: hits / max(1, self.judged) for source, hits in sorted(self.hits.items())}

    def freshness_s(self, *quantiles: float) -> list[float]:
        """Quantiles of the time from Kafka's timestamp of a click to that of its list, seconds."""
        waits = [
            (made.emitted_ms - self.sent[at].time_ms) / 1000
            for at, made in self.lists.items()
            if at in self.sent
        ]
        return (
            [float(value) for value in np.quantile(waits, quantiles)]
            if waits
            else [float("nan")] * len(quantiles)
        )

    def summary(self) -> dict[str, Any]:
        """What became of the clicks, ready for summary.json."""
        p50, p99 = self.freshness_s(0.5, 0.99)
        rates = self.hit_rates()
        positions = Counter(
            item.sources[0] for made in self.lists.values() for item in made.recommendation.items
        )
        return {
            "clicks": len(self.sent),
            "recommendations": sum(made.copies for made in self.lists.values()),
            "lost": len(self.sent.keys() - self.lists.keys()),
            "doubled": sum(made.copies - 1 for made in self.lists.values()),
            "unasked": len(self.lists.keys() - self.sent.keys()),
            "judged_pairs": self.judged,
            f"hit_rate_at_{self.k}": rates.get(BLEND, 0.0),
            f"popularity_hit_rate_at_{self.k}": rates.get("popularity", 0.0),
            f"hit_rates_at_{self.k}": rates,
            "positions_share": {
                source: n / max(1, positions.total()) for source, n in sorted(positions.items())
            },
            "too_late": self._too_late(),
            "freshness_p50_s": p50,
            "freshness_p99_s": p99,
        }

    def _too_late(self) -> int:
        """Lists that came after the next click of the session had been published."""
        published = {sent.place: sent.time_ms for sent in self.sent.values()}
        return sum(
            made.emitted_ms > published[self._next[self.sent[at].place]]
            for at, made in self.lists.items()
            if at in self.sent and self._next.get(self.sent[at].place) in published
        )
