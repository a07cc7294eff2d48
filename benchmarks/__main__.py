"""Run the benchmarks: `python -m benchmarks [--events N] [--rounds N] [--out FOLDER]`."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks.catalogues import (
    Figures,
    catalogue_entries,
    clicked_states,
    measure_catalogues,
    real_catalogue,
)
from benchmarks.cores import leave_a_core
from benchmarks.freshness import freshness_entries, measure_freshness
from benchmarks.load import MODEL, N_PARTITIONS, Load, fill, make_load, own_settings, own_topics, train_model
from benchmarks.meter import Measured
from benchmarks.parts import measure_parts
from benchmarks.report import compare, machine, ratios_table, times_table, too_low, write_report
from benchmarks.road import measure_road
from benchmarks.running import WARM_UP, Contender
from benchmarks.training import OFFICIAL, measure_training, official_path
from benchmarks.visitors import Held, absolute_entries, measure_visitors
from benchmarks.workloads import WORKLOADS
from streamrec.cli.output import print_error
from streamrec.config import Settings, load_settings
from streamrec.datasets import bundled_clicks
from streamrec.engine.broker import Broker
from streamrec.errors import StreamrecError
from streamrec.loadtest import Report
from streamrec.releases import announce
from streamrec.standalone import with_own_key

_VISITOR_ROUNDS: Final = 3
_LEAST_EVENTS: Final = 20_000
"""Fewer are over before a contender's meter has looked twice."""
_CATALOGUES: Final = (37_000, 1_000_000)
"""Items."""
_CALLS: Final = 100
"""Of each catalogue and batch in a round."""

console = Console()


def main() -> None:
    """Measure, print, write the report; exit 1 if a ratio is below its limit."""
    options = _options()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    context = {"machine": machine()}
    started = time.monotonic()
    try:
        official = official_path()
        with tempfile.TemporaryDirectory(dir=out) as folder:
            work = Path(folder)
            settings = with_own_key(load_settings(registry={"path": work / "registry"}))
            with _bootstrap() as bootstrap, _progress() as progress:
                version = _train(settings, progress)
                fresh = _measure_freshness(settings, bootstrap, version, work, options.rounds, progress)
                load = _load(options.events)
                road = _measure_road(settings, bootstrap, version, load, work, options.rounds, progress)
            # From here on one process is measured at a time, on a core of its own; Kafka begins anew.
            leave_a_core()
            with _bootstrap() as bootstrap, _progress() as progress:
                load = _load(options.events)
                rounds, quality = _measure(settings, bootstrap, version, load, work, options.rounds, progress)
                of_visitors, held = _measure_visitors(settings, bootstrap, version, work, options, progress)
                rounds |= road | of_visitors
                catalogues = _measure_catalogues(settings, version, work, options.rounds, progress)
                if official is not None:
                    task = progress.add_task("training beside the official code", total=4 * options.rounds)
                    rounds |= measure_training(work, options.rounds, lambda _: progress.advance(task))
    except StreamrecError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    entries = [
        *compare(rounds),
        *absolute_entries(rounds, held),
        *freshness_entries(fresh),
        *catalogue_entries(catalogues),
    ]
    context["load"] = {
        "events": f"{len(load):,} bundled real clicks as JSON, {load.value_bytes:.0f} bytes each",
        "partitions": N_PARTITIONS,
        "warm_up": f"the first {WARM_UP:.0%} are not measured",
        "model": MODEL,
        "score_graph": quality,
    }
    write_report(out / "report.json", entries, context)
    _show(rounds, entries, context, time.monotonic() - started, out / "report.json")
    if official is None:
        console.print(f"Training is left out: {OFFICIAL} names no checkout of the official GRU4Rec.")
    faults = too_low(entries)
    for fault in faults:
        print_error(fault)
    sys.exit(bool(faults))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=60_000, help="events of the quickest")
    parser.add_argument("--rounds", type=int, default=5, help="times that everything is measured")
    parser.add_argument("--visitors", type=int, default=100_000, help="visitors held by the state app")
    parser.add_argument("--out", default="build/bench", help="folder of report.json")
    options = parser.parse_args()
    if options.events < _LEAST_EVENTS or options.rounds < 1:
        parser.error(f"at least {_LEAST_EVENTS:,} events and one round are needed to measure anything")
    if options.visitors < 1000:
        parser.error("with less than 1000 visitors there is no telling what one of them takes")
    return options


@contextmanager
def _bootstrap() -> Iterator[str]:
    """The broker that is configured, else an embedded one."""
    if "STREAMREC_KAFKA__BOOTSTRAP" in os.environ:
        yield load_settings().kafka.bootstrap
        return
    with console.status("Starting Kafka"):
        broker = Broker.start()
    with broker:
        yield broker.bootstrap


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _train(settings: Settings, progress: Progress) -> str:
    task = progress.add_task("training a model", total=len(bundled_clicks()))
    version = train_model(settings, lambda done, *_: _advance(progress, task, done))
    progress.update(task, completed=len(bundled_clicks()))
    return version


def _measure_freshness(
    settings: Settings, bootstrap: str, version: str, work: Path, n_rounds: int, progress: Progress
) -> dict[str, list[Report]]:
    own = own_settings(settings, bootstrap, "fresh")
    task = progress.add_task("freshness, in turns", total=100)
    return measure_freshness(
        own, version, work, n_rounds, lambda share: progress.update(task, completed=round(100 * share))
    )


def _measure_catalogues(
    settings: Settings, version: str, work: Path, n_rounds: int, progress: Progress
) -> list[Figures]:
    task = progress.add_task("lists of large catalogues", total=len(_CATALOGUES) + 1)
    hidden, _ = clicked_states(settings, version)
    found = measure_catalogues(
        real_catalogue(settings, version),
        hidden,
        _CATALOGUES,
        work / "catalogues",
        _CALLS * n_rounds,
        lambda done: progress.update(task, completed=done),
    )
    progress.update(task, completed=len(_CATALOGUES) + 1)
    return found


def _measure_road(
    settings: Settings,
    bootstrap: str,
    version: str,
    load: Load,
    work: Path,
    n_rounds: int,
    progress: Progress,
) -> dict[str, list[Measured]]:
    task = progress.add_task("the whole road, and scoring alone", total=2 * n_rounds)
    own = own_settings(settings, bootstrap, "road")
    return measure_road(own, version, load, work, n_rounds, lambda: progress.advance(task))


def _load(n_events: int) -> Load:
    """Event times end now: the last click is as fresh as if it had just come."""
    return make_load(n_events, N_PARTITIONS, time.time_ns() // 1_000_000 - n_events)


def _measure(
    settings: Settings,
    bootstrap: str,
    version: str,
    load: Load,
    work: Path,
    n_rounds: int,
    progress: Progress,
) -> tuple[dict[str, list[Measured]], dict[str, float]]:
    """Everything that costs CPU, round by round, so that a slow minute of the machine hits all alike."""
    rounds: dict[str, list[Measured]] = {each.name: [] for each in WORKLOADS}
    for n in range(n_rounds):
        for number, workload in enumerate(WORKLOADS):
            own = own_settings(settings, bootstrap, f"bench-{n}-{number}", online=workload.online)
            name = f"{workload.name} ({n + 1}/{n_rounds})"
            with own_topics(own):
                filled = fill(own, load, round(len(load) * workload.share))
                if workload.step:
                    announce(own, "gru4rec", version)
                task = progress.add_task(name, total=filled)
                folder = work / f"{n}-{number}"
                with Contender(workload.name, workload.kind, own, filled, folder) as contender:
                    rounds[workload.name].append(contender.join(partial(_advance, progress, task)))
                progress.update(task, completed=filled)
    task = progress.add_task("parts beside their peers", total=1)
    parts, quality = measure_parts(settings, version, n_rounds)
    progress.update(task, completed=1)
    return rounds | parts, quality


def _measure_visitors(
    settings: Settings,
    bootstrap: str,
    version: str,
    work: Path,
    options: argparse.Namespace,
    progress: Progress,
) -> tuple[dict[str, list[Measured]], Held]:
    n_rounds = min(options.rounds, _VISITOR_ROUNDS)
    return measure_visitors(bootstrap, settings, version, options.visitors, n_rounds, work, progress)


def _advance(progress: Progress, task: TaskID, done: int) -> None:
    progress.update(task, completed=done)


def _show(
    rounds: Mapping[str, list[Measured]],
    entries: list[dict[str, Any]],
    context: Mapping[str, Any],
    took_s: float,
    path: Path,
) -> None:
    machine, load = context["machine"], context["load"]
    console.print()
    console.print(times_table(rounds))
    console.print(ratios_table(entries))
    console.print(
        f"{machine['cores']} cores ({machine['cpu']}), Python {machine['python']}, "
        f"load average before {machine['load_average_before'][0]:g}; {load['events']}; {load['model']}.\n"
        f"Took {took_s:.0f} s; written to {path}.",
        highlight=False,
    )


if __name__ == "__main__":
    main()
