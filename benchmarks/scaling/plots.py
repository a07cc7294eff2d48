"""The curves of docs/scaling.md, as files of SVG that follow the reader's light or dark page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.scaling.fleet import Course, Fresh
from streamrec.evaluation.plots import inline_svg, new_plot, series_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["backlog", "freshness", "write"]

# As on the page of `streamrec evaluate`; a file has to bring them along.
_LIGHT: Final = (
    "--ink: #1d2430; --faint: #667085; --grid: #dfe3ea; "
    "--series-0: #0068b3; --series-1: #d97700; --series-2: #00886a; --series-3: #c2410c;"
)
_DARK: Final = (
    "--ink: #e6e9ee; --faint: #98a2b3; --grid: #333b48; "
    "--series-0: #5cb3f5; --series-1: #f5a83c; --series-2: #35c9a2; --series-3: #ff8a5c;"
)
_STYLE: Final = (
    f"<style>svg {{ {_LIGHT} font-family: system-ui, sans-serif; }} "
    f"@media (prefers-color-scheme: dark) {{ svg {{ {_DARK} }} }}</style>"
)
_WIDTH: Final = 'width="620" '


@inline_svg
def freshness(curves: Mapping[str, Sequence[Fresh]]) -> "Figure":
    """p50 and p99 by how busy scoring workers are; curves: by name of the fleet."""
    figure, axis = new_plot()
    for n, (name, points) in enumerate(curves.items()):
        at = [100 * each.utilisation for each in points]
        for of, line in (("p99", "-"), ("p50", "--")):
            ms = [getattr(each, f"{of}_ms") for each in points]
            axis.plot(at, ms, color=series_colour(n), linestyle=line, marker="o", label=f"{name}, {of}")
    axis.set(xlabel="busy with lists, % of a scoring worker's time", ylabel="freshness, ms", yscale="log")
    ticks = [50, 100, 200, 500, 1000, 2000, 5000]
    axis.set_yticks(ticks, [f"{each:,}" for each in ticks])
    axis.minorticks_off()
    axis.legend(fontsize=8.5, loc="upper left")
    return figure


@inline_svg
def backlog(courses: Mapping[str, Course]) -> "Figure":
    """Clicks of a share that have no list yet, in seconds of its traffic; courses: by what happened at 0."""
    figure, axis = new_plot()
    over_s = [each.well_after_s for each in courses.values() if np.isfinite(each.well_after_s)]
    until_s = 1.2 * max(over_s, default=60.0)
    for n, (name, course) in enumerate(courses.items()):
        within = (course.times_s >= -10) & (course.times_s <= until_s)
        seconds = course.backlog[within] / course.clicks_per_s
        axis.plot(course.times_s[within], seconds, color=series_colour(n), label=name)
    axis.set(xlabel="seconds from the event on", ylabel="without a list, seconds of traffic", ylim=(0, None))
    axis.legend(fontsize=8.5)
    return figure


def write(svg: str, path: Path) -> None:
    """A plot as a file of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    start, _, rest = svg.partition(">")
    path.write_text(f"{start.replace('<svg ', f'<svg {_WIDTH}')}>\n{_STYLE}{rest}\n", encoding="utf-8")
