"""Plots of an evaluation as inline SVG, in colours that the page around them decides on.

Each takes what it draws by the name of the model, and gives one `<svg>` element. Colours are CSS
variables, so that a plot is as readable on a dark page as on a light one.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec

import numpy as np
from numpy.typing import NDArray

from streamrec.errors import ConfigError
from streamrec.evaluation.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "N_COLOURS",
    "bars",
    "differences",
    "inline_svg",
    "lorenz_curves",
    "need_matplotlib",
    "new_plot",
    "popularity_bands",
    "recall_by_k",
    "recall_by_position",
    "series_colour",
]

Values = NDArray[np.float64]
Arguments = ParamSpec("Arguments")

N_COLOURS: Final = 8
_INK, _FAINT, _GRID = "#000001", "#000002", "#000003"
_SERIES: Final = tuple(f"#0001{n:02x}" for n in range(N_COLOURS))
# matplotlib knows no CSS: it draws in colours that stand for variables.
_VARIABLES: Final = {
    _INK: "var(--ink)",
    _FAINT: "var(--faint)",
    _GRID: "var(--grid)",
    **{colour: f"var(--series-{n})" for n, colour in enumerate(_SERIES)},
}
_MARKERS: Final = "osD^vPX*"
_LINES: Final = ("-", "--", ":", "-.")

_STYLE: Final[Mapping[str, Any]] = {
    "svg.fonttype": "none",  # text stays text: small, sharp, and in the font of the page
    "font.size": 9,
    "text.parse_math": False,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.facecolor": "none",
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
}
_METADATA: Final = ("Date", "Creator", "Format", "Type")  # left out
_HALF: Final = (5.4, 3.7)
"""Inches; the text is then as large as the page's where the plot takes half of its width."""
_WIDE: Final = 11.0


def need_matplotlib() -> None:
    """Raises ConfigError if it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'a report needs {error.name}, which is not installed; pip install "streamrec[report]"'
        ) from None


def inline_svg(draw: Callable[Arguments, "Figure"]) -> Callable[Arguments, str]:
    """The figure that a function draws, as an element of a page."""

    @wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> str:
        import matplotlib

        file = io.StringIO()
        # The salt keeps the ids of one plot apart from those of the others on the page.
        with matplotlib.rc_context({**_STYLE, "svg.hashsalt": draw.__name__}):
            figure = draw(*args, **kwargs)
            figure.savefig(
                file, format="svg", bbox_inches="tight", pad_inches=0.05, metadata=dict.fromkeys(_METADATA)
            )
        return _inline(file.getvalue())

    return drawn


def _inline(svg: str) -> str:
    """Only the element, as wide as its place, with colours and font of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)  # holds for all of a page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # names that every plot has, and nothing refers to
    svg = re.sub(r"font-family: [^;\"]*; ", "", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg


@inline_svg
def bars(metrics: Mapping[str, Mapping[str, Interval]]) -> "Figure":
    """For each metric a bar a model with its interval, side by side; metrics: by metric, then model."""
    models = list(next(iter(metrics.values())))
    figure, axes = _panels(len(models), len(metrics))
    for axis, (metric, intervals) in zip(axes, metrics.items(), strict=True):
        for row, each in enumerate(intervals.values()):
            axis.barh(row, each.mean, 0.62, color=series_colour(row))
            axis.plot([each.low, each.high], [row, row], color=_INK, linewidth=1.3)
            axis.text(each.high, row, f" {each.mean:.3f}", va="center", fontsize=8.5)
        axis.set_title(metric)
        axis.set_xlim(0, 1.18 * max(max(each.high for each in intervals.values()), 1e-3))
    axes[0].set_yticks(range(len(models)), models)
    return figure


@inline_svg
def differences(metrics: Mapping[str, Mapping[str, Interval]], colours: Mapping[str, int]) -> "Figure":
    """Paired differences to one model with their intervals; metrics: by metric, then model.

    colours: which of the colours a model has elsewhere.
    """
    models = list(next(iter(metrics.values())))
    figure, axes = _panels(len(models), len(metrics))
    for axis, (metric, intervals) in zip(axes, metrics.items(), strict=True):
        axis.axvline(0, color=_FAINT, linewidth=1)
        for row, (model, each) in enumerate(intervals.items()):
            colour = series_colour(colours[model])
            axis.plot([each.low, each.high], [row, row], color=colour, solid_capstyle="butt")
            axis.plot(each.mean, row, color=colour, marker="o", markersize=6)
        axis.set_title(metric)
    axes[0].set_yticks(range(len(models)), models)
    return figure


@inline_svg
def recall_by_k(ranks: Mapping[str, Values], k: int) -> "Figure":
    """Share of the next clicks within the first 1, 2, … k places."""
    figure, axis = new_plot()
    ks = np.arange(1, k + 1)
    for n, (model, each) in enumerate(ranks.items()):
        found = np.searchsorted(np.sort(each), ks, side="right") / len(each)
        axis.plot(ks, found, color=series_colour(n), linestyle=_line(n), label=model)
    axis.set(xlabel="places looked at, k", ylabel="recall@k", xlim=(1, k), ylim=(0, None))
    axis.set_xticks([1, *range(10, k + 1, 10)])
    _legend(axis, len(ranks))
    return figure


@inline_svg
def recall_by_position(
    labels: Sequence[str], counts: Sequence[int], recall: Mapping[str, Values]
) -> "Figure":
    """Recall after so many clicks of a session; labels: how many, counts: next clicks there."""
    figure, axis = new_plot()
    for n, (model, each) in enumerate(recall.items()):
        axis.plot(range(len(labels)), each, color=series_colour(n), marker=_marker(n), label=model)
    ticks = [f"{label}\n({_short(count)})" for label, count in zip(labels, counts, strict=True)]
    axis.set_xticks(range(len(labels)), ticks)
    axis.set(xlabel="clicks seen before (and next clicks measured there)", ylabel="recall", ylim=(0, None))
    _legend(axis, len(recall))
    return figure


@inline_svg
def popularity_bands(labels: Sequence[str], clicked: Values, recommended: Mapping[str, Values]) -> "Figure":
    """Shares of clicks and of recommended places by the popularity of the item."""
    figure, axis = new_plot()
    places = np.arange(len(labels))
    axis.bar(places, clicked, 0.8, color=_GRID, label="clicked in the test")
    for n, (model, each) in enumerate(recommended.items()):
        axis.plot(places, each, color=series_colour(n), marker=_marker(n), label=model)
    axis.set_xticks(places, labels)
    axis.set(ylabel="share", ylim=(0, None), xlabel="items, the most popular first, and how many they are")
    axis.grid(axis="x", visible=False)
    _legend(axis, len(recommended) + 1)
    return figure


@inline_svg
def lorenz_curves(exposures: Mapping[str, Values], ginis: Mapping[str, float]) -> "Figure":
    """Cumulative share of recommended places of the items recommended least, with the Gini coefficients."""
    figure, axis = new_plot()
    axis.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle=":", label="all items alike")
    for n, (model, exposure) in enumerate(exposures.items()):
        shares = np.concatenate([[0.0], np.cumsum(np.sort(exposure)) / max(1, exposure.sum())])
        places = np.unique(np.linspace(0, len(shares) - 1, 400).round().astype(int))
        axis.plot(
            places / (len(shares) - 1),
            shares[places],
            color=series_colour(n),
            linestyle=_line(n),
            label=f"{model} (Gini {ginis[model]:.2f})",
        )
    axis.set(xlabel="share of items, the least recommended first", ylabel="share of recommended places")
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.legend(loc="upper left", fontsize=8.5)
    return figure


def new_plot() -> tuple["Figure", "Axes"]:
    """A figure half a page wide, for a function under `inline_svg`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_HALF)
    return figure, figure.subplots()


def _panels(rows: int, columns: int) -> tuple["Figure", Sequence["Axes"]]:
    """Plots side by side with one row a model, the first on top."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDE, 0.95 + 0.34 * rows))
    axes = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
    figure.subplots_adjust(wspace=0.1)
    for axis in axes:
        axis.grid(axis="y", visible=False)
    axes[0].set_ylim(rows - 0.5, -0.5)
    return figure, axes


def _legend(axis: "Axes", n: int) -> None:
    axis.legend(fontsize=8.5, ncols=1 if n <= 5 else 2)


def series_colour(n: int) -> str:
    """What the n-th of the things compared is drawn in, under `inline_svg`."""
    return _SERIES[n % N_COLOURS]


def _marker(n: int) -> str:
    return _MARKERS[n % len(_MARKERS)]


def _line(n: int) -> str:
    return _LINES[n // N_COLOURS % len(_LINES)]


def _short(count: int) -> str:
    return f"{count:,}" if count < 10_000 else f"{count / 1000:,.0f}k"
