"""A curve, and how it is drawn."""

from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Curve", "Line", "as_json", "draw"]


class Line(NamedTuple):
    """One of the lines of a plot."""

    name: str
    y: list[float]
    up_to: list[float] | None = None
    """What y seldom goes beyond, as a p99: shown as a bar on top."""


class Curve(NamedTuple):
    """A plot: some lines over the same x, both on logarithmic axes."""

    name: str
    """Of its file."""
    title: str
    x_label: str
    y_label: str
    x: list[float]
    lines: list[Line]
    details: dict[str, Any]
    """Whatever else was found, for the file."""


def as_json(curve: Curve) -> dict[str, Any]:
    """The curve as the file has it."""
    return {**curve._asdict(), "lines": [line._asdict() for line in curve.lines]}


def draw(curve: Curve, place: Path) -> None:
    """The plot beside `place`, as .svg and .png."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    with matplotlib.rc_context({"svg.fonttype": "none", "font.size": 9, "axes.grid": True}):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axis = figure.subplots()
        for line in curve.lines:
            above = [
                [0.0] * len(line.y),
                [max(0.0, top - y) for y, top in zip(line.y, line.up_to or line.y, strict=True)],
            ]
            axis.errorbar(curve.x, line.y, yerr=above, marker="o", markersize=4, capsize=3, label=line.name)
        axis.set(title=curve.title, xlabel=curve.x_label, ylabel=curve.y_label, xscale="log", yscale="log")
        axis.set_xticks(curve.x, [f"{each:,.0f}" for each in curve.x], rotation=30)
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axis.yaxis.set_minor_formatter(StrMethodFormatter("{x:,g}"))
        axis.tick_params(axis="x", which="minor", bottom=False)
        axis.legend(frameon=False)
        figure.savefig(place.with_suffix(".svg"))
        figure.savefig(place.with_suffix(".png"), dpi=150)
