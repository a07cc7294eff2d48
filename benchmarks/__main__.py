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

from benchmarks.children import own_topics, run_contender
from benchmarks.cores import leave_a_core
from benchmarks.load import MODEL, Load, fill, make_load, train_model
from benchmarks.meter import Measured
from benchmarks.parts import measure_parts
from benchmarks.report import compare, machine, ratios_table, times_table, too_low, write_report
from benchmarks.training import OFFICIAL, measure_training, official_path
from benchmarks.visitors import Held, absolute_entries, measure_visitors
from benchmarks.workloads import WORKLOADS
from streamrec.cli.output import print_error
from streamrec.config import load_settings
from streamrec.datasets import bundled_clicks
from streamrec.engine.broker import Broker
from streamrec.errors import StreamrecError
from streamrec.releases import announce
from streamrec.standalone import with_own_key

_PARTITIONS: Final = 4
_WARM_UP: Final = 0.1
"""Share of the events before measuring begins."""
_VISITOR_ROUNDS: Final = 3

console = Console()


def main() -> None:
    """Measure, print, write the report; exit 1 if a ratio is below its limit."""
    options = _options()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    leave_a_core()
    context = {"machine": machine()}
    started = time.monotonic()
    try:
        official = official_path()
        with _bootstrap() as bootstrap, _progress() as progress, tempfile.TemporaryDirectory(dir=out) as work:
            rounds, load, quality, held = _measure(bootstrap, Path(work), options, progress)
            if official is not None:
                task = progress.add_task("training beside the official code", total=4 * options.rounds)
                rounds |= measure_training(Path(work), options.rounds, lambda _: progress.advance(task))
    except StreamrecError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    entries = [*compare(rounds), *absolute_entries(rounds, held)]
    context["load"] = {
        "events": f"{len(load):,} bundled real clicks as JSON, {load.value_bytes:.0f} bytes each",
        "partitions": _PARTITIONS,
        "warm_up": f"the first {_WARM_UP:.0%} are not measured",
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
    if options.events < 1000 or options.rounds < 1:
        parser.error("at least 1000 events and one round are needed to measure anything")
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


def _measure(
    bootstrap: str, work: Path, options: argparse.Namespace, progress: Progress
) -> tuple[dict[str, list[Measured]], Load, dict[str, float], Held]:
    """Everything, round by round, so that a slow minute of the machine hits all alike."""
    n_events, n_rounds = options.events, options.rounds
    # Event times end now: the last click is as fresh as if it had just come.
    load = make_load(n_events, _PARTITIONS, time.time_ns() // 1_000_000 - n_events)
    settings = with_own_key(load_settings(registry={"path": work / "registry"}))
    registry = settings.registry
    task = progress.add_task("training a model", total=len(bundled_clicks()))
    version = train_model(settings, lambda done, *_: _advance(progress, task, done))
    progress.update(task, completed=len(bundled_clicks()))
    rounds: dict[str, list[Measured]] = {each.name: [] for each in WORKLOADS}
    for n in range(n_rounds):
        for number, workload in enumerate(WORKLOADS):
            own = load_settings(
                kafka={
                    "bootstrap": bootstrap,
                    "prefix": f"bench-{os.getpid()}-{n}-{number}.",
                    "partitions": _PARTITIONS,
                },
                state={"online": workload.online},
                registry=registry,
                log_level="WARNING",
            )
            name = f"{workload.name} ({n + 1}/{n_rounds})"
            with own_topics(own):
                filled = fill(own, load, round(len(load) * workload.share))
                if workload.step:
                    announce(own, "gru4rec", version)
                task = progress.add_task(name, total=filled)
                rounds[workload.name].append(
                    run_contender(
                        *(workload.name, workload.kind, own, filled, round(filled * _WARM_UP)),
                        work / f"{n}-{number}",
                        partial(_advance, progress, task),
                    )
                )
                progress.update(task, completed=filled)
    visitors, held = measure_visitors(
        *(bootstrap, settings, version, options.visitors, min(n_rounds, _VISITOR_ROUNDS), work, progress)
    )
    task = progress.add_task("parts beside their peers", total=1)
    parts, quality = measure_parts(settings, version, n_rounds)
    progress.update(task, completed=1)
    return rounds | visitors | parts, load, quality, held


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
