"""`streamrec backtest`: what the apps would have recommended, and how good that would have been."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.cli.output import JsonOption, print_json, print_table
from streamrec.cli.sources import (
    BundledOption,
    DataOption,
    FromHistoryOption,
    FromTopicOption,
    source_or_topic,
)

if TYPE_CHECKING:
    from streamrec.backtest import Comparison, Configuration, Plan, Tally

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb `backtest`."""
    app.command("backtest")(_run)


def _run(
    data: DataOption = None,
    bundled: BundledOption = False,
    from_topic: FromTopicOption = False,
    from_history: FromHistoryOption = False,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Judge what was recorded from here on, and only learn from the rest: 2024-05-08 or "
            "2024-05-08T10:00:00Z. Without it all; under --releases lists, from the first list on.",
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Read nothing that was recorded from here on.")
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Settings in TOML, by the names of the STREAMREC_ variables; several files are compared.",
        ),
    ] = None,
    releases: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION|lists|models|none",
            help="Which GRU4Rec: one version; those that the lists on recommendations name; those announced "
            "on models. Without it lists for topic and history, and the newest version for clicks. What a "
            "--config says of releases goes before it.",
        ),
    ] = None,
    latency_ms: Annotated[
        int, typer.Option(min=0, help="From an interaction's record to its list; lists too late are counted.")
    ] = 0,
    k: Annotated[int, typer.Option("--k", min=1, help="How many places of a list count.")] = 20,
    lists: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the recommendations to it, as JSON lines.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, each with one partition at a time.")] = 1,
    json: JsonOption = False,
) -> None:
    """Run the apps' own functions over history, without a broker, and judge each list by the next click.

    That is the next click of the same session; an item that nobody knew counts as a miss.
    """
    # As in scoring: numpy's threads would only fight those of ONNX Runtime.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from streamrec.backtest import Wishes, compare, foresight, make_plans, parse_time, summarise
    from streamrec.errors import ConfigError

    if lists is not None and len(config or ()) > 1:
        raise ConfigError("--lists goes with one --config: it holds the lists of one run")
    wishes = Wishes(
        source_or_topic(data, bundled, from_topic, from_history),
        parse_time(start, "--from") if start else None,
        parse_time(end, "--to") if end else None,
        releases,
        latency_ms,
        k,
        from_history,
    )
    plans = make_plans(_configurations(config or []), wishes)
    warnings = list(dict.fromkeys(warning for plan in plans for warning in foresight(plan)))
    if not json:
        for warning in warnings:
            typer.echo(f"mind: {warning}", err=True)
    tallies, seconds = _run_all(plans, jobs, lists)
    events = sum(tally.events for tally in tallies)
    runs = [summarise(plan, tally) for plan, tally in zip(plans, tallies, strict=True)]
    comparisons = [
        compare(plan, tally, plans[0], tallies[0]) for plan, tally in zip(plans[1:], tallies[1:], strict=True)
    ]
    if json:
        beside = [each.to_json() for each in comparisons]
        figures = {"runs": runs, "comparisons": beside, "events_per_s": events / seconds}
        print_json({**figures, "warnings": warnings})
        return
    _print(runs, comparisons, k)
    typer.echo(f"{events:,} events in {seconds:,.1f} s, {events / seconds:,.0f} a second")


def _configurations(files: Sequence[Path]) -> "list[Configuration]":
    from streamrec.backtest import Configuration, load_configuration
    from streamrec.config import load_settings

    if not files:
        return [Configuration("settings", load_settings())]
    found = [load_configuration(path) for path in files]
    if len({each.name for each in found}) < len(found):
        return [each._replace(name=str(path)) for each, path in zip(found, files, strict=True)]
    return found


def _run_all(plans: "Sequence[Plan]", jobs: int, lists: Path | None) -> "tuple[list[Tally], float]":
    """The tallies of all plans, and the seconds that it took."""
    import time

    from rich.console import Console

    from streamrec.backtest import run_backtest
    from streamrec.progress import progress_bar

    total = sum(plan.history.size(each) for plan in plans for each in range(plan.history.n_partitions))
    done = 0
    started = time.monotonic()
    with progress_bar(Console(stderr=True), "backtest") as on_step:

        def on_events(n: int) -> None:
            nonlocal done
            done += n
            on_step(done, total, float("nan"))

        tallies = [run_backtest(plan, jobs=jobs, lists=lists, on_events=on_events) for plan in plans]
    return tallies, time.monotonic() - started


def _print(runs: Sequence[dict[str, Any]], comparisons: "Sequence[Comparison]", k: int) -> None:
    from streamrec.backtest import metric_names

    names = metric_names(k)
    print_table(
        ["run", "source", *names, "coverage"],
        [
            [run["config"], source, *(f"{figures[name]:.4f}" for name in names), f"{figures['coverage']:.1%}"]
            for run in runs
            for source, figures in run["sources"].items()
        ],
    )
    for run in runs:
        typer.echo(_counts(run))
    for each in comparisons:
        typer.echo(f"{each.run} less {each.against}, on {each.pairs:,} lists judged in both:")
        print_table(
            ["source", "metric", "difference", "95 % from", "to", "p"],
            [
                [source, name, *(f"{value:+.4f}" for value in found[:3]), f"{found.p:.3f}"]
                for source, metrics in each.differences.items()
                for name, found in metrics.items()
            ],
        )


def _counts(run: dict[str, Any]) -> str:
    counts = [f"{run['events']:,} events", f"{run['lists']:,} lists", f"{run['judged']:,} judged"]
    if run["too_late"]:
        counts.append(f"{run['too_late']:,} of them too late")
    counts += [f"{n:,} {what}" for what, n in sorted(run["outcomes"].items()) if what != "accepted"]
    seconds = ", ".join(f"{what} {n:,.1f} s" for what, n in run["seconds"].items())
    return f"{run['config']}: {', '.join(counts)} ({seconds})"
