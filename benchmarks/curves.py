"""How costs grow with what they depend on: `python -m benchmarks.curves [--only NAME] [--out FOLDER]`.

Writes curves.json, and for every curve a plot, NAME.svg and NAME.png.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.catalogues import BATCHES, clicked_states, measure_catalogues, real_catalogue
from benchmarks.load import MODEL, train_model
from benchmarks.report import machine
from streamrec.config import Settings, load_settings
from streamrec.evaluation.plots import need_matplotlib
from streamrec.standalone import with_own_key

__all__ = ["Curve", "Line"]

_SIZES: Final = (5_000, 18_000, 37_000, 100_000, 300_000, 1_000_000)
_CALLS: Final = 500

OnDone = Callable[[int, int], None]
"""Called with the steps done, and how many there are."""


class Line(NamedTuple):
    """One of the lines of a plot."""

    name: str
    y: list[float]
    up_to: list[float]
    """What y seldom goes beyond, as a p99: shown as a bar on top."""


class Curve(NamedTuple):
    """A plot: some lines over the same x, both on logarithmic axes."""

    title: str
    x_label: str
    y_label: str
    x: list[float]
    lines: list[Line]
    details: dict[str, Any]
    """Whatever else was found, for the file."""


def main() -> None:
    """Measure, write, say where."""
    parser = argparse.ArgumentParser("python -m benchmarks.curves", description=__doc__)
    parser.add_argument("--only", choices=list(CURVES), action="append", help="a curve; again for another")
    parser.add_argument("--out", type=Path, default=Path("build/bench/curves"))
    options = parser.parse_args()
    need_matplotlib()
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    curves: dict[str, Curve] = {}
    with _progress(console) as progress, tempfile.TemporaryDirectory(dir=options.out) as folder:
        for name in options.only or CURVES:
            task = progress.add_task(name, total=None)
            work = Path(folder) / name
            work.mkdir()
            curves[name] = CURVES[name](
                work, lambda done, total, task=task: progress.update(task, completed=done, total=total)
            )
    for name, curve in curves.items():
        draw(curve, options.out / name)
    found = {"machine": machine(), "curves": {name: _as_json(curve) for name, curve in curves.items()}}
    (options.out / "curves.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {options.out}")


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _as_json(curve: Curve) -> dict[str, Any]:
    return {**curve._asdict(), "lines": [line._asdict() for line in curve.lines]}


def draw(curve: Curve, place: Path) -> None:
    """The plot beside `place`, as .svg and .png."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "font.size": 9, "axes.grid": True}):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axis = figure.subplots()
        for line in curve.lines:
            above = [
                [0.0] * len(line.y),
                [max(0.0, top - y) for y, top in zip(line.y, line.up_to, strict=True)],
            ]
            axis.errorbar(curve.x, line.y, yerr=above, marker="o", markersize=4, capsize=3, label=line.name)
        axis.set(title=curve.title, xlabel=curve.x_label, ylabel=curve.y_label, xscale="log", yscale="log")
        axis.set_xticks(curve.x, [f"{each:,.0f}" for each in curve.x], rotation=30)
        axis.minorticks_off()
        axis.legend(frameon=False)
        figure.savefig(place.with_suffix(".svg"))
        figure.savefig(place.with_suffix(".png"), dpi=150)


# -- the curves -----------------------------------------------------------------------------------


def _catalogue(work: Path, on_done: OnDone) -> Curve:
    settings, version = _trained(work)
    hidden, _ = clicked_states(settings, version)
    figures = measure_catalogues(
        real_catalogue(settings, version),
        hidden,
        _SIZES,
        work / "catalogues",
        _CALLS,
        lambda done: on_done(done, len(_SIZES) + 1),
    )
    on_done(len(_SIZES) + 1, len(_SIZES) + 1)

    def line(batch: int) -> Line:
        y, up_to = ([each.ms(batch, p) / batch for each in figures] for p in (50, 99))
        return Line(f"batches of {batch}", y, up_to)

    return Curve(
        "The 40 best of a catalogue, one thread",
        "items",
        "ms a visitor (median, bar to p99)",
        [float(each.n_items) for each in figures],
        [line(batch) for batch in BATCHES],
        {
            "model": MODEL,
            "file_bytes": [each.file_bytes for each in figures],
            "rss_bytes": [each.rss_bytes for each in figures],
            "overlap_at_20_with_exact_scores": [round(each.overlap, 4) for each in figures],
        },
    )


def _trained(work: Path) -> tuple[Settings, str]:
    settings = with_own_key(load_settings(registry={"path": work / "registry"}))
    return settings, train_model(settings, lambda *_: None)


CURVES: Final[Mapping[str, Callable[[Path, OnDone], Curve]]] = {"catalogue": _catalogue}


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
