"""What the terminal shows while clicks are replayed: figures that move, and a few lists.

On a terminal a page is redrawn in place; elsewhere a line is printed now and then.
"""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamrec.demo.judge import Judge
from streamrec.demo.summary import LABELS
from streamrec.evaluation.lists import BLEND, proposals
from streamrec.events import Recommendation

__all__ = ["LiveView", "side_by_side"]

_REDRAW_S: Final = 0.25
_LINE_S: Final = 5.0
_SAMPLE_S: Final = 3.0
"""Time to read a list before another one takes its place."""
_SAMPLES: Final = 3
_SHOWN_ITEMS: Final = 4
_SAMPLE_LINES: Final = _SHOWN_ITEMS + 2
_OTHER_LINES: Final = 18
_BAR: Final = 30


class LiveView:
    """The replay as the judge sees it. Use it as a context manager and call `update` often.

    pages: address of the operators' pages of each app. beside: sources whose own lists are shown beside.
    """

    def __init__(
        self, console: Console, judge: Judge, pages: Mapping[str, str], beside: Sequence[str] = ()
    ) -> None:
        self._console = console
        self._judge = judge
        self._pages = pages
        self._beside = beside
        self._started = time.monotonic()
        self._shown_at = self._started
        self._sampled_at = 0.0
        self._samples: list[Panel] = []
        self.news = ""
        """What the gate is doing."""
        self.newest: Recommendation | None = None
        """The last list that came, of which each source had some."""
        # Redrawn by `update` alone: rich's own thread would draw while figures change.
        self._live = (
            Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, newest: Recommendation | None) -> None:
        """Show the present figures, if it is time. newest: a list that may serve as a sample."""
        if newest is not None and all((newest.candidates or {}).get(source) for source in self._beside):
            self.newest = newest
        now = time.monotonic()
        if now - self._shown_at < (_REDRAW_S if self._live else _LINE_S):
            return
        self._shown_at = now
        if not self._live:
            self._console.print(self._line(), highlight=False, soft_wrap=True)
            return
        if newest is not None and now - self._sampled_at >= _SAMPLE_S / _SAMPLES:
            self._sampled_at = now
            room = (self._console.size.height - _OTHER_LINES) // _SAMPLE_LINES
            sample = side_by_side(newest, self._beside) if self._beside else _sample(newest)
            self._samples = [sample, *self._samples][: max(1, min(room, _SAMPLES))]
        self._live.update(self._page(), refresh=True)

    def _freshness(self) -> str:
        waits_s = self._judge.freshness_s()
        if not len(waits_s):
            return "none yet"
        p50, p99 = np.quantile(waits_s, [0.5, 0.99]) * 1000
        return f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms"

    def _line(self) -> str:
        judge = self._judge
        rates = ", ".join(f"{source} {rate:.3f}" for source, rate in judge.hit_rates().items())
        releases = ", ".join(f"{each} {made.lists:,}" for each, made in judge.by_release().items())
        return (
            f"   {judge.sent:>6,} of {len(judge.clicks):,} clicks, {judge.listed:>6,} lists ({releases}); "
            f"freshness {self._freshness()}; hit rate@{judge.k}: {rates or 'none yet'}"
        )

    def _page(self) -> Group:
        judge = self._judge
        elapsed_s = max(1e-9, time.monotonic() - self._started)
        figures = Table.grid(padding=(0, 2))
        figures.add_row("clicks", ProgressBar(total=len(judge.clicks), completed=judge.sent, width=_BAR))
        figures.add_row(
            "", f"{judge.sent:,} of {len(judge.clicks):,}, {judge.sent / elapsed_s:,.0f} a second"
        )
        figures.add_row("lists", f"{judge.listed:,}, {max(0, judge.sent - judge.listed):,} under way")
        figures.add_row("freshness", self._freshness())
        for release, made in judge.by_release().items():
            rate = made.hit_rates.get("gru4rec")
            hits = "" if rate is None else f", {rate:.1%} of the next clicks in its own list"
            figures.add_row(LABELS["gru4rec"], f"{release}: {made.lists:,} lists{hits}")
        if self.news:
            figures.add_row("gate", self.news)
        for role, address in self._pages.items():
            figures.add_row(f"{role} metrics", f"{address}/metrics")
        return Group(
            Panel(figures, title="live traffic", title_align="left"),
            Panel(
                self._rates(),
                title=f"next click among the {judge.k} of the list before",
                title_align="left",
            ),
            *self._samples,
        )

    def _rates(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for source, rate in sorted(self._judge.hit_rates().items(), key=lambda each: -each[1]):
            bar = Text("█" * round(rate * _BAR), style="green" if source == BLEND else "cyan")
            table.add_row(LABELS.get(source, source), f"{rate:6.1%}", bar)
        return table


def side_by_side(recommendation: Recommendation, sources: Sequence[str]) -> Panel:
    """The first places of a list, and of those that some of its sources would have shown alone."""
    columns = proposals(recommendation, _SHOWN_ITEMS)
    named = [BLEND, "gru4rec", *sources]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for source in ["", *(LABELS.get(source, source) for source in named)]:
        table.add_column(source)
    for place in range(_SHOWN_ITEMS):
        items = (columns.get(source, [])[place : place + 1] for source in named)
        table.add_row(str(place + 1), *(f"item {each[0]}" if each else "" for each in items))
    title = f"side by side for visitor {recommendation.visitor_id}"
    return Panel(table, title=title, title_align="left")


def _sample(recommendation: Recommendation) -> Panel:
    table = Table.grid(padding=(0, 2))
    for place, item in enumerate(recommendation.items[:_SHOWN_ITEMS], start=1):
        sources = ", ".join(LABELS.get(source, source) for source in item.sources)
        table.add_row(str(place), f"item {item.item_id}", Text(item.reason), Text(sources, style="dim"))
    return Panel(table, title=f"for visitor {recommendation.visitor_id}", title_align="left")
