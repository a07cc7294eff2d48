"""What the terminal shows while the demo runs: figures that move, and a few lists."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streamrec.demo.judge import BLEND, Judge
from streamrec.events import Recommendation

__all__ = ["LiveView", "summary_table"]

_LINE_EVERY_S = 5.0
_SHOWN_ITEMS = 5
_BAR = 28
_LABELS = {
    BLEND: "blend (what visitors get)",
    "gru4rec": "GRU4Rec",
    "online_mf": "online CF",
    "popularity": "popularity (baseline)",
}


class LiveView:
    """Redraws itself on a terminal; prints a line now and then elsewhere."""

    def __init__(self, console: Console, judge: Judge, pages: Mapping[str, str]) -> None:
        self._console = console
        self._judge = judge
        self._pages = pages
        self._started = time.monotonic()
        self._printed = 0.0
        self._shown: list[Recommendation] = []
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
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
        """Show the present figures; `newest` is a list to show among the samples."""
        if newest is not None:
            self._shown = [newest, *self._shown][:2]
        if self._live:
            self._live.update(self._page())
        elif time.monotonic() - self._printed >= _LINE_EVERY_S:
            self._printed = time.monotonic()
            self._console.print(self._line(), highlight=False)

    def _line(self) -> str:
        judge = self._judge
        p50, p99 = judge.freshness_s(0.5, 0.99)
        rates = ", ".join(f"{source} {rate:.3f}" for source, rate in judge.hit_rates().items())
        return (
            f"{len(judge.sent):>6,} of {len(judge.clicks):,} clicks, {len(judge.lists):>6,} lists, "
            f"freshness p50 {p50 * 1000:.0f} ms p99 {p99 * 1000:.0f} ms, hit rate@{judge.k}: {rates}"
        )

    def _page(self) -> Group:
        judge = self._judge
        elapsed = time.monotonic() - self._started
        p50, p99 = judge.freshness_s(0.5, 0.99)
        figures = Table.grid(padding=(0, 2))
        figures.add_row("clicks sent", f"{len(judge.sent):,} of {len(judge.clicks):,}")
        figures.add_row("lists received", f"{len(judge.lists):,}")
        figures.add_row("throughput", f"{len(judge.lists) / max(elapsed, 1e-9):,.0f} lists/s")
        figures.add_row("freshness", f"p50 {p50 * 1000:,.0f} ms   p99 {p99 * 1000:,.0f} ms")
        for role, address in self._pages.items():
            figures.add_row(f"{role} metrics", f"{address}/metrics")
        return Group(
            Panel(figures, title="live", title_align="left"),
            Panel(
                self._rates(), title=f"next click found in the list before (@{judge.k})", title_align="left"
            ),
            *[_sample(each) for each in self._shown],
        )

    def _rates(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for source, rate in sorted(self._judge.hit_rates().items(), key=lambda each: -each[1]):
            bar = Text("█" * round(rate * _BAR), style="green" if source == BLEND else "cyan")
            table.add_row(_LABELS.get(source, source), f"{rate:6.1%}", bar)
        return table


def _sample(recommendation: Recommendation) -> Panel:
    table = Table.grid(padding=(0, 2))
    for place, item in enumerate(recommendation.items[:_SHOWN_ITEMS], start=1):
        table.add_row(str(place), f"item {item.item_id}", ", ".join(item.sources), item.reason)
    return Panel(table, title=f"for visitor {recommendation.visitor_id}", title_align="left")


def summary_table(summary: Mapping[str, object]) -> Table:
    """The summary as a table, nested figures in lines of their own."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in summary.items():
        rows = value.items() if isinstance(value, Mapping) else [("", value)]
        for part, number in rows:
            shown = f"{number:,.4f}" if isinstance(number, float) else f"{number:,}"
            table.add_row(f"{name} {part}".strip(), shown)
    return table
