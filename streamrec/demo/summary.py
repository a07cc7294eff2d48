"""The demo's figures: what summary.json holds, what is wrong with them, and their table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.table import Table
from rich.text import Text

from streamrec.demo.judge import Figures, ReleaseFigures
from streamrec.evaluation.lists import BLEND
from streamrec.events import Verdict

__all__ = ["LABELS", "K", "Summary", "summarise"]

K: Final = 20
"""How many places of a list count; the names of the figures say so."""

LABELS: Final[Mapping[str, str]] = {BLEND: "blend", "gru4rec": "GRU4Rec", "online_mf": "online CF"}
"""What the sources are called on the terminal."""


# With fewer pairs chance decides.
_ENOUGH_PAIRS: Final = 5000
_LIVE_TOLERANCE: Final = 0.05
_LEAST_SHARE: Final = 0.05


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What summary.json holds. Of the clicks up to `lost`, see streamrec.demo.judge.Figures."""

    clicks: int
    recommendations: int
    lost: int
    doubled: int
    unasked: int
    dead_letters: int
    judged_pairs: int
    hit_rate_at_20: float
    popularity_hit_rate_at_20: float | None
    hit_rates_at_20: Mapping[str, float]
    offline_recall_at_20: float
    """Of the same versions on the same pairs, without the stream."""
    positions_share: Mapping[str, float]
    too_late: int
    too_late_at_original_speed: int
    freshness_p50_s: float
    freshness_p99_s: float
    clicks_per_s: float
    """Clicks over `replay_s`."""
    speed_up: float
    replay_s: float
    """From the first click to the last list."""
    behind_s: float
    """The furthest that a click was published behind its time."""
    train_s: float
    total_s: float
    releases: Mapping[str, ReleaseFigures]
    """What came of each version of GRU4Rec, in the order in which they were live."""
    verdict: Verdict
    """The gate's, about the second version."""
    beside: Sequence[str] = ()
    """Sources that were only to be looked at."""

    def faults(self) -> list[str]:
        """What must not be: lists lost, doubled or out of nowhere, clicks refused; and, with
        pairs enough to tell, a live model unlike the offline one or a blend that does not pay."""
        found = {
            "clicks without a list": self.lost,
            "lists that came twice": self.doubled,
            "lists that nobody asked for": self.unasked,
            "clicks refused": self.dead_letters,
        }
        faults = [f"{n:,} {what}" for what, n in found.items() if n]
        return faults + (self._weaknesses() if self.judged_pairs >= _ENOUGH_PAIRS else [])

    def _weaknesses(self) -> list[str]:
        live, offline = self.hit_rates_at_20.get("gru4rec", 0.0), self.offline_recall_at_20
        found = []
        if abs(live - offline) > _LIVE_TOLERANCE * offline:
            found.append(f"GRU4Rec hits {_percent(live)} live and {_percent(offline)} offline")
        if self.hit_rate_at_20 < live:
            found.append(f"the blend hits {_percent(self.hit_rate_at_20)}, GRU4Rec alone {_percent(live)}")
        needed = self.hit_rates_at_20.keys() - {BLEND, *self.beside}
        idle = [source for source in sorted(needed) if self._idle(source)]
        return found + [f"{source} leads less than {_percent(_LEAST_SHARE)} of the places" for source in idle]

    def _idle(self, source: str) -> bool:
        return self.positions_share.get(source, 0.0) < _LEAST_SHARE

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")

    def table(self) -> Table:
        """The figures for a reader: what, how much, and what it means."""
        late, pairs = self.too_late_at_original_speed, self.judged_pairs
        rows = [
            ("clicks replayed", f"{self.clicks:,}", f"{self.clicks_per_s:,.0f} a second"),
            ("lists", f"{self.recommendations:,}", f"{self.lost:,} lost, {self.doubled:,} doubled"),
            ("freshness, median", _ms(self.freshness_p50_s), f"99 % within {_ms(self.freshness_p99_s)}"),
            ("too late", _percent(late / pairs if pairs else 0), "for the next click, at the pace of life"),
            ("", "", f"({self.too_late:,} of {pairs:,} at {self.speed_up:,.0f} times that pace)"),
            *[
                (f"hit rate@{K}, {LABELS.get(source, source)}", _percent(rate), self._meaning(source))
                for source, rate in sorted(self.hit_rates_at_20.items(), key=lambda each: -each[1])
            ],
            *[
                (f"lists of {version}", f"{made.lists:,}", self._version_meaning(made))
                for version, made in self.releases.items()
            ],
            ("training", f"{self.train_s:,.0f} s", "of two versions, the second going on from the first"),
            ("everything", f"{self.total_s:,.0f} s", ""),
        ]
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column()
        for name, value, remark in rows:
            table.add_row(Text(name), Text(value, style="bold"), Text(remark, style="dim"))
        return table

    def _version_meaning(self, made: ReleaseFigures) -> str:
        rate = made.hit_rates.get("gru4rec")
        return "" if rate is None else f"GRU4Rec's own hit rate {_percent(rate)}"

    def _meaning(self, source: str) -> str:
        if source == BLEND:
            return f"next click among the {K} before it"
        leads = f"leads {self.positions_share.get(source, 0):.0%} of the places"
        if source == "gru4rec":
            return f"{leads}; offline {_percent(self.offline_recall_at_20)}"
        return leads


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


def summarise(
    figures: Figures,
    *,
    offline_recall: float,
    dead_letters: int,
    speed_up: float,
    replay_s: float,
    behind_s: float,
    train_s: float,
    total_s: float,
    verdict: Verdict,
    beside: Sequence[str] = (),
) -> Summary:
    """The summary of a demo from the judge's figures and its own."""
    return Summary(
        clicks=figures.clicks,
        recommendations=figures.recommendations,
        lost=figures.lost,
        doubled=figures.doubled,
        unasked=figures.unasked,
        dead_letters=dead_letters,
        judged_pairs=figures.judged_pairs,
        hit_rate_at_20=figures.hit_rates.get(BLEND, 0.0),
        popularity_hit_rate_at_20=figures.hit_rates.get("popularity"),
        hit_rates_at_20=figures.hit_rates,
        offline_recall_at_20=offline_recall,
        positions_share=figures.positions_share,
        too_late=figures.too_late,
        too_late_at_original_speed=figures.too_late_at_original_speed,
        freshness_p50_s=figures.freshness_p50_s,
        freshness_p99_s=figures.freshness_p99_s,
        clicks_per_s=figures.clicks / replay_s,
        speed_up=speed_up,
        replay_s=replay_s,
        behind_s=behind_s,
        train_s=train_s,
        total_s=total_s,
        releases=figures.releases,
        verdict=verdict,
        beside=beside,
    )
