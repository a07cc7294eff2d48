"""`streamrec loadtest`: how fresh lists are at a steady rate of clicks, on any cluster."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamrec.cli.output import JsonOption, print_error, print_json, print_table, quiet_kafka_client
from streamrec.cli.signals import interrupt_when_terminated
from streamrec.cli.sources import DataOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from streamrec.loadtest import Ledger, Report

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb `loadtest`."""
    app.command()(loadtest)


def loadtest(
    rate: Annotated[float, typer.Option(min=0.1, help="Clicks a second.")] = 1000.0,
    seconds: Annotated[float, typer.Option(min=1, help="How long it measures.")] = 60.0,
    warm_up_seconds: Annotated[
        float, typer.Option(min=0, help="How long clicks come at that rate before it measures.")
    ] = 5.0,
    visitors: Annotated[int, typer.Option(min=1, help="Visitors who click at a time.")] = 1000,
    arrivals: Annotated[
        Literal["even", "poisson"],
        typer.Option(help="Clicks apart alike, or at random as those of many visitors."),
    ] = "even",
    data: DataOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.json and freshness.hgrm; none without it.")
    ] = None,
    max_p99_ms: Annotated[
        float | None, typer.Option(min=0, help="The p99 of freshness above which it fails.")
    ] = None,
    patience_seconds: Annotated[
        float, typer.Option(min=0, help="How long lists are waited for after the last click.")
    ] = 30.0,
    json: JsonOption = False,
) -> None:
    """Publish real clicks at a fixed rate and measure how long their lists take to arrive.

    The clicks, bundled ones unless --data names others, are those of new visitors, but the apps LEARN from
    them as from any others: use a prefix of its own (STREAMREC_KAFKA__PREFIX) with apps of its own, or a
    staging cluster.

    Exit code 1 if lists are missing, or p99 is above --max-p99-ms. Ctrl-C ends it with what was measured by
    then.
    """
    from rich.console import Console

    from streamrec.config import load_settings
    from streamrec.datasets import bundled_clicks, click_sessions, load_clicks
    from streamrec.errors import DatasetError, StreamrecError
    from streamrec.loadtest import Load, load_test

    interrupt_when_terminated()
    quiet_kafka_client()
    settings = load_settings()
    sessions = list(click_sessions(load_clicks(data) if data else bundled_clicks()))
    if not sessions:
        raise DatasetError(f"{data}: there is no click in it")
    load = Load(rate, seconds, warm_up_seconds, arrivals, visitors, patience_seconds)
    with _progress(Console(stderr=True)) as on_progress:
        outcome = load_test(settings, sessions, load, on_progress)
    report = outcome.report
    if out is not None:
        outcome.write(out)
    if json:
        print_json(report)
    else:
        _show(report)
    if (warning := report.warning()) is not None:
        typer.echo(f"warning: {warning}", err=True)
    faults = report.faults(max_p99_ms)
    if report.stopped:
        for fault in faults:
            print_error(fault)
        typer.echo("stopped", err=True)
        raise typer.Exit(130)
    if faults:
        raise StreamrecError("; ".join(faults))


@contextmanager
def _progress(console: "Console") -> Iterator["Callable[[Ledger], None]"]:
    """Lists that have come, of the clicks that are to be published."""
    from streamrec.progress import progress_bar

    with progress_bar(console, "lists") as on_step:
        yield lambda ledger: on_step(ledger.answered, len(ledger), math.nan)


def _show(report: "Report") -> None:
    typer.echo(
        f"{report.per_s:,g} clicks a second asked for, {report.reached_per_s:,.1f} reached; "
        f"{report.seconds:g} s after {report.warm_up_s:g} s of warm-up, "
        f"{report.visitors:,} visitors at a time, {report.arrivals}"
    )
    missing = "without a list yet" if report.stopped else "missing"
    typer.echo(
        f"{report.published:,} published, {report.acknowledged:,} acknowledged, "
        f"{report.answered:,} answered, {report.missing:,} {missing}, {report.doubled:,} doubled\n"
    )
    spans = {
        "due to list": report.freshness,
        "published to acknowledged": report.acknowledgement,
        "due to published": report.behind,
    }
    print_table(
        ["ms", "p50", "p90", "p99", "p99.9", "max"],
        [
            [name, *(round(value, 1) for value in (of.p50_ms, of.p90_ms, of.p99_ms, of.p99_9_ms, of.max_ms))]
            for name, of in spans.items()
        ],
    )
