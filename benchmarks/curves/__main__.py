"""Measure curves and draw them: `python -m benchmarks.curves [--only NAME] [--out FOLDER]`.

Writes curves.json, and for every curve a plot, NAME.svg and NAME.png.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.curves.measured import CURVES, OnDone
from benchmarks.curves.plot import Curve, as_json, draw
from benchmarks.load import train_model
from benchmarks.report import machine
from streamrec.config import load_settings
from streamrec.datasets import bundled_clicks
from streamrec.evaluation.plots import need_matplotlib
from streamrec.standalone import with_own_key


def main() -> None:
    """Measure, write, say where."""
    parser = argparse.ArgumentParser("python -m benchmarks.curves", description=__doc__)
    parser.add_argument("--only", choices=list(CURVES), action="append", help="what grows; again for another")
    parser.add_argument("--out", type=Path, default=Path("build/bench/curves"))
    options = parser.parse_args()
    need_matplotlib()
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    curves: list[Curve] = []
    with _progress(console) as progress, tempfile.TemporaryDirectory(dir=options.out) as folder:
        settings = with_own_key(load_settings(registry={"path": Path(folder) / "registry"}))
        task = progress.add_task("training a model", total=len(bundled_clicks()))
        version = train_model(settings, lambda done, *_: progress.update(task, completed=done))
        for name in options.only or CURVES:
            work = Path(folder) / name
            work.mkdir()
            curves += CURVES[name](settings, version, work, _shown(progress, name))
    for curve in curves:
        draw(curve, options.out / curve.name)
    found = {"machine": machine(), "curves": [as_json(curve) for curve in curves]}
    (options.out / "curves.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {options.out}")


def _shown(progress: Progress, name: str) -> OnDone:
    task = progress.add_task(name, total=None)
    return lambda done, total: progress.update(task, completed=done, total=total)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
