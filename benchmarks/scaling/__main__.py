"""Capacity and freshness of a fleet: `python -m benchmarks.scaling [--visitors 100e6 --items 1e6 …]`."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.progress import Progress

from benchmarks.load import N_PARTITIONS, train_model
from benchmarks.report import machine
from benchmarks.scaling import plots
from benchmarks.scaling.arrivals import day_factors
from benchmarks.scaling.capacity import make_plan
from benchmarks.scaling.check import Predicted, fit, predict
from benchmarks.scaling.fleet import Fresh, after_death, after_peak, by_utilisation, freshness, sized_for
from benchmarks.scaling.inputs import Inputs, with_report
from benchmarks.scaling.measure import measure_pair, measure_runs
from benchmarks.scaling.tables import check_table, course_table, fresh_table, plan_table
from streamrec.cli.output import print_error
from streamrec.config import Settings, load_settings
from streamrec.engine.broker import Broker
from streamrec.errors import StreamrecError
from streamrec.standalone import with_own_key

console = Console()

_UTILISATIONS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_SIZED_UTILISATIONS: Final = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_SIZED_SCORERS: Final = (2, 4, 8, 16, 32)
_HOURS: Final = (6, 12, 18)
"""The emptiest, one of the day's mean, the fullest."""
_RATES: Final = (500.0, 1000.0, 2000.0, 100.0)
_CHECK_S: Final = 15.0
_PAIR_CLICKS: Final = 60_000
_SMALL: Final = {"items": 18_009.0, "partitions_per_scorer": 4, "scorers_per_state": 2}
"""A fleet beside, of the catalogue that lists were measured with."""


def main() -> None:
    """Print what a fleet comes to, and write it down; with --check measure one machine instead."""
    options = _options()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    try:
        inputs = _inputs(options)
        if options.check:
            _check(inputs, out / "check.json")
        else:
            _simulate(inputs, options.p99_ms, out / "report.json", options.plots and Path(options.plots))
    except StreamrecError as error:
        print_error(str(error))
        sys.exit(error.exit_code)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.scaling", description=__doc__)
    parser.add_argument(
        "--report", help="report.json of `make bench`: what it has measured is taken from there"
    )
    parser.add_argument("--out", default="build/scaling", help="folder of report.json and check.json")
    parser.add_argument("--plots", help="folder for the plots as SVG; none without it")
    parser.add_argument(
        "--p99-ms", type=float, default=500.0, help="p99 of freshness that a fleet is sized for"
    )
    parser.add_argument(
        "--check", action="store_true", help="measure one machine beside the simulator (3 minutes)"
    )
    inputs = parser.add_argument_group("inputs; what they mean stands in benchmarks/scaling/inputs.py")
    for field in fields(Inputs):
        if isinstance(field.default, int | float) or field.default is None:
            kind = int if isinstance(field.default, int) else float
            inputs.add_argument(f"--{field.name.replace('_', '-')}", type=kind, help=f"{field.default}")
    return parser.parse_args()


def _inputs(options: argparse.Namespace) -> Inputs:
    inputs = Inputs()
    if options.report:
        inputs, measured = with_report(inputs, Path(options.report))
        console.print(f"From {options.report}: {', '.join(measured) or 'nothing'}")
    given = {field.name: getattr(options, field.name, None) for field in fields(Inputs)}
    return replace(inputs, **{name: value for name, value in given.items() if value is not None})


def _simulate(inputs: Inputs, p99_ms: float, path: Path, plots_folder: Path | None) -> None:
    plan = make_plan(inputs)
    console.print(plan_table(inputs, plan))
    with Progress(console=console, transient=True) as progress:
        n_sized = len(_SIZED_UTILISATIONS) * len(_SIZED_SCORERS)
        task = progress.add_task("simulating", total=len(_UTILISATIONS) + len(_HOURS) + 3 + n_sized)

        def done(*_: object) -> None:
            progress.advance(task)

        busy = {}
        for each in by_utilisation(inputs, _UTILISATIONS):
            busy[f"{each.utilisation:.0%}"] = each
            done()
        factors, day = day_factors(inputs.peak_to_mean), {}
        for hour in _HOURS:
            day[f"{hour} o'clock"] = freshness(inputs, float(factors[hour]))
            done()
        courses = {}
        for name, course in (
            ("a state worker dies", lambda: after_death(inputs, standby=False)),
            ("the same with a standby", lambda: after_death(inputs, standby=True)),
            ("a minute of three times the clicks", lambda: after_peak(inputs)),
        ):
            courses[name] = course()
            done()
        sized = sized_for(inputs, p99_ms, _SIZED_UTILISATIONS, _SIZED_SCORERS, done)
    console.print(fresh_table("Freshness by load, of the fleet above", busy))
    console.print(fresh_table("Over a day", day))
    console.print(course_table(courses))
    if sized is None:
        console.print(f"No fleet that was tried keeps p99 below {p99_ms:g} ms.")
    else:
        own, fresh = sized
        console.print(
            f"Fewest cores for a p99 below {p99_ms:g} ms: {fresh.scoring_workers:,} scoring workers "
            f"({own.scoring_utilisation:.0%} busy with lists) and {fresh.state_workers:,} state workers; "
            f"p50 {fresh.p50_ms:.0f} ms, p99 {fresh.p99_ms:.0f} ms."
        )
    result = {
        "inputs": asdict(inputs),
        "plan": asdict(plan),
        "by_load": [each._asdict() for each in busy.values()],
        "day": {name: each._asdict() for name, each in day.items()},
        "events": {name: _summary(each._asdict()) for name, each in courses.items()},
        "sized_for": sized
        and {"p99_ms": p99_ms, "inputs": asdict(sized[0]), "freshness": sized[1]._asdict()},
    }
    _write(path, result)
    if plots_folder is not None:
        _plot(inputs, list(busy.values()), courses, plots_folder)


def _plot(inputs: Inputs, busy: list[Fresh], courses: Mapping[str, Any], folder: Path) -> None:
    small = replace(inputs, **_SMALL)
    curves = {
        f"{inputs.items:,.0f} items": busy,
        f"{small.items:,.0f} items": list(by_utilisation(small, _UTILISATIONS)),
    }
    plots.write(plots.freshness(curves), folder / "scaling-freshness.svg")
    deaths = {name: each for name, each in courses.items() if "worker" in name or "standby" in name}
    plots.write(plots.backlog(deaths), folder / "scaling-backlog.svg")
    console.print(f"Plots in {folder}.")


def _summary(course: Mapping[str, Any]) -> dict[str, Any]:
    """A course without its curve."""
    rest = {name: each for name, each in course.items() if name not in ("times_s", "backlog")}
    return {**rest, "largest_backlog": float(course["backlog"].max())}


def _check(inputs: Inputs, path: Path) -> None:
    context = machine()
    with (
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
        Progress(console=console, transient=True) as progress,
    ):
        work = Path(folder)
        settings = with_own_key(load_settings(registry={"path": work / "registry"}))
        task = progress.add_task(
            "training a model, loading one machine, two workers beside one", total=4 + len(_RATES)
        )
        version = train_model(settings, lambda *_: None)
        progress.advance(task)
        with Broker.start() as broker:
            own = _under(settings, broker, "runs")
            runs, sizes = measure_runs(
                own, broker, version, _RATES, _CHECK_S, work, lambda: progress.advance(task)
            )
            pair = measure_pair(
                _under(settings, broker, "pair"), version, _PAIR_CLICKS, work, lambda: progress.advance(task)
            )
    state = fit([each.state_batch for each in runs], [each.state_us for each in runs])
    scoring = fit([each.scoring_batch for each in runs], [each.scoring_us for each in runs])
    cores = os.cpu_count() or 1
    found = [predict(each, state, scoring, N_PARTITIONS, cores, inputs.fetch_ms) for each in runs]
    console.print(check_table(found))
    console.print(
        f"Fit to CPU seconds: state {state.batch_us:,.0f} µs a batch and {state.click_us:,.0f} a click, "
        f"scoring {scoring.batch_us:,.0f} and {scoring.click_us:,.0f}.\n"
        f"Two scoring workers on {cores} cores: {pair.two_per_s:,.0f} lists/s, one {pair.one_per_s:,.0f}: "
        f"{pair.two_per_s / pair.one_per_s:.2f} times; {pair.two_us:.0f} and {pair.one_us:.0f} µs a list.\n"
        f"Bytes: {sizes}. Load average before: {context['load_average_before'][0]:g}."
    )
    result = {
        "machine": context,
        "runs": msgspec.to_builtins(runs),
        "predicted": [_with_errors(each) for each in found],
        "fit": {"state": state._asdict(), "scoring": scoring._asdict()},
        "two_scoring_workers": msgspec.to_builtins(pair),
        "bytes": sizes,
    }
    _write(path, result)


def _with_errors(found: Predicted) -> dict[str, Any]:
    p50, p99 = found.errors
    return {**found._asdict(), "error_p50": p50, "error_p99": p99}


def _under(settings: Settings, broker: Broker, name: str) -> Settings:
    kafka = {"bootstrap": broker.bootstrap, "prefix": f"scaling-{name}.", "partitions": N_PARTITIONS}
    return load_settings(kafka=kafka, registry=settings.registry, log_level="WARNING")


def _write(path: Path, result: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    console.print(f"Written to {path}.")


if __name__ == "__main__":
    main()
